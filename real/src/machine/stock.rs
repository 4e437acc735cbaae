//! What machines there are here: fetched or not, accelerated or not, and why not.

use serde::Serialize;

use super::cache::Cache;
use super::kernels::{self, Image};
use super::{Failure, On, Series, kvm, process, qemu, uml};

/// One machine of this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stock {
    /// The name that `--on` takes.
    pub machine: String,
    /// Its kernel, if it is known: of this host, or that of the package in the cache.
    pub kernel: Option<String>,
    /// SHA-256 of the package that the kernel is from, as the index of packages had it.
    pub sha256: Option<String>,
    /// Whether it can be started without fetching anything.
    pub cached: bool,
    /// Whether the host's processor executes the guest's instructions; `None`: it is no guest of an
    /// emulator, or not known yet.
    pub accelerated: Option<bool>,
    /// What is in the way of starting it or of accelerating it.
    pub reason: Option<String>,
}

/// Every machine; of kernels all known series and all that are in the cache.
///
/// # Errors
///
/// [`Failure`].
pub fn stock() -> Result<Vec<Stock>, Failure> {
    let cache = Cache::of_user().map_err(Failure::NotRun)?;
    let mut images: Vec<(Series, Option<Image>)> =
        Series::KNOWN.iter().map(|&series| (series, kernels::cached(&cache, series))).collect();
    let others = kernels::series(&cache).into_iter().filter(|s| !Series::KNOWN.contains(s));
    images.extend(others.map(|series| (series, kernels::cached(&cache, series))));
    images.sort_by_key(|(series, _)| *series);
    let qemu = qemu::present();
    let any = images.iter().find_map(|(_, image)| image.as_ref());
    let kvm = match (&qemu, any) {
        (Ok(()), Some(image)) => Some(kvm::works(&image.path)),
        _ => None,
    };
    if process::interrupted() {
        return Err(Failure::Interrupted);
    }
    let guest = |(series, image): (Series, Option<Image>)| Stock {
        machine: On::Qemu(series).to_string(),
        cached: image.is_some(),
        accelerated: kvm.as_ref().map(Result::is_ok),
        reason: match (&qemu, &kvm) {
            (Err(reason), _) | (_, Some(Err(reason))) => Some(reason.clone()),
            _ => None,
        },
        kernel: image.as_ref().map(|image| image.origin.package.clone()),
        sha256: image.map(|image| image.origin.sha256),
    };
    Ok([host(), user_mode(&cache)].into_iter().chain(images.into_iter().map(guest)).collect())
}

fn host() -> Stock {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    Stock {
        machine: On::Host.to_string(),
        kernel: Some(release),
        sha256: None,
        cached: true,
        accelerated: None,
        reason: None,
    }
}

fn user_mode(cache: &Cache) -> Stock {
    let origin = uml::cached(cache);
    Stock {
        machine: On::Uml.to_string(),
        cached: origin.is_some(),
        kernel: origin.as_ref().map(|origin| format!("{} {}", origin.package, origin.version)),
        sha256: origin.map(|origin| origin.sha256),
        accelerated: None,
        reason: None,
    }
}

/// Fetches a machine's kernel into the cache, `again` even if there is one.
///
/// # Errors
///
/// [`Failure`]; there is nothing to fetch for a host or for a kernel of the user.
pub fn fetch(on: &On, again: bool) -> Result<(), Failure> {
    process::interrupted();
    let cache = Cache::of_user().map_err(Failure::NotRun)?;
    let fetched = match on {
        On::Uml => uml::kernel(&cache, again).map(drop),
        On::Qemu(series) => kernels::get(&cache, *series, again).map(drop),
        On::Host | On::Kernel(_) => Err(format!("there is nothing to fetch for {on}")),
    };
    match fetched {
        Err(_) if process::interrupted() => Err(Failure::Interrupted),
        fetched => fetched.map_err(Failure::NotRun),
    }
}
