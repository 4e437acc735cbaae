//! Goal: the model keeps the contract of operations and scopes: what a thread does after one of them does not
//! depend on what it read in it.
//!
//! Method: many random runs of each library file are recorded in one table. A step that differs from the one
//! that was recorded for the same observations panics.

use std::path::PathBuf;
use std::sync::Arc;

use super::StepTable;
use crate::executor::run::with_program;
use crate::executor::scheduler::{Pct, Random, Scheduler};
use crate::format;
use crate::symmetry::BufferSymmetry;
use crate::symmetry::rings::symmetry_group;

/// Runs of each variant.
const RUNS: u64 = 12;

#[test]
fn random_runs_of_a_library_file_agree_with_each_other_in_every_step() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
    for path in format::test_files(folder).unwrap() {
        let test = std::rc::Rc::new(format::load(path).unwrap());
        for variant in test.variants() {
            let mut table = StepTable::new(BufferSymmetry::NONE, Arc::new(symmetry_group(&test)));
            with_program(&test, &variant, |program| {
                for seed in 0..RUNS {
                    let scheduler: Box<dyn Scheduler> = match seed % 2 {
                        0 => Box::new(Random::new(seed)),
                        _ => Box::new(Pct::new(seed)),
                    };
                    table.record_run(program, scheduler);
                }
            });
        }
    }
}
