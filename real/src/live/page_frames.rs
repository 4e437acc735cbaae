//! Memory whose neighbouring pages have no neighbouring page frames, as the model assumes of all user memory.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use crate::abi::syscall::{PAGE, SharedMem};

/// Mappings that are tried. The pages of a refused one stay in use meanwhile, so that the next has others.
const ATTEMPTS: usize = 64;
/// Bits of an entry of `/proc/self/pagemap`: the page is present; its page frame number.
const PRESENT: u64 = 1 << 63;
const FRAME: u64 = (1 << 55) - 1;

/// Maps `len` bytes, of which no two neighbouring pages are contiguous in physical memory.
///
/// # Errors
///
/// A message for the user: the page frame numbers cannot be read, or all attempts got contiguous pages.
pub(super) fn without_contiguous_pages(len: usize) -> Result<SharedMem, String> {
    let failed = |error: io::Error| format!("the page frames of an area: {error}");
    let mut refused = Vec::new();
    for _ in 0..ATTEMPTS {
        let mem = SharedMem::new(len).map_err(failed)?;
        let between = SharedMem::new(len).map_err(failed)?;
        fault_in(&mem, &between);
        if !has_contiguous(&frames(&mem).map_err(failed)?) {
            return Ok(mem);
        }
        refused.extend([mem, between]);
    }
    Err(format!("the kernel gave contiguous pages for an area {ATTEMPTS} times in a row"))
}

/// Whether an IOMMU translates the addresses of a device, by the index of its interface. It maps pages that are not
/// contiguous to addresses that are.
pub(super) fn are_translated(interface: u32) -> bool {
    let interfaces = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let read = |path: std::path::PathBuf| fs::read_to_string(path).unwrap_or_default();
    interfaces
        .map(|entry| entry.path())
        .filter(|folder| read(folder.join("ifindex")).trim().parse() == Ok(interface))
        .any(|folder| read(folder.join("device/iommu_group/type")).starts_with("DMA"))
}

/// Faults all pages in, each followed by a page of another mapping: an allocator with free memory gives one page frame
/// after the other, upwards or downwards.
fn fault_in(mem: &SharedMem, between: &SharedMem) {
    for at in (0..mem.len()).step_by(PAGE) {
        mem.atomic_u64(at).store(0, Ordering::Relaxed);
        between.atomic_u64(at).store(0, Ordering::Relaxed);
    }
}

/// The page frame number of each page.
fn frames(mem: &SharedMem) -> io::Result<Vec<u64>> {
    let pages = mem.len() / PAGE;
    let mut entries = vec![0; pages * size_of::<u64>()];
    let first = mem.addr() / PAGE as u64;
    let pagemap = File::open("/proc/self/pagemap")?;
    pagemap.read_exact_at(&mut entries, first * size_of::<u64>() as u64)?;
    let (entries, _) = entries.as_chunks();
    entries.iter().map(|entry| frame(u64::from_ne_bytes(*entry))).collect()
}

/// The page frame number in an entry of `/proc/self/pagemap`.
fn frame(entry: u64) -> io::Result<u64> {
    match (entry & PRESENT != 0, entry & FRAME) {
        (true, 0) => Err(io::Error::other("the kernel tells them to `CAP_SYS_ADMIN` only")),
        (true, frame) => Ok(frame),
        (false, _) => Err(io::Error::other("a page is not present although it was written")),
    }
}

fn has_contiguous(frames: &[u64]) -> bool {
    frames.windows(2).any(|pair| pair[1] == pair[0] + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_pages_are_contiguous_only_in_ascending_order() {
        assert!(has_contiguous(&[7, 8]));
        assert!(has_contiguous(&[1, 9, 4, 5]));
        assert!(!has_contiguous(&[8, 7]));
        assert!(!has_contiguous(&[3, 5, 4, 2]));
        assert!(!has_contiguous(&[3]));
        assert!(!has_contiguous(&[]));
    }

    #[test]
    fn an_entry_without_a_page_or_without_its_frame_is_an_error() {
        assert_eq!(frame(PRESENT | 1 << 61 | 0x1234).unwrap(), 0x1234);
        assert!(frame(0x1234).unwrap_err().to_string().contains("not present"));
        assert!(frame(PRESENT).unwrap_err().to_string().contains("CAP_SYS_ADMIN"));
    }

    #[test]
    fn no_iommu_translates_for_the_loopback_interface() {
        assert!(!are_translated(1));
        assert!(!are_translated(u32::MAX));
    }

    #[test]
    fn the_memory_has_no_contiguous_pages_or_the_reason_says_what_is_missing() {
        match without_contiguous_pages(8 * PAGE) {
            Ok(mem) => {
                let frames = frames(&mem).unwrap();
                assert!(frames.len() == 8 && !has_contiguous(&frames), "{frames:x?}");
            }
            Err(why) => assert!(why.contains("CAP_SYS_ADMIN"), "{why}"),
        }
    }
}
