//! A page that cannot be written: `copy_to_user` fails there.
#![allow(unsafe_code)]

use std::io;

use super::PAGE;

/// A page of this process that can only be read. Dropping this makes it writable again.
#[derive(Debug)]
pub struct ReadOnlyPage(u64);

impl ReadOnlyPage {
    /// Protects the page that contains `address`. A thread of this process that writes to it is killed.
    ///
    /// # Errors
    ///
    /// Those of `mprotect(2)`.
    pub fn new(address: u64) -> io::Result<Self> {
        let page = ReadOnlyPage(address & !(PAGE as u64 - 1));
        page.set(libc::PROT_READ)?;
        Ok(page)
    }

    fn set(&self, protection: libc::c_int) -> io::Result<()> {
        let start = std::ptr::with_exposed_provenance_mut(self.0 as usize);
        // SAFETY: the page stays mapped and readable, so no access through a reference becomes undefined.
        let ret = unsafe { libc::mprotect(start, PAGE, protection) };
        if ret == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for ReadOnlyPage {
    fn drop(&mut self) {
        // It has worked before; a write is killed otherwise.
        let _ = self.set(libc::PROT_READ | libc::PROT_WRITE);
    }
}

#[cfg(test)]
mod tests {
    use super::super::SharedMem;
    use super::*;
    use std::io::Read;

    #[test]
    fn the_kernel_cannot_write_to_a_page_until_it_is_released() {
        let memory = SharedMem::new(PAGE).unwrap();
        let mut zeros = std::fs::File::open("/dev/zero").unwrap();
        let page = ReadOnlyPage::new(memory.addr() + 8).unwrap();
        let mut reader = |len: usize| {
            let at = std::ptr::with_exposed_provenance_mut::<u8>(memory.addr() as usize);
            // SAFETY: the memory is mapped, and nothing else refers to it.
            let bytes = unsafe { std::slice::from_raw_parts_mut(at, len) };
            zeros.read(bytes).map_err(|error| error.raw_os_error())
        };
        assert_eq!(reader(8), Err(Some(libc::EFAULT)));
        drop(page);
        assert_eq!(reader(8), Ok(8));
    }
}
