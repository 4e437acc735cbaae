//! Stores a witness as a test file, and renders it.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use ifq_model::revision::Variant;
use ifq_model::test::Test;

use super::counterexample::variant_stem;
use super::table::{Layout, MAX_TABLE_STEPS, render};
use crate::executor::run::run_traced;
use crate::executor::scheduler::Replay;
use crate::executor::witness::Witness;
use crate::format;

/// Writes a witness into a folder as a test file with a schedule; returns its path. The file is named after
/// the test, the variant and `what`.
///
/// # Errors
/// The folder or the file cannot be written.
pub fn save(
    folder: &Path,
    test: &Test,
    variant: &Variant,
    what: &str,
    witness: &Witness,
) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let path = folder.join(format!("{}.{what}.ifq", variant_stem(test, variant)));
    std::fs::write(&path, format::print(&witness.in_test(test, variant)))?;
    Ok(path)
}

/// Runs the witness again and renders its table, with the outcome.
#[must_use]
pub fn show(test: &Test, variant: &Variant, witness: &Witness, layout: Layout) -> String {
    let outcome = witness.outcome.display(test);
    if witness.steps > MAX_TABLE_STEPS {
        return format!("a run of {} steps ends with {outcome}\n", witness.steps);
    }
    let replay = Replay::new(&witness.decisions);
    let run = run_traced(&Rc::new(test.clone()), variant, Box::new(replay));
    let table = render(&run.trace.unwrap_or_default(), run.violation.as_ref(), layout);
    format!("{table}the run ends with {outcome}\n")
}
