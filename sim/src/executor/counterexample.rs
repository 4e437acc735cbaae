//! Counterexamples: a violation and the schedule that leads to it.

use std::rc::Rc;

use ifq_model::invariant::Violation;
use ifq_model::revision::Variant;
use ifq_model::test::{Expect, Schedule, Test};
use serde::{Deserialize, Serialize};

use crate::executor::run::run_once;
use crate::executor::schedule::schedule_order;
use crate::executor::scheduler::Replay;

/// A violated invariant and the run that violates it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counterexample {
    /// The violation.
    pub violation: Violation,
    /// The decisions of the run, as [`Replay`] takes them.
    pub decisions: Vec<u32>,
    /// Number of steps of the run.
    pub steps: u64,
}

impl Counterexample {
    /// The test with this schedule, for this variant only, with the violation as expected verdict and
    /// without conditions, which need all outcomes.
    #[must_use]
    pub fn in_test(&self, test: &Test, variant: &Variant) -> Test {
        let (defects, without) = (variant.defects.clone(), variant.without.clone());
        let schedule = Schedule {
            defects: defects.clone(),
            without: without.clone(),
            order: schedule_order(test, variant, &self.decisions),
        };
        let violates = Some(self.violation.invariant);
        Test {
            revisions: vec![variant.revision],
            expect: vec![Expect { revisions: Vec::new(), defects, without, violates }],
            conditions: Vec::new(),
            schedule: Some(schedule),
            ..test.clone()
        }
    }

    /// Whether a replay of the decisions ends in the same violation after the same number of steps.
    #[must_use]
    pub fn replays(&self, test: &Test, variant: &Variant) -> bool {
        let replay = Replay::new(&self.decisions);
        let diverged = replay.diverged();
        let run = run_once(&Rc::new(test.clone()), variant, Box::new(replay));
        diverged.get().is_none()
            && run.steps == self.steps
            && run.failure().as_ref() == Some(&self.violation)
    }
}
