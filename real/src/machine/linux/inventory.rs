//! The inventory of machines: whether each is fetched and accelerated, and why not.

use serde::Serialize;

use super::cache::Cache;
use super::debian_kernel::Image;
use super::{debian_kernel, kvm, process, qemu_binary, softnic, uml};
use crate::machine::{Failure, MachineSpec, Series};

/// The first series that the module softnic is built for.
const FIRST_WITH_NIC: Series = Series::new(6, 16);

/// The status of one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MachineStatus {
    /// The name that `--on` takes.
    pub machine: String,
    /// Its kernel, if known: the running one, or the package in the cache.
    pub kernel: Option<String>,
    /// SHA-256 of the package of the kernel, from the package index.
    pub sha256: Option<String>,
    /// Whether it can start without fetching anything.
    pub cached: bool,
    /// Whether the guest is accelerated by KVM. `None`: not a QEMU guest, or not known yet.
    pub accelerated: Option<bool>,
    /// Why it cannot start, or is not accelerated.
    pub reason: Option<String>,
}

/// All machines: host, user-mode Linux, all known series and all series in the cache.
///
/// # Errors
///
/// [`Failure`].
pub fn inventory() -> Result<Vec<MachineStatus>, Failure> {
    let cache = Cache::of_user().map_err(Failure::NotRun)?;
    let mut images: Vec<(Series, Option<Image>)> = Series::KNOWN
        .iter()
        .map(|&series| (series, debian_kernel::cached(&cache, series)))
        .collect();
    let others = debian_kernel::series(&cache).into_iter().filter(|s| !Series::KNOWN.contains(s));
    images.extend(others.map(|series| (series, debian_kernel::cached(&cache, series))));
    images.sort_by_key(|(series, _)| *series);
    let qemu = qemu_binary::check();
    let any = images.iter().find_map(|(_, image)| image.as_ref());
    let kvm = match (&qemu, any) {
        (Ok(()), Some(image)) => Some(kvm::works(&image.path)),
        _ => None,
    };
    if process::interrupted() {
        return Err(Failure::Interrupted);
    }
    let with_nic: Vec<MachineStatus> = images
        .iter()
        .filter(|(series, _)| *series >= FIRST_WITH_NIC)
        .map(|(series, image)| nic(&cache, *series, image.as_ref()))
        .collect();
    let guest = |(series, image): (Series, Option<Image>)| MachineStatus {
        machine: MachineSpec::Qemu(series).to_string(),
        cached: image.is_some(),
        accelerated: kvm.as_ref().map(Result::is_ok),
        reason: match (&qemu, &kvm) {
            (Err(reason), _) | (_, Some(Err(reason))) => Some(reason.clone()),
            _ => None,
        },
        kernel: image.as_ref().map(|image| image.provenance.package.clone()),
        sha256: image.map(|image| image.provenance.sha256),
    };
    let guests: Vec<MachineStatus> = images.into_iter().map(guest).collect();
    Ok([host(), user_mode(&cache)].into_iter().chain(guests).chain(with_nic).collect())
}

/// The machine `qemu:SERIES+nic`; how it is accelerated, the machine without a NIC says.
fn nic(cache: &Cache, series: Series, image: Option<&Image>) -> MachineStatus {
    let built = image.filter(|image| softnic::is_cached(cache, image));
    MachineStatus {
        machine: MachineSpec::QemuNic(series).to_string(),
        kernel: built.map(|image| image.provenance.package.clone()),
        sha256: built.map(|image| image.provenance.sha256.clone()),
        cached: built.is_some(),
        accelerated: None,
        reason: None,
    }
}

fn host() -> MachineStatus {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    MachineStatus {
        machine: MachineSpec::Host.to_string(),
        kernel: Some(release),
        sha256: None,
        cached: true,
        accelerated: None,
        reason: None,
    }
}

fn user_mode(cache: &Cache) -> MachineStatus {
    let provenance = uml::cached(cache);
    MachineStatus {
        machine: MachineSpec::Uml.to_string(),
        cached: provenance.is_some(),
        kernel: provenance
            .as_ref()
            .map(|provenance| format!("{} {}", provenance.package, provenance.version)),
        sha256: provenance.map(|provenance| provenance.sha256),
        accelerated: None,
        reason: None,
    }
}

/// Fetches the kernel of a machine into the cache. `again`: also if it is in the cache.
///
/// # Errors
///
/// [`Failure`]; always for the host and for a kernel of the user.
pub fn fetch(on: &MachineSpec, again: bool) -> Result<(), Failure> {
    process::interrupted();
    let cache = Cache::of_user().map_err(Failure::NotRun)?;
    let fetched = match on {
        MachineSpec::Uml => uml::kernel(&cache, again).map(drop),
        MachineSpec::Qemu(series) => debian_kernel::get(&cache, *series, again).map(drop),
        MachineSpec::QemuNic(series) => debian_kernel::get(&cache, *series, again)
            .and_then(|image| softnic::get(&cache, &image, again))
            .map(drop),
        MachineSpec::Host
        | MachineSpec::Kernel(_)
        | MachineSpec::Built { .. }
        | MachineSpec::Rig(_) => Err(format!("there is nothing to fetch for {on}")),
    };
    match fetched {
        Err(_) if process::interrupted() => Err(Failure::Interrupted),
        fetched => fetched.map_err(Failure::NotRun),
    }
}
