//! Memory that this process shares with the kernel.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::RawFd;
use std::ptr::NonNull;

use super::{KernelArg, PAGE};

/// Anonymous shared memory that the kernel may write at any time: whole pages, zeroed, not inherited by
/// children, unmapped when dropped.
#[derive(Debug)]
pub struct SharedMem {
    ptr: NonNull<u8>,
    len: usize,
}

// SAFETY: all accesses go through atomics or volatile reads; the mapping belongs to the process.
unsafe impl Send for SharedMem {}
// SAFETY: as above.
unsafe impl Sync for SharedMem {}

impl SharedMem {
    /// Maps at least `len` bytes.
    ///
    /// # Errors
    ///
    /// Those of `mmap(2)`.
    pub fn new(len: usize) -> io::Result<Self> {
        let len = len.max(1).next_multiple_of(PAGE);
        // SAFETY: a new anonymous mapping at an address that the kernel chooses.
        let ptr = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        let mem = SharedMem::mapped(ptr, len)?;
        let ptr = mem.ptr;
        // SAFETY: exactly the mapping that was just made.
        let ret = unsafe { libc::madvise(ptr.as_ptr().cast(), len, libc::MADV_DONTFORK) };
        if ret == 0 { Ok(mem) } else { Err(io::Error::last_os_error()) }
    }

    /// Maps what a ring offers at an offset; whole pages, not passed on to children.
    ///
    /// # Errors
    ///
    /// Those of `mmap(2)`.
    pub fn of_ring(ring: RawFd, offset: u64, len: usize) -> io::Result<Self> {
        let len = len.max(1).next_multiple_of(PAGE);
        let offset = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        // SAFETY: a new mapping at an address that the kernel chooses.
        let ptr = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                ring,
                offset,
            )
        };
        SharedMem::mapped(ptr, len)
    }

    /// What `mmap(2)` returned.
    fn mapped(ptr: *mut libc::c_void, len: usize) -> io::Result<Self> {
        if ptr == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let ptr = NonNull::new(ptr.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(SharedMem { ptr, len })
    }

    /// Address of the first byte.
    #[must_use]
    pub fn addr(&self) -> u64 {
        self.ptr.as_ptr().expose_provenance() as u64
    }

    /// Bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is mapped, which never is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The `u32` at a byte offset.
    ///
    /// # Panics
    ///
    /// If the offset is not aligned or outside.
    #[must_use]
    pub fn atomic_u32(&self, offset: usize) -> &std::sync::atomic::AtomicU32 {
        assert_eq!(offset % 4, 0, "offset {offset} is not aligned");
        assert!(offset + 4 <= self.len, "offset {offset} is outside of {} bytes", self.len);
        // SAFETY: inside the mapping and aligned; the kernel's side uses atomic accesses too.
        unsafe { std::sync::atomic::AtomicU32::from_ptr(self.ptr.as_ptr().add(offset).cast()) }
    }

    /// The `u64` at a byte offset.
    ///
    /// # Panics
    ///
    /// If the offset is not aligned or outside.
    #[must_use]
    pub fn atomic_u64(&self, offset: usize) -> &std::sync::atomic::AtomicU64 {
        assert_eq!(offset % 8, 0, "offset {offset} is not aligned");
        assert!(offset + 8 <= self.len, "offset {offset} is outside of {} bytes", self.len);
        // SAFETY: inside the mapping and aligned; the kernel's side uses single accesses.
        unsafe { std::sync::atomic::AtomicU64::from_ptr(self.ptr.as_ptr().add(offset).cast()) }
    }

    /// Writes a value at the start and borrows it, as an argument that the kernel may write.
    ///
    /// # Panics
    ///
    /// If it does not fit.
    pub fn place<T: KernelArg>(&mut self, value: T) -> &mut T {
        assert!(size_of::<T>() <= self.len, "{} bytes are too few", self.len);
        const { assert!(align_of::<T>() <= PAGE) }
        // SAFETY: inside the mapping, which begins with a page; `&mut self` excludes
        // other references.
        unsafe {
            let place = self.ptr.as_ptr().cast::<T>();
            place.write(value);
            &mut *place
        }
    }

    /// A copy of some bytes, or `None` if they are not all inside.
    #[must_use]
    pub fn read(&self, offset: usize, len: usize) -> Option<Vec<u8>> {
        if offset.checked_add(len)? > self.len {
            return None;
        }
        let bytes = (offset..offset + len).map(|at| {
            // SAFETY: inside the mapping; volatile, because the kernel may write at any time.
            unsafe { self.ptr.as_ptr().add(at).read_volatile() }
        });
        Some(bytes.collect())
    }
}

impl Drop for SharedMem {
    fn drop(&mut self) {
        // SAFETY: our own mapping; nothing borrows from it any more.
        unsafe { libc::munmap(self.ptr.as_ptr().cast(), self.len) };
    }
}
