//! Goal: a defect changes nothing on a revision that has no code for it.
//!
//! Method: simulate the library on each of its revisions, with and without each such defect. The same seed
//! must give the same runs.

use std::path::Path;

use ifq_model::revision::{Defect, Variant};
use ifq_sim::commands::simulate::simulate;
use ifq_sim::format::{load, test_files};

/// Random runs of each variant.
const RUNS: u64 = 2;

#[test]
fn a_defect_changes_no_run_on_a_revision_that_has_no_code_for_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
    let mut compared = 0;
    for path in test_files(folder).unwrap() {
        let test = load(&path).unwrap();
        for &revision in &test.revisions {
            let runs = |variant: &Variant| {
                let found = simulate(&test, variant, 1, RUNS, &|| true);
                (found.runs, found.steps, found.outcomes, found.counterexample)
            };
            let plain = runs(&Variant::of(revision));
            for &defect in Defect::ALL.iter().filter(|d| !d.has_code_in(revision)) {
                let with = runs(&Variant::with(revision, &[defect]));
                assert_eq!(with, plain, "{} on {revision} with {defect}", path.display());
                compared += 1;
            }
        }
    }
    assert!(compared > 5_000, "{compared}");
}
