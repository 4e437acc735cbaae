//! The library of test files, built into the binary.

use ifq_sim::format::Input;
use ifq_sim::format::{ParseError, parse};
use include_dir::{Dir, File, include_dir};

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../tests/library");

/// All tests of the library, sorted by folder, then by name.
///
/// # Errors
/// A file of the library is not a valid test.
pub fn tests() -> Result<Vec<Input>, ParseError> {
    let mut files = Vec::new();
    collect_test_files(&FILES, &mut files);
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

fn collect_test_files<'a>(folder: &'a Dir<'a>, files: &mut Vec<&'a File<'a>>) {
    files.extend(folder.files().filter(|file| file.path().extension().is_some_and(|e| e == "ifq")));
    for subfolder in folder.dirs() {
        collect_test_files(subfolder, files);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_parses_and_each_file_is_named_after_its_test() {
        let library = tests().unwrap();
        assert!(library.len() >= 185);
        for Input { path, test } in library {
            let name = std::path::Path::new(&path).file_stem().and_then(|stem| stem.to_str());
            assert_eq!(name, Some(test.name.as_str()), "{path}");
        }
    }
}
