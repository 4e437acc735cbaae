//! Keeping a counterexample as a test file, and showing it.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use ifq_model::revision::Variant;
use ifq_model::test::Test;

use crate::executor::counterexample::Counterexample;
use crate::executor::run::run_traced;
use crate::executor::scheduler::Replay;
use crate::format;
use crate::report::table::{Layout, render};

/// The table of a longer run would not be read, and not fit into memory either.
pub(super) const LONGEST_TABLE: u64 = 100_000;

/// Writes it into a folder and returns its path.
pub(super) fn save(
    folder: &Path,
    test: &Test,
    variant: &Variant,
    found: &Counterexample,
) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{}.ifq", name(test, variant, found)));
    std::fs::write(&path, format::print(&found.in_test(test, variant)))?;
    Ok(path)
}

/// Its name as a file: the test, the variant and what broke.
pub(super) fn name(test: &Test, variant: &Variant, found: &Counterexample) -> String {
    let mut name = format!("{}.{}", test.name, variant.revision);
    for defect in &variant.defects {
        name = format!("{name}.{defect}");
    }
    name += &match variant.without.as_slice() {
        [] => String::new(),
        all if all.len() == variant.revision.defects().len() => ".fixed".to_owned(),
        some => some.iter().fold(".without".to_owned(), |name, d| format!("{name}-{d}")),
    };
    format!("{name}.{}", found.violation.invariant)
}

/// The table of the run.
pub(super) fn show(test: &Test, variant: &Variant, found: &Counterexample) -> String {
    if found.steps > LONGEST_TABLE {
        return format!("{} in a run of {} steps\n", found.violation, found.steps);
    }
    let replay = Replay::new(&found.decisions);
    let run = run_traced(&Rc::new(test.clone()), variant, Box::new(replay));
    render(&run.trace.unwrap_or_default(), run.violation.as_ref(), Layout::default())
}
