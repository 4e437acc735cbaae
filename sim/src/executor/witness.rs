//! Witnesses: an outcome and the schedule of a run that ends with it.

use std::rc::Rc;

use ifq_model::outcome::Outcome;
use ifq_model::revision::Variant;
use ifq_model::test::{Condition, Expect, Formula, Quantifier, Schedule, Test};

use crate::executor::run::run_once;
use crate::executor::schedule::schedule_order;
use crate::executor::scheduler::Replay;

/// An outcome and a run that ends with it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Witness {
    /// The outcome.
    pub outcome: Outcome,
    /// The decisions of the run, as [`Replay`] takes them.
    pub decisions: Vec<u32>,
    /// Number of steps of the run.
    pub steps: u64,
}

impl Witness {
    /// The test with this schedule, for this variant only. Its condition is that the outcome exists.
    #[must_use]
    pub fn in_test(&self, test: &Test, variant: &Variant) -> Test {
        let Variant { revision, defects, without } = variant.clone();
        let exists = |formula| Condition {
            quantifier: Quantifier::Exists,
            formula,
            revisions: Vec::new(),
            defects: defects.clone(),
            without: without.clone(),
        };
        let schedule = Schedule {
            defects: defects.clone(),
            without: without.clone(),
            order: schedule_order(test, variant, &self.decisions),
        };
        Test {
            revisions: vec![revision],
            conditions: Formula::of(test, &self.outcome).map(exists).into_iter().collect(),
            expect: vec![Expect { revisions: Vec::new(), defects, without, violates: None }],
            schedule: Some(schedule),
            ..test.clone()
        }
    }

    /// Whether a replay of the decisions ends with the outcome after the same number of steps.
    #[must_use]
    pub fn replays(&self, test: &Test, variant: &Variant) -> bool {
        let replay = Replay::new(&self.decisions);
        let diverged = replay.diverged();
        let run = run_once(&Rc::new(test.clone()), variant, Box::new(replay));
        diverged.get().is_none()
            && run.steps == self.steps
            && run.decisions == self.decisions
            && run.outcome.as_ref() == Some(&self.outcome)
    }
}
