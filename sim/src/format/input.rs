//! Test files named by a user: single files, all files of folders, and standard input.

use std::path::{Path, PathBuf};

use ifq_model::test::Test;

use super::load::{STDIN, load};
use super::test_files;

/// A test and the path that it was read from.
#[derive(Clone, Debug)]
pub struct Input {
    /// Path of the file, as the user named it.
    pub path: String,
    /// The test.
    pub test: Test,
}

/// Reads the files, all `.ifq` files of the folders, sorted by folder, then by name, and standard input
/// for `-`. Returns all valid tests, and one message for each file that cannot be read or is not a valid
/// test.
#[must_use]
pub fn read(paths: &[PathBuf]) -> (Vec<Input>, Vec<String>) {
    let mut files = Vec::new();
    let mut errors = Vec::new();
    for path in paths {
        if path == Path::new(STDIN) && files.contains(path) {
            errors.push("`-` is named twice: standard input can be read once".to_owned());
            continue;
        }
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
    (inputs, errors)
}

/// The file itself, or the test files of a folder.
fn expand(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let files = test_files(path).map_err(|error| error.to_string())?;
    if files.is_empty() {
        return Err("no test files; expected files whose names end in .ifq".to_owned());
    }
    Ok(files)
}
