//! Probes the running kernel: queries what it reports, and tries the rest.

use crate::abi::syscall::net;
use crate::abi::syscall::ring::{Ring, Setup};
use crate::abi::syscall::userfault;
use crate::abi::syscall::{self, PAGE, SharedMem};
use crate::abi::uapi::{self, QueryHdr, QueryOpcodes, QueryZcrx, QueryZcrxEvent};
use crate::kernels::probe::{NIC_INTERFACES, Nic, Probe, Zcrx};

/// `CAP_NET_ADMIN` in `include/uapi/linux/capability.h`.
const CAP_NET_ADMIN: u32 = 12;
/// Refill rings of up to 2^(this - 1) entries are tried.
const MAX_ENTRIES_SHIFT: u32 = 18;

/// Probes the running kernel. The rings that this creates are closed before it returns.
#[must_use]
pub fn probe() -> Probe {
    let uname = rustix::system::uname();
    let mut probe = Probe {
        kernel: uname.release().to_string_lossy().into_owned(),
        arch: uname.machine().to_string_lossy().into_owned(),
        io_uring_disabled: std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled")
            .ok()
            .and_then(|text| text.trim().parse().ok()),
        cap_net_admin: has_capability(CAP_NET_ADMIN),
        userfaultfd: Some(errno_of(userfault::check())),
        // The module softnic, if it is loaded.
        nic: nic(NIC_INTERFACES[0]),
        ..Probe::default()
    };
    let mut opcodes = QueryOpcodes::default();
    if query(uapi::IO_URING_QUERY_OPCODES, &mut opcodes) {
        probe.request_ops = Some(opcodes.nr_request_opcodes);
        probe.register_ops = Some(opcodes.nr_register_opcodes);
    }
    let mut zcrx = QueryZcrx::default();
    if query(uapi::IO_URING_QUERY_ZCRX, &mut zcrx) {
        probe.zcrx = Some(Zcrx {
            register_flags: zcrx.register_flags,
            area_flags: zcrx.area_flags,
            ctrl_ops: zcrx.nr_ctrl_opcodes,
            features: zcrx.features,
            rq_header_size: zcrx.rq_hdr_size,
            rq_header_alignment: zcrx.rq_hdr_alignment,
        });
    }
    let mut event = QueryZcrxEvent::default();
    if query(uapi::IO_URING_QUERY_ZCRX_EVENT, &mut event) {
        probe.events = Some(event.event_flags);
    }
    try_rings(&mut probe);
    probe
}

/// An interface as a NIC. `None`: there is none with this name.
#[must_use]
pub fn nic(interface: &str) -> Option<Nic> {
    let driver = net::driver_name(interface).ok()?;
    let queues = std::fs::read_dir(format!("/sys/class/net/{interface}/queues")).ok()?.flatten();
    let receive = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("rx-");
    let queues = queues.filter(|entry| receive(&entry.file_name())).count();
    Some(Nic { interface: interface.into(), driver, queues })
}

/// 0 or -errno.
fn errno_of(result: std::io::Result<()>) -> i64 {
    result.map_or_else(|error| -i64::from(error.raw_os_error().unwrap_or(libc::EIO)), |()| 0)
}

fn query<T>(op: u32, answer: &mut T) -> bool {
    let mut hdr = QueryHdr {
        query_data: syscall::address(answer),
        query_op: op,
        size: size_of::<T>() as u32,
        ..QueryHdr::default()
    };
    let ret = syscall::io_uring_register(-1, uapi::IORING_REGISTER_QUERY, &mut hdr, 0);
    ret >= 0 && hdr.result >= 0
}

fn try_rings(probe: &mut Probe) {
    let (first, second) = match (Ring::new(Setup::default()), Ring::new(Setup::default())) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(error), _) | (_, Err(error)) => {
            probe.ring = Some(errno_of(Err(error)));
            return;
        }
    };
    probe.ring = Some(0);
    let id = register(&first, 64);
    probe.nodev = Some(id.map_or_else(|errno| errno, |_| 0));
    let Ok(id) = id else {
        return;
    };
    probe.share = Some(match first.export(id) {
        Ok(fd) => match syscall::adopt_fd(fd) {
            Ok(_open) => second.import(fd).map_or_else(|errno| errno, |_| 0),
            Err(_) => -i64::from(libc::EBADF),
        },
        Err(errno) => errno,
    });
    probe.max_rq_entries = (0..MAX_ENTRIES_SHIFT)
        .map(|shift| 1 << shift)
        .filter(|&entries| {
            Ring::new(Setup::default()).is_ok_and(|ring| register(&ring, entries).is_ok())
        })
        .max();
}

/// The kernel pins the pages while the ifq exists, so the mappings may be dropped here.
fn register(ring: &Ring, entries: u32) -> Result<u32, i64> {
    let out_of_memory = |_| -i64::from(libc::ENOMEM);
    let area = SharedMem::new(4 * PAGE).map_err(out_of_memory)?;
    let region =
        SharedMem::new(PAGE + entries as usize * size_of::<uapi::Rqe>()).map_err(out_of_memory)?;
    ring.register_nodev(&area, &region, entries).map(|reg| reg.id)
}

fn has_capability(number: u32) -> Option<bool> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    let mask = u64::from_str_radix(line.trim(), 16).ok()?;
    Some(mask >> number & 1 == 1)
}
