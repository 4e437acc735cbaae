//! A root directory for a guest: our executable, what it is linked to, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::elf;

/// Where the executable stands in the guest.
pub(super) const INIT: &str = "/ifq";

/// Fills `root` with `ifq` and its shared objects.
pub(super) fn make(root: &Path, ifq: &Path) -> Result<(), String> {
    let says = |what: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", what.display());
    for dir in ["proc", "dev", "tmp"] {
        let dir = root.join(dir);
        fs::create_dir_all(&dir).map_err(|error| says(&dir, &error))?;
    }
    let file = fs::read(ifq).map_err(|error| says(ifq, &error))?;
    copy(ifq, root, Path::new(INIT))?;
    if let Some(loader) = elf::interpreter_name(&file) {
        copy(Path::new(loader), root, Path::new(loader))?;
        for object in shared_objects(loader, ifq)? {
            copy(&object, root, &object)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, root: &Path, to: &Path) -> Result<(), String> {
    let to = root.join(to.strip_prefix("/").unwrap_or(to));
    let says = |error: std::io::Error| format!("copying {} for the guest: {error}", from.display());
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(says)?;
    }
    fs::copy(from, &to).map(drop).map_err(says)
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
    fn a_root_for_this_very_program_starts_it_again() {
        let exe = std::env::current_exe().unwrap();
        let root = tempfile::tempdir().unwrap();
        make(root.path(), &exe).unwrap();
        let file = fs::read(&exe).unwrap();
        assert_eq!(fs::read(root.path().join("ifq")).unwrap(), file);
        if let Some(loader) = elf::interpreter_name(&file) {
            let inside = |path: &Path| root.path().join(path.strip_prefix("/").unwrap());
            assert!(inside(Path::new(loader)).is_file());
            let objects = shared_objects(loader, &exe).unwrap();
            assert!(!objects.is_empty());
            assert!(objects.iter().all(|object| inside(object).is_file()));
        }
    }
}
