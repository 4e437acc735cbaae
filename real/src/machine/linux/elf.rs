//! The one thing that is needed of an ELF file: the name of its loader.

use std::ops::Range;

/// `PT_INTERP` of `elf(5)`.
const PT_INTERP: u32 = 3;

/// Where in a 64-bit little-endian ELF file the name of its loader stands, with its final NUL.
/// `None`: a static program, or no such file.
pub(super) fn interpreter(file: &[u8]) -> Option<Range<usize>> {
    if file.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let table = usize::try_from(u64_at(file, 0x20)?).ok()?;
    let size = usize::from(u16_at(file, 0x36)?);
    let count = usize::from(u16_at(file, 0x38)?);
    let header = (0..count)
        .filter_map(|i| table.checked_add(i * size))
        .find(|&at| u32_at(file, at) == Some(PT_INTERP))?;
    let start = usize::try_from(u64_at(file, header + 8)?).ok()?;
    let len = usize::try_from(u64_at(file, header + 32)?).ok()?;
    let range = start..start.checked_add(len)?;
    file.get(range.clone()).map(|_| range)
}

/// The name of the loader that an ELF file asks for.
pub(super) fn interpreter_name(file: &[u8]) -> Option<&str> {
    let name = &file[interpreter(file)?];
    std::str::from_utf8(name.split(|&byte| byte == 0).next()?).ok()
}

/// Makes an ELF file ask for another loader, whose name must not be longer than the old one.
pub(super) fn set_interpreter(file: &mut [u8], name: &str) -> Result<(), String> {
    let range = interpreter(file).ok_or("it asks for no loader")?;
    if name.len() >= range.len() {
        return Err(format!("the loader's name {name:?} is too long"));
    }
    let place = &mut file[range];
    place.fill(0);
    place[..name.len()].copy_from_slice(name.as_bytes());
    Ok(())
}

fn bytes<const N: usize>(file: &[u8], at: usize) -> Option<[u8; N]> {
    file.get(at..at.checked_add(N)?)?.try_into().ok()
}

fn u16_at(file: &[u8], at: usize) -> Option<u16> {
    bytes(file, at).map(u16::from_le_bytes)
}

fn u32_at(file: &[u8], at: usize) -> Option<u32> {
    bytes(file, at).map(u32::from_le_bytes)
}

fn u64_at(file: &[u8], at: usize) -> Option<u64> {
    bytes(file, at).map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of one program header that asks for `/lib/ld.so`.
    fn sample() -> Vec<u8> {
        let mut file = vec![0; 64 + 56];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[0x20] = 64;
        file[0x36] = 56;
        file[0x38] = 1;
        file[64] = 3;
        file[64 + 8] = 120;
        file[64 + 32] = 11;
        file.extend_from_slice(b"/lib/ld.so\0");
        file
    }

    #[test]
    fn the_loader_is_found_and_can_be_replaced_by_a_shorter_one() {
        let mut file = sample();
        assert_eq!(interpreter_name(&file), Some("/lib/ld.so"));
        set_interpreter(&mut file, "./ld.so").unwrap();
        assert_eq!(interpreter_name(&file), Some("./ld.so"));
        assert!(set_interpreter(&mut file, "/a/longer/ld").is_err());
        assert_eq!(file.len(), sample().len());
    }

    #[test]
    fn files_cut_short_or_of_another_kind_have_no_loader() {
        assert_eq!(interpreter(b"#!/bin/sh"), None);
        let file = sample();
        for len in 0..file.len() {
            assert_eq!(interpreter(&file[..len]), None, "{len} bytes");
        }
    }
}
