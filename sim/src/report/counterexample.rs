//! Stores a counterexample as a test file, and renders it.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use ifq_model::revision::Variant;
use ifq_model::test::Test;

use crate::executor::counterexample::Counterexample;
use crate::executor::run::run_traced;
use crate::executor::scheduler::Replay;
use crate::format;
use crate::report::table::{Layout, MAX_TABLE_STEPS, render};

/// Writes a counterexample into a folder as a test file with a schedule; returns its path.
///
/// # Errors
/// The folder or the file cannot be written.
pub fn save(
    folder: &Path,
    test: &Test,
    variant: &Variant,
    found: &Counterexample,
) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{}.ifq", file_stem(test, variant, found)));
    std::fs::write(&path, format::print(&found.in_test(test, variant)))?;
    Ok(path)
}

/// The file name without extension: test, revision, defects and invariant, separated by dots.
#[must_use]
pub fn file_stem(test: &Test, variant: &Variant, found: &Counterexample) -> String {
    format!("{}.{}", variant_stem(test, variant), found.violation.invariant)
}

/// Test, revision and defects, separated by dots.
pub(super) fn variant_stem(test: &Test, variant: &Variant) -> String {
    let mut name = format!("{}.{}", test.name, variant.revision);
    for defect in &variant.defects {
        name = format!("{name}.{defect}");
    }
    name += &match variant.without.as_slice() {
        [] => String::new(),
        all if all.len() == variant.revision.defects().len() => ".fixed".to_owned(),
        some => some.iter().fold(".without".to_owned(), |name, d| format!("{name}-{d}")),
    };
    name
}

/// Runs the counterexample again and renders its table.
#[must_use]
pub fn show(test: &Test, variant: &Variant, found: &Counterexample) -> String {
    show_in(test, variant, found, Layout::default())
}

/// As [`show`], with a layout.
#[must_use]
pub fn show_in(test: &Test, variant: &Variant, found: &Counterexample, layout: Layout) -> String {
    if found.steps > MAX_TABLE_STEPS {
        return format!("{} in a run of {} steps\n", found.violation, found.steps);
    }
    let replay = Replay::new(&found.decisions);
    let run = run_traced(&Rc::new(test.clone()), variant, Box::new(replay));
    render(&run.trace.unwrap_or_default(), run.violation.as_ref(), layout)
}
