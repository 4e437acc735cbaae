//! A root directory for a guest: our executable, what it is linked to, and nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::elf;

/// Where the executable stands in the guest.
pub(super) const INIT: &str = "/ifq";

/// The files of a guest's root directory, by their absolute names.
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

    /// The files, in the order of their names; all of them may be executed.
    pub(super) fn files(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.0.iter().map(|(path, bytes)| (path.as_path(), bytes.as_slice()))
    }

    /// Directories that are wanted even if nothing is in them.
    pub(super) fn directories(&self) -> impl Iterator<Item = &Path> {
        ["/dev", "/proc", "/sys", "/tmp"].iter().map(Path::new)
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("reading {} for the guest: {error}", file.display()))
}

/// The files that a program's own loader maps for it.
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

/// Lines such as `libc.so.6 => /lib/libc.so.6 (0x7f…)`; the loader and the vDSO have no arrow, or
/// no path behind it.
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
    fn the_loaders_list_names_the_files_to_copy() {
        let text = "\tlinux-vdso.so.1 (0x00007ffe)\n\
                    \tlibgcc_s.so.1 => /lib/x86_64-linux-gnu/libgcc_s.so.1 (0x00007f1)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f2)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f3)\n";
        let expected = ["/lib/x86_64-linux-gnu/libgcc_s.so.1", "/lib/x86_64-linux-gnu/libc.so.6"];
        assert_eq!(parse_list(text), expected.map(PathBuf::from));
    }

    #[test]
    fn a_root_for_this_very_program_has_it_and_everything_it_is_linked_to() {
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
