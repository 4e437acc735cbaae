//! Finding test files in a folder.

use std::io;
use std::path::{Path, PathBuf};

/// All files below a folder whose names end in `.ifq`, sorted by folder, then by name. The search does
/// not follow symbolic links to folders.
///
/// # Errors
/// The folder or one of its subfolders cannot be read.
pub fn test_files(folder: impl AsRef<Path>) -> io::Result<Vec<PathBuf>> {
    files_with_ending(folder.as_ref(), "ifq")
}

/// As [`test_files`], for names that end in a dot and `ending`.
pub(crate) fn files_with_ending(folder: &Path, ending: &str) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == ending) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
