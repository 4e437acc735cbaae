//! The library of test files, built into the binary.

use ifq_sim::format::Input;
use ifq_sim::format::{ParseError, parse};
use include_dir::{Dir, include_dir};

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../tests/library");

/// All tests of the library, sorted by path.
///
/// # Errors
/// A file of the library is not a valid test.
pub fn tests() -> Result<Vec<Input>, ParseError> {
    let mut files: Vec<_> = FILES.files().collect();
    files.sort_by_key(|f| f.path());
    files
        .into_iter()
        .map(|file| {
            let path = format!("tests/library/{}", file.path().display());
            let test = parse(&path, file.contents_utf8().unwrap_or_default())?;
            Ok(Input { path, test })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_parses_and_each_file_is_named_after_its_test() {
        let library = tests().unwrap();
        assert!(library.len() >= 12);
        for Input { path, test } in library {
            assert_eq!(path, format!("tests/library/{}.ifq", test.name));
        }
    }
}
