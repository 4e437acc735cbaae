//! Failures injected on purpose, to test that they are detected.

use std::fs::File;
use std::time::Duration;

use rustix::fs::{FileType, Mode};

use super::init::write_file;
use crate::abi::syscall::ring::{Ring, Setup};
use crate::abi::syscall::{PAGE, SharedMem};
use crate::abi::uapi;
use crate::job::InjectedFailure;

/// Time until another thread is inside `open(2)`.
const OPEN_TIME: Duration = Duration::from_millis(500);

/// Makes this guest fail in the given way. If that is impossible, the test of the detection fails.
pub(super) fn inject(failure: InjectedFailure) {
    let written = match failure {
        InjectedFailure::KernelWarning => write_file("/dev/kmsg", "<4>WARNING: injected failure\n"),
        InjectedFailure::Crash => write_file("/proc/sysrq-trigger", "c"),
        InjectedFailure::Hang => loop {
            std::thread::park();
        },
        InjectedFailure::Leak => leak_ring(),
        InjectedFailure::ReservedFd => reserve_fd(),
        InjectedFailure::LockedMemory => leak_mapping(),
    };
    if let Err(error) = written {
        errln!("ifq: {failure:?}: {error}");
    }
}

/// Registers an ifq and never closes its ring.
fn leak_ring() -> std::io::Result<()> {
    let ring = Ring::new(Setup::default())?;
    let (area, region) = (SharedMem::new(PAGE)?, SharedMem::new(2 * PAGE)?);
    let registered = ring.register_nodev(&area, &region, 1);
    registered.map_err(|errno| std::io::Error::from_raw_os_error(errno.unsigned_abs() as i32))?;
    std::mem::forget((ring, area, region));
    Ok(())
}

/// Reserves a descriptor number without an open file: opens a FIFO that has no writer.
fn reserve_fd() -> std::io::Result<()> {
    let fifo = "/dev/injected-failure";
    rustix::fs::mknodat(rustix::fs::CWD, fifo, FileType::Fifo, Mode::RUSR, 0)?;
    std::thread::spawn(move || File::open(fifo));
    std::thread::sleep(OPEN_TIME);
    Ok(())
}

/// Creates a ring that outlives its descriptor, because of a leaked mapping.
fn leak_mapping() -> std::io::Result<()> {
    let ring = Ring::new(Setup::default())?;
    std::mem::forget(SharedMem::of_ring(ring.fd().number(), uapi::IORING_OFF_SQ_RING, PAGE)?);
    Ok(())
}
