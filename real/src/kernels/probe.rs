//! The probe of a kernel: the zcrx features that it supports, and whether tests can run on it.

use std::fmt;

use ifq_model::errno::EINVAL;
use ifq_model::test::Test;
use serde::{Deserialize, Serialize};

use crate::abi::uapi;
use crate::kernels::series::{compared_with, is_base, note, variant_for};
use crate::kernels::supported::{delays_page_faults, may_crash};

/// The result of a probe. `None`: not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Kernel release, as `uname -r`.
    pub kernel: String,
    /// Machine, as `uname -m`.
    pub arch: String,
    /// The sysctl `kernel.io_uring_disabled`.
    pub io_uring_disabled: Option<u32>,
    /// Whether this process has `CAP_NET_ADMIN`, which registration requires.
    pub cap_net_admin: Option<bool>,
    /// Whether a ring with `DEFER_TASKRUN`, `SINGLE_ISSUER` and `CQE32` can be made: 0 or -errno.
    pub ring: Option<i64>,
    /// `IO_URING_QUERY_OPCODES`: number of request operations.
    pub request_ops: Option<u32>,
    /// `IO_URING_QUERY_OPCODES`: number of register operations.
    pub register_ops: Option<u32>,
    /// The answer to `IO_URING_QUERY_ZCRX`.
    pub zcrx: Option<Zcrx>,
    /// `IO_URING_QUERY_ZCRX_EVENT`: one bit for each event type.
    pub events: Option<u32>,
    /// Registration with `ZCRX_REG_NODEV` and correct arguments: 0 or -errno.
    pub nodev: Option<i64>,
    /// Export of such an ifq and import into another ring: 0 or -errno.
    pub share: Option<i64>,
    /// The largest refill ring that registration accepts, in entries.
    pub max_rq_entries: Option<u32>,
    /// Write protection of a page with `userfaultfd(2)`: 0 or -errno.
    pub userfaultfd: Option<i64>,
    /// The NIC whose queues tests can use.
    pub nic: Option<Nic>,
}

/// The interfaces of the module softnic: tests use the queues of the first, the second sends to it.
pub const NIC_INTERFACES: [&str; 2] = ["sn0", "sn1"];

/// A network interface with queues for tests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// Its name.
    pub interface: String,
    /// The name of its driver.
    pub driver: String,
    /// Number of receive queues.
    pub queues: usize,
}

/// The answer to `IO_URING_QUERY_ZCRX`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zcrx {
    /// `ZCRX_REG_*`.
    pub register_flags: u64,
    /// `IORING_ZCRX_AREA_*`.
    pub area_flags: u64,
    /// Number of `ZCRX_CTRL_*`.
    pub ctrl_ops: u32,
    /// `ZCRX_FEATURE_*`.
    pub features: u32,
    /// Bytes of the refill ring's header.
    pub rq_header_size: u32,
    /// Alignment of the entries after it, in bytes.
    pub rq_header_alignment: u32,
}

impl Probe {
    /// Why no test can run on this kernel without a network device. `None`: tests can run.
    ///
    /// On a kernel without `ZCRX_REG_NODEV` tests can run: the error codes are compared.
    #[must_use]
    pub fn obstacle(&self) -> Option<String> {
        let kernel = &self.kernel;
        let old = compared_with(kernel).is_none_or(|revision| !revision.has_nodev());
        match (self.ring, self.nodev) {
            (Some(ring), _) if ring < 0 => {
                Some(format!("kernel {kernel} cannot create a ring: {}", errno(ring)))
            }
            (_, Some(nodev)) if nodev < 0 && self.cap_net_admin == Some(false) => Some(format!(
                "registration needs CAP_NET_ADMIN, which this process does not have ({})",
                errno(nodev)
            )),
            (_, Some(nodev)) if nodev == -EINVAL && old => None,
            (_, Some(nodev)) if nodev < 0 => Some(format!(
                "kernel {kernel} does not register an ifq without a device: {}",
                errno(nodev)
            )),
            (Some(_), Some(_)) => None,
            _ => Some(format!("kernel {kernel} has no io_uring")),
        }
    }

    /// Why a test cannot run or cannot be compared on this kernel. `None`: it can.
    #[must_use]
    ///
    /// `crashes`: whether a test may run that crashes the kernel according to the model.
    pub fn obstacle_to(&self, test: &Test, crashes: bool) -> Option<String> {
        let userfaultfd = || self.userfaultfd.filter(|ret| *ret < 0 && delays_page_faults(test));
        self.obstacle().or_else(|| variant_for(test, &self.kernel).err()).or_else(|| {
            let error = std::io::Error::from_raw_os_error(userfaultfd()?.unsigned_abs() as i32);
            Some(format!("kernel {} cannot delay a page fault: userfaultfd: {error}", self.kernel))
        }).or_else(|| {
            let variant = variant_for(test, &self.kernel).ok().filter(|_| !crashes)?;
            let broken = may_crash(test, &variant)?;
            Some(format!(
                "kernel {} may crash: the model breaks {broken} in this test; it runs in a guest",
                self.kernel
            ))
        })
    }
}

fn errno(errno: i64) -> String {
    ifq_model::errno::name(errno).map_or_else(|| errno.to_string(), |name| format!("-{name}"))
}

fn named(bits: u64, names: &[&str]) -> String {
    let mut words: Vec<String> = (0..64)
        .filter(|bit| bits >> bit & 1 == 1)
        .map(|bit| names.get(bit).map_or_else(|| format!("bit {bit}"), ToString::to_string))
        .collect();
    if words.is_empty() {
        words.push("none".into());
    }
    words.join(", ")
}

fn status(value: Option<i64>) -> String {
    match value {
        Some(n) if n < 0 => format!("no: {}", errno(n)),
        Some(_) => "yes".into(),
        None => "not tried".into(),
    }
}

fn number<T: fmt::Display>(value: Option<T>) -> String {
    value.map_or_else(|| "unknown".into(), |n| n.to_string())
}

impl fmt::Display for Nic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Nic { interface, driver, queues } = self;
        write!(f, "{interface}, driver {driver}, {queues} receive queues")
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: String| writeln!(f, "{name:<24}{value}");
        row("kernel", format!("{} ({})", self.kernel, self.arch))?;
        row("io_uring_disabled", number(self.io_uring_disabled))?;
        row("CAP_NET_ADMIN", number(self.cap_net_admin))?;
        row("ring for zcrx", status(self.ring))?;
        row("request operations", number(self.request_ops))?;
        row("register operations", number(self.register_ops))?;
        match &self.zcrx {
            Some(zcrx) => {
                row("register flags", named(zcrx.register_flags, &uapi::REGISTER_FLAGS))?;
                row("area flags", named(zcrx.area_flags, &uapi::AREA_FLAGS))?;
                let ops = (0..zcrx.ctrl_ops as usize)
                    .map(|op| uapi::CTRL_OPS.get(op).map_or("?", |name| name))
                    .collect::<Vec<_>>();
                row("control operations", ops.join(", "))?;
                row("features", named(u64::from(zcrx.features), &uapi::FEATURES))?;
                let (size, align) = (zcrx.rq_header_size, zcrx.rq_header_alignment);
                row("refill ring header", format!("{size} bytes, entries aligned to {align}"))?;
            }
            None => row("zcrx query", "not supported".into())?,
        }
        let events = self.events.map(|bits| named(u64::from(bits), &uapi::EVENTS));
        row("events", number(events))?;
        row("register without device", status(self.nodev))?;
        row("export and import", status(self.share))?;
        row("largest refill ring", number(self.max_rq_entries))?;
        row("userfaultfd", status(self.userfaultfd))?;
        row("NIC", self.nic.as_ref().map_or("none".into(), ToString::to_string))?;
        let obstacle = self.obstacle();
        let refuses = self.nodev.is_some_and(|nodev| nodev < 0);
        let able = if refuses { "only tests in which no registration succeeds" } else { "yes" };
        row("tests can run", obstacle.map_or(able.into(), |why| format!("no: {why}")))?;
        let revision = compared_with(&self.kernel).map(|revision| match is_base(&self.kernel) {
            true => format!("the base of {revision}"),
            false => revision.to_string(),
        });
        row("compared with", revision.unwrap_or_else(|| "no revision".into()))?;
        note(&self.kernel).map_or(Ok(()), |note| writeln!(f, "{note}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_flags_are_named_and_unknown_bits_are_numbered() {
        assert_eq!(named(0b11, &uapi::REGISTER_FLAGS), "IMPORT, NODEV");
        assert_eq!(named(0b101, &uapi::FEATURES), "RX_PAGE_SIZE, bit 2");
        assert_eq!(named(0, &uapi::EVENTS), "none");
    }

    #[test]
    fn the_obstacle_names_the_missing_feature() {
        let able = Probe { ring: Some(0), nodev: Some(0), ..Probe::default() };
        assert_eq!(able.obstacle(), None);
        let odd = Probe { nodev: Some(-22), kernel: "7.1.1".into(), ..able.clone() };
        let why = odd.obstacle().unwrap();
        assert!(why.contains("7.1.1") && why.contains("-EINVAL"), "{why}");
        let built_without = Probe { nodev: Some(-95), kernel: "6.19.1".into(), ..able.clone() };
        assert!(built_without.obstacle().unwrap().contains("-EOPNOTSUPP"));
        let poor = Probe { nodev: Some(-1), cap_net_admin: Some(false), ..able.clone() };
        assert!(poor.obstacle().unwrap().contains("CAP_NET_ADMIN"));
        let off = Probe { ring: Some(-1), nodev: None, ..able };
        assert!(off.obstacle().unwrap().contains("-EPERM"));
        assert!(Probe::default().obstacle().unwrap().contains("io_uring"));
    }

    #[test]
    fn a_test_with_delayed_page_faults_needs_userfaultfd() {
        let able = Probe {
            kernel: "7.3.4".into(),
            ring: Some(0),
            nodev: Some(0),
            userfaultfd: Some(0),
            ..Probe::default()
        };
        let text = "test t\nrevision import-7.3\nring A\nexpect holds\nsetup\n x = A: exit\n";
        let parse = |text: &str| ifq_sim::format::parse("t.ifq", text).expect("a test");
        let (plain, delayed) = (parse(text), parse(&format!("{text}fault page-fault-waits\n")));
        assert_eq!(able.obstacle_to(&delayed, false), None);
        let without = Probe { userfaultfd: Some(-38), ..able };
        assert_eq!(without.obstacle_to(&plain, false), None);
        let why = without.obstacle_to(&delayed, false).unwrap();
        assert!(
            why.contains("userfaultfd: ") && why.contains("38") && why.contains("7.3.4"),
            "{why}"
        );
    }

    #[test]
    fn an_old_kernel_runs_the_tests_of_its_revision() {
        let old = Probe {
            kernel: "6.19.10".into(),
            ring: Some(0),
            nodev: Some(-EINVAL),
            ..Probe::default()
        };
        assert_eq!(old.obstacle(), None);
        let test = |revisions: &str| {
            let text = format!(
                "test t\nrevision {revisions}\nring A\nexpect holds\nsetup\n x = A: exit\n"
            );
            ifq_sim::format::parse("t.ifq", &text).expect("a test")
        };
        assert_eq!(old.obstacle_to(&test("import-6.19 import-7.1"), false), None);
        assert!(
            old.obstacle_to(&test("import-7.1"), false)
                .is_some_and(|why| why.contains("import-6.19"))
        );
    }
}
