//! Keeping a counterexample as a test file, and showing it.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use ifq_model::revision::Variant;
use ifq_model::scenario::{Schedule, Test};

use crate::exec::run_traced;
use crate::explore::Counterexample;
use crate::file;
use crate::report::table::{Layout, render};
use crate::schedule::Replay;

/// The test with the schedule of the counterexample in it.
pub(super) fn test_of(test: &Test, variant: &Variant, found: &Counterexample) -> Test {
    let mut test = test.clone();
    test.revisions = vec![variant.revision];
    let decisions = found.decisions.clone();
    test.schedule = Some(Schedule { defects: variant.defects.clone(), decisions });
    let expect = ifq_model::scenario::Expect {
        defects: variant.defects.clone(),
        violates: Some(found.violation.invariant),
    };
    test.expect.retain(|e| e.defects != variant.defects);
    test.expect.push(expect);
    test
}

/// Writes it into a folder and returns its path.
pub(super) fn save(
    folder: &Path,
    test: &Test,
    variant: &Variant,
    found: &Counterexample,
) -> std::io::Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    let mut name = format!("{}.{}", test.name, variant.revision);
    for defect in &variant.defects {
        name.push('.');
        name.push_str(defect.name());
    }
    let path = folder.join(format!("{name}.{}.ifq", found.violation.invariant));
    std::fs::write(&path, file::print(&test_of(test, variant, found)))?;
    Ok(path)
}

/// The table of the run.
pub(super) fn show(test: &Test, variant: &Variant, decisions: &[u32], layout: Layout) -> String {
    let run = run_traced(&Rc::new(test.clone()), variant, Box::new(Replay::new(decisions)));
    render(&run.trace.unwrap_or_default(), run.violation.as_ref(), layout)
}
