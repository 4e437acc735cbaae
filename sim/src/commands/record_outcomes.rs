//! Records the outcomes of test files: writes the files that changed, and removes those that are stale.

use std::io;
use std::path::{Path, PathBuf};

use ifq_model::test::Test;

use crate::format::files_with_ending;
use crate::report::recorded_outcomes::{ENDING, RecordedOutcomes, path_of};
use crate::search::explore::{Limits, Progress, explore};

/// What was done to a file with recorded outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The file has the right outcomes already, or is rightly absent.
    None,
    /// The file was written for the first time.
    New,
    /// The file was written with other outcomes than before; so many of its lines are new and gone.
    Changed {
        /// Lines that were added.
        added: usize,
        /// Lines that were removed.
        removed: usize,
    },
    /// The file was removed: its test has no complete set of outcomes, or does not exist any more.
    Removed,
}

/// The complete sets of outcomes of a test, one for each variant that is expected to hold.
///
/// # Errors
/// A sentence for the first of these variants that violates an invariant or reaches a limit.
pub fn complete_outcomes(
    test_file: &Path,
    test: &Test,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Result<RecordedOutcomes, String> {
    let mut recorded = RecordedOutcomes::new(&path_of(test_file));
    for variant in test.variants().iter().filter(|variant| test.expected(variant).is_none()) {
        let found = explore(test, variant, limits, progress);
        if let Some(counterexample) = &found.counterexample {
            let violation = &counterexample.violation;
            return Err(format!("{} on {variant} violates {violation}", test.name));
        }
        if !found.exhaustive {
            return Err(format!("{} on {variant}: a limit ended the search", test.name));
        }
        recorded.add(test, variant, &found.outcomes);
    }
    Ok(recorded)
}

/// Writes the recorded outcomes of a test file, if they changed.
///
/// # Errors
/// The file cannot be read, written or removed.
pub fn write(test_file: &Path, recorded: &RecordedOutcomes) -> io::Result<Change> {
    let path = path_of(test_file);
    let before = match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let now = recorded.print();
    match before {
        None if recorded.is_empty() => Ok(Change::None),
        Some(_) if recorded.is_empty() => {
            std::fs::remove_file(path)?;
            Ok(Change::Removed)
        }
        Some(before) if before == now => Ok(Change::None),
        None => {
            std::fs::write(path, now)?;
            Ok(Change::New)
        }
        Some(before) => {
            let missing = |from: &str, other: &str| {
                let other: Vec<&str> = other.lines().collect();
                from.lines().filter(|line| !other.contains(line)).count()
            };
            let (added, removed) = (missing(&now, &before), missing(&before, &now));
            std::fs::write(path, now)?;
            Ok(Change::Changed { added, removed })
        }
    }
}

/// The files with recorded outcomes below a folder whose test file does not exist any more. Other files
/// with this ending are not among them.
///
/// # Errors
/// The folder or a file cannot be read.
pub fn stale(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in files_with_ending(folder, ENDING)? {
        let has_test = ["ifq", "json"].iter().any(|ending| path.with_extension(ending).exists());
        if !has_test && RecordedOutcomes::parse("", &std::fs::read_to_string(&path)?).is_ok() {
            found.push(path);
        }
    }
    Ok(found)
}
