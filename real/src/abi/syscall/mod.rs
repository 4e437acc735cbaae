//! Safe functions around system calls that have no safe wrapper.
#![allow(unsafe_code)]

pub mod ethtool;
pub mod exec;
pub mod fail_nth;
pub mod namespace;
pub mod net;
pub mod packet;
pub mod packet_ring;
pub mod read_only;
pub mod ring;
mod shared_mem;
pub mod tcp_repair;
pub mod userfault;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::thread::CapabilitySet;

pub use shared_mem::SharedMem;

use super::marker::{Marker, OPTION};

/// Bytes of a page; every area and region is made of these.
pub const PAGE: usize = 4096;

/// A type that the kernel may overwrite with any bytes: no references, no invalid values.
///
/// # Safety
///
/// The type is `repr(C)`, made of integers only.
pub unsafe trait KernelArg {}
// SAFETY: all of them are `repr(C)` structs of integers.
unsafe impl KernelArg for crate::abi::uapi::IfqReg {}
// SAFETY: as above.
unsafe impl KernelArg for crate::abi::uapi::ZcrxCtrl {}
// SAFETY: as above.
unsafe impl KernelArg for crate::abi::uapi::QueryHdr {}
// SAFETY: as above.
unsafe impl KernelArg for crate::abi::uapi::SyncCancelReg {}

/// `io_uring_register(2)` with an argument that the kernel may write. `fd` is -1 for operations
/// that need no ring. Returns the result or -errno.
///
/// Addresses inside `arg` are the caller's business: the kernel checks them like any user pointer,
/// and memory that it writes there must not be borrowed.
pub fn io_uring_register<T: KernelArg>(fd: RawFd, opcode: u32, arg: &mut T, nr_args: u32) -> i64 {
    fail_nth::call(|| {
        // SAFETY: `arg` is valid for reads and writes of a `T`, and any bytes are a valid `T`.
        let ret = unsafe {
            libc::syscall(libc::SYS_io_uring_register, fd, opcode, std::ptr::from_mut(arg), nr_args)
        };
        if ret < 0 { -i64::from(errno()) } else { ret }
    })
}

/// An address at which nothing is ever mapped (`vm.mmap_min_addr`), and the kernel can read nothing.
pub const NOWHERE: u64 = 8;

/// `io_uring_register(2)` with an argument at [`NOWHERE`]. Returns the result or -errno.
#[must_use]
pub fn io_uring_register_nowhere(fd: RawFd, opcode: u32, nr_args: u32) -> i64 {
    // SAFETY: the kernel finds no memory at this address.
    let ret = unsafe { libc::syscall(libc::SYS_io_uring_register, fd, opcode, NOWHERE, nr_args) };
    if ret < 0 { -i64::from(errno()) } else { ret }
}

/// `io_uring_register(2)` without an argument. Returns the result or -errno.
#[must_use]
pub fn io_uring_register_nothing(fd: RawFd, opcode: u32) -> i64 {
    // SAFETY: no argument is passed.
    let ret = unsafe { libc::syscall(libc::SYS_io_uring_register, fd, opcode, 0_usize, 0) };
    if ret < 0 { -i64::from(errno()) } else { ret }
}

/// Calls a function while the calling thread lacks `CAP_NET_ADMIN`.
///
/// # Errors
///
/// Those of `capget(2)` and `capset(2)`; without the capability there is nothing to give up.
pub fn without_net_admin<T>(f: impl FnOnce() -> T) -> io::Result<T> {
    without_capability(CapabilitySet::NET_ADMIN, f)
}

/// Calls a function while the calling thread lacks `CAP_SYS_ADMIN`.
///
/// # Errors
///
/// As [`without_net_admin`].
pub fn without_sys_admin<T>(f: impl FnOnce() -> T) -> io::Result<T> {
    without_capability(CapabilitySet::SYS_ADMIN, f)
}

fn without_capability<T>(which: CapabilitySet, f: impl FnOnce() -> T) -> io::Result<T> {
    use rustix::thread::{capabilities, set_capabilities};
    let before = capabilities(None)?;
    let mut fewer = before;
    fewer.effective.remove(which);
    set_capabilities(None, fewer)?;
    let result = f();
    set_capabilities(None, before)?;
    Ok(result)
}

/// Ties the calling thread to one of the processors that it may run on: the `number`th, counted
/// around. Where that cannot be, it runs anywhere.
pub fn pin_thread(number: usize) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let Ok(may) = sched_getaffinity(None) else { return };
    let cpus: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| may.is_set(*cpu)).collect();
    if cpus.len() > 1 {
        let mut one = CpuSet::new();
        one.set(cpus[number % cpus.len()]);
        // A hint: the test means the same wherever its threads run.
        let _ = sched_setaffinity(None, &one);
    }
}

/// Pins the calling thread to one processor, which may be isolated.
pub fn pin_to_cpu(cpu: usize) -> io::Result<()> {
    let mut one = rustix::thread::CpuSet::new();
    one.set(cpu);
    rustix::thread::sched_setaffinity(None, &one).map_err(io::Error::from)
}

/// Calls `prctl(2)` as a marker; returns what the kernel or the controller returns.
pub fn mark(marker: Marker) -> i64 {
    let [kind, first, second] = marker.arguments();
    // SAFETY: the kernel rejects the unknown option without looking at the other arguments.
    let result = unsafe { libc::prctl(OPTION, kind, first, second, 0u64) };
    if result < 0 { -i64::from(errno()) } else { i64::from(result) }
}

/// The number by which the kernel knows the calling thread.
#[must_use]
pub fn thread_id() -> i32 {
    rustix::thread::gettid().as_raw_pid()
}

/// The calling thread's `errno`, positive.
#[must_use]
pub fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

/// The address of a value as the kernel's structs hold it.
pub fn address<T>(value: &mut T) -> u64 {
    std::ptr::from_mut(value).expose_provenance() as u64
}

/// Takes ownership of a descriptor that the kernel has just made for us.
///
/// # Errors
///
/// `EBADF` for a negative number.
pub fn adopt_fd(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the caller got the number from the kernel, and no other owner of it exists.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `TCP_INFO` of a socket, as raw bytes; what the kernel does not know stays zero.
///
/// # Errors
///
/// Those of `getsockopt(2)`.
pub fn tcp_info(socket: BorrowedFd<'_>) -> io::Result<[u8; 256]> {
    let mut info = [0u8; 256];
    let mut len = info.len() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into `info`.
    let ret = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if ret == 0 { Ok(info) } else { Err(io::Error::last_os_error()) }
}

/// What the kernel has logged so far, oldest first, without taking it out.
///
/// # Errors
///
/// Those of `syslog(2)`: `EPERM` without the right to read it.
pub fn kernel_log() -> io::Result<String> {
    // SYSLOG_ACTION_SIZE_BUFFER, SYSLOG_ACTION_READ_ALL.
    // SAFETY: this action takes no buffer.
    let size = unsafe { libc::klogctl(10, std::ptr::null_mut(), 0) };
    let mut buffer = vec![0u8; usize::try_from(size).map_err(|_| io::Error::last_os_error())?];
    // SAFETY: the kernel writes at most `size` bytes.
    let read = unsafe { libc::klogctl(3, buffer.as_mut_ptr().cast(), size) };
    buffer.truncate(usize::try_from(read).map_err(|_| io::Error::last_os_error())?);
    Ok(String::from_utf8_lossy(&buffer).into_owned())
}

/// Sets the level below which the kernel prints messages on the console, from 1.
///
/// # Errors
///
/// Those of `syslog(2)`.
pub fn set_console_level(level: i32) -> io::Result<()> {
    // SYSLOG_ACTION_CONSOLE_LEVEL.
    // SAFETY: this action takes no buffer.
    match unsafe { libc::klogctl(8, std::ptr::null_mut(), level) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits for an RCU grace period of the kernel: `membarrier(2)` with `MEMBARRIER_CMD_GLOBAL`. A
/// kernel that cannot does not wait.
pub fn synchronize_rcu() {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: this command has no other arguments and touches no memory of ours.
    unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
}

/// Makes the kernel kill a command when this process dies.
pub fn kill_with_parent(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: this call has no arguments and cannot fail.
    let parent = unsafe { libc::getpid() };
    // SAFETY: the closure runs between fork and exec and only makes async-signal-safe system calls.
    unsafe {
        command.pre_exec(move || {
            if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                return Err(io::Error::last_os_error());
            }
            // The parent may have died before the prctl.
            if libc::getppid() == parent { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
        });
    }
}
