//! Test files named by a user: single files, and all files of folders.

use std::path::{Path, PathBuf};

use ifq_model::test::Test;

use super::{load, test_files};

/// A test and the path that it was read from.
#[derive(Clone, Debug)]
pub struct Input {
    /// Path of the file, as the user named it.
    pub path: String,
    /// The test.
    pub test: Test,
}

/// Reads the files, and all `.ifq` files of the folders, sorted by folder, then by name.
///
/// # Errors
/// One message for each file that cannot be read or is not a valid test.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Input>, Vec<String>> {
    let mut files = Vec::new();
    let mut errors = Vec::new();
    for path in paths {
        match expand(path) {
            Ok(found) => files.extend(found),
            Err(error) => errors.push(format!("{}: {error}", path.display())),
        }
    }
    let mut inputs = Vec::new();
    for path in files {
        match load(&path) {
            Ok(test) => inputs.push(Input { path: path.display().to_string(), test }),
            Err(error) => errors.push(error.to_string()),
        }
    }
    if errors.is_empty() { Ok(inputs) } else { Err(errors) }
}

/// The file itself, or the test files of a folder.
fn expand(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    test_files(path)
}
