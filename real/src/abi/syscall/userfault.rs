//! Delays a page fault: a write to a protected page blocks, also in the kernel, until the protection is
//! removed (`userfaultfd(2)` with write protection, `include/uapi/linux/userfaultfd.h`).
//!
//! The page stays readable: `copy_from_user` succeeds, `copy_to_user` blocks.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::abi::syscall::{self, PAGE};

const UFFD_API: u64 = 0xaa;
/// `UFFD_FEATURE_PAGEFAULT_FLAG_WP` and `UFFD_FEATURE_WP_HUGETLBFS_SHMEM`.
const FEATURES: u64 = 1 << 0 | 1 << 12;
const REGISTER_MODE_WP: u64 = 1 << 1;
const WRITEPROTECT_MODE_WP: u64 = 1 << 0;

/// `struct uffdio_api`.
#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

/// `struct uffdio_register`.
#[repr(C)]
struct Register {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

/// `struct uffdio_writeprotect`.
#[repr(C)]
struct WriteProtect {
    start: u64,
    len: u64,
    mode: u64,
}

/// The request number of `UFFDIO_*` with an argument `T`: `_IOWR(0xaa, number, T)`.
const fn request<T>(number: u64) -> u64 {
    3 << 30 | (size_of::<T>() as u64) << 16 | 0xaa << 8 | number
}

const UFFDIO_REGISTER: u64 = request::<Register>(0x00);
const UFFDIO_WRITEPROTECT: u64 = request::<WriteProtect>(0x06);
const UFFDIO_API: u64 = request::<Api>(0x3f);

/// Checks that the running kernel supports it, with a page of this process.
///
/// # Errors
///
/// Those of [`WriteProtectedPage::new`], and of `mmap(2)`.
pub fn check() -> io::Result<()> {
    let memory = syscall::SharedMem::new(PAGE)?;
    WriteProtectedPage::new(memory.addr()).map(|_| ())
}

/// A write-protected page. Dropping it removes the protection.
#[derive(Debug)]
pub struct WriteProtectedPage {
    fd: OwnedFd,
    start: u64,
}

impl WriteProtectedPage {
    /// Protects the page that contains `address`. Writes by threads of this process block, too.
    ///
    /// # Errors
    ///
    /// Those of `userfaultfd(2)` and its operations: `ENOSYS` if the kernel was built without it,
    /// `EPERM` without the privilege to handle faults in the kernel, `EINVAL` without write protection.
    pub fn new(address: u64) -> io::Result<Self> {
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
        // SAFETY: `userfaultfd` takes flags only, no pointer.
        let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, flags) };
        let fd = i32::try_from(fd).map_err(|_| io::ErrorKind::InvalidData)?;
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let page =
            WriteProtectedPage { fd: syscall::adopt_fd(fd)?, start: address & !(PAGE as u64 - 1) };
        page.ioctl(UFFDIO_API, &mut Api { api: UFFD_API, features: FEATURES, ioctls: 0 })?;
        let (start, len) = (page.start, PAGE as u64);
        let mut register = Register { start, len, mode: REGISTER_MODE_WP, ioctls: 0 };
        page.ioctl(UFFDIO_REGISTER, &mut register)?;
        page.set_protection(WRITEPROTECT_MODE_WP)?;
        Ok(page)
    }

    /// Waits at most `limit` for a write to the page. Returns whether a thread is blocked on it.
    ///
    /// # Errors
    ///
    /// Those of `poll(2)`.
    pub fn has_blocked_writer(&self, limit: Duration) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        let limit = Timespec::try_from(limit).map_err(|_| io::ErrorKind::InvalidInput)?;
        Ok(poll(&mut fds, Some(&limit))? > 0)
    }

    /// Removes the protection: blocked writers continue.
    ///
    /// # Errors
    ///
    /// Those of the operation.
    pub fn unprotect(&self) -> io::Result<()> {
        self.set_protection(0)
    }

    fn set_protection(&self, mode: u64) -> io::Result<()> {
        let mut protect = WriteProtect { start: self.start, len: PAGE as u64, mode };
        self.ioctl(UFFDIO_WRITEPROTECT, &mut protect)
    }

    fn ioctl<T>(&self, request: u64, argument: &mut T) -> io::Result<()> {
        let request = libc::Ioctl::try_from(request).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: `request` encodes the size of its argument, which is `T`; `argument` is valid for reads
        // and writes of a `T`.
        let ret =
            unsafe { libc::ioctl(self.fd.as_raw_fd(), request, std::ptr::from_mut(argument)) };
        if ret < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::Instant;

    use super::*;
    use crate::abi::syscall::SharedMem;

    #[test]
    fn a_write_to_a_protected_page_blocks_until_it_is_unprotected_and_a_read_does_not() {
        if let Err(error) = check() {
            return println!("not run: userfaultfd: {error}");
        }
        let memory = SharedMem::new(2 * PAGE).unwrap();
        memory.atomic_u64(PAGE).store(7, Ordering::Relaxed);
        let page = WriteProtectedPage::new(memory.addr() + PAGE as u64 + 8).unwrap();
        assert_eq!(memory.atomic_u64(PAGE).load(Ordering::Relaxed), 7);
        memory.atomic_u64(0).store(1, Ordering::Relaxed);
        assert!(!page.has_blocked_writer(Duration::ZERO).unwrap(), "another page");
        let delay = Duration::from_millis(50);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let start = Instant::now();
                memory.atomic_u64(PAGE).store(8, Ordering::Relaxed);
                start.elapsed()
            });
            assert!(page.has_blocked_writer(Duration::from_secs(5)).unwrap());
            std::thread::sleep(delay);
            assert_eq!(memory.atomic_u64(PAGE).load(Ordering::Relaxed), 7, "not written yet");
            page.unprotect().unwrap();
            assert!(writer.join().unwrap() >= delay);
        });
        assert_eq!(memory.atomic_u64(PAGE).load(Ordering::Relaxed), 8);
    }

    #[test]
    fn dropping_a_protected_page_removes_the_protection() {
        if let Err(error) = check() {
            return println!("not run: userfaultfd: {error}");
        }
        let memory = SharedMem::new(PAGE).unwrap();
        drop(WriteProtectedPage::new(memory.addr()).unwrap());
        memory.atomic_u64(0).store(1, Ordering::Relaxed);
    }
}
