//! Stores counterexamples. One that cannot be stored is printed, so that it is not lost.

use std::path::{Path, PathBuf};

use ifq_model::revision::Variant;
use ifq_model::test::Test;
use ifq_sim::executor::counterexample::Counterexample;
use ifq_sim::format;
use ifq_sim::report::counterexample;
use ifq_sim::report::table::Layout;

use super::exit::EXIT_USAGE;
use crate::output::terminal_width;

/// Stores a counterexample as a test file in a folder.
///
/// # Errors
/// The exit code, after the error and the test file were printed to standard error.
pub(super) fn keep(
    folder: &Path,
    test: &Test,
    variant: &Variant,
    found: &Counterexample,
) -> Result<PathBuf, u8> {
    counterexample::save(folder, test, variant, found).map_err(|error| {
        let name = format!("{}.ifq", counterexample::file_stem(test, variant, found));
        not_written(&folder.join(name), &error, &format::print(&found.in_test(test, variant)))
    })
}

/// Reports that a test file was not written, and prints its text; returns the exit code.
pub(super) fn not_written(path: &Path, error: &std::io::Error, text: &str) -> u8 {
    errln!("ifq: cannot write {}: {error}; this is the file:\n{text}", path.display());
    EXIT_USAGE
}

/// The layout of the table of a run: as wide as the terminal.
pub(super) fn layout() -> Layout {
    let Layout { width, full } = Layout::default();
    Layout { width: terminal_width().unwrap_or(width), full }
}
