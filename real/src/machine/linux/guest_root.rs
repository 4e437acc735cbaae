//! The root directory of a guest: this executable and its shared objects.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::elf;

/// Path of the executable in the guest.
pub(super) const INIT: &str = "/ifq";

/// The files of the root directory, by absolute path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct GuestRoot(BTreeMap<PathBuf, Vec<u8>>);

impl GuestRoot {
    /// `ifq` and its shared objects.
    pub(super) fn of(ifq: &Path) -> Result<Self, String> {
        let mut root = GuestRoot::default();
        let file = read(ifq)?;
        if let Some(loader) = elf::interpreter_name(&file) {
            root.add(loader, read(Path::new(loader))?);
            for object in shared_objects(loader, ifq)? {
                let bytes = read(&object)?;
                root.add(object, bytes);
            }
        }
        root.add(INIT, file);
        Ok(root)
    }

    /// Adds a file.
    pub(super) fn add(&mut self, path: impl Into<PathBuf>, bytes: Vec<u8>) {
        self.0.insert(path.into(), bytes);
    }

    /// The files in the order of their paths. All are executable.
    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.0.iter().map(|(path, bytes)| (path.as_path(), bytes.as_slice()))
    }

    /// Empty directories.
    pub(super) fn directories(&self) -> impl Iterator<Item = &Path> {
        ["/dev", "/proc", "/sys", "/tmp"].iter().map(Path::new)
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("reading {} for the guest: {error}", file.display()))
}

/// The shared objects of a program, as listed by its loader.
fn shared_objects(loader: &str, program: &Path) -> Result<Vec<PathBuf>, String> {
    let output = Command::new(loader)
        .arg("--list")
        .arg(program)
        .output()
        .map_err(|error| format!("{loader} --list: {error}"))?;
    if !output.status.success() {
        return Err(format!("{loader} --list: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(parse_list(&String::from_utf8_lossy(&output.stdout)))
}

/// Lines such as `libc.so.6 => /lib/libc.so.6 (0x7f…)`; the lines of the loader and
/// the vDSO have no arrow, or no path after it.
fn parse_list(text: &str) -> Vec<PathBuf> {
    text.lines()
        .filter_map(|line| line.split_once(" => "))
        .filter_map(|(_, found)| found.split_whitespace().next())
        .filter(|path| path.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_the_loader_names_the_files_to_copy() {
        let text = "\tlinux-vdso.so.1 (0x00007ffe)\n\
                    \tlibgcc_s.so.1 => /lib/x86_64-linux-gnu/libgcc_s.so.1 (0x00007f1)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f2)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f3)\n";
        let expected = ["/lib/x86_64-linux-gnu/libgcc_s.so.1", "/lib/x86_64-linux-gnu/libc.so.6"];
        assert_eq!(parse_list(text), expected.map(PathBuf::from));
    }

    #[test]
    fn the_root_of_this_program_contains_it_and_its_shared_objects() {
        let exe = std::env::current_exe().unwrap();
        let root = GuestRoot::of(&exe).unwrap();
        let file = fs::read(&exe).unwrap();
        let inside: BTreeMap<_, _> = root.files().collect();
        assert_eq!(inside[Path::new(INIT)], file);
        if let Some(loader) = elf::interpreter_name(&file) {
            assert!(inside.contains_key(Path::new(loader)));
            let objects = shared_objects(loader, &exe).unwrap();
            assert!(!objects.is_empty());
            assert!(objects.iter().all(|object| inside.contains_key(object.as_path())));
        }
    }
}
