//! The library of test files, built into the binary, with their recorded outcomes.

use std::path::Path;

use ifq_sim::format::Input;
use ifq_sim::format::{ParseError, parse};
use ifq_sim::report::recorded_outcomes::{RecordError, RecordedOutcomes, path_of};
use include_dir::{Dir, File, include_dir};

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../tests/library");

/// The folder of the library in the repository. Paths of its files start with it.
pub const FOLDER: &str = "tests/library";

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
            let path = format!("{FOLDER}/{}", file.path().display());
            let test = parse(&path, file.contents_utf8().unwrap_or_default())?;
            Ok(Input { path, test })
        })
        .collect()
}

/// The text of a file of the library, by the path that [`tests`] gives it.
#[must_use]
pub fn text(path: &str) -> Option<&'static str> {
    let path = Path::new(path).strip_prefix(FOLDER).ok()?;
    FILES.get_file(path)?.contents_utf8()
}

/// The recorded outcomes of a test of the library, by the path that [`tests`] gives it.
///
/// # Errors
/// The file is not well-formed.
pub fn recorded_outcomes(path: &str) -> Result<Option<RecordedOutcomes>, RecordError> {
    let path = path_of(Path::new(path)).display().to_string();
    text(&path).map(|text| RecordedOutcomes::parse(&path, text)).transpose()
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

    #[test]
    fn each_test_that_holds_on_a_variant_has_its_recorded_outcomes_in_the_binary() {
        for Input { path, test } in tests().unwrap() {
            let holds = test.variants().iter().any(|variant| test.expected(variant).is_none());
            assert_eq!(recorded_outcomes(&path).unwrap().is_some(), holds, "{path}");
        }
    }
}
