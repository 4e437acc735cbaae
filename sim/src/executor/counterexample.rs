//! A run that broke an invariant.

use std::rc::Rc;

use ifq_model::invariant::Violation;
use ifq_model::revision::Variant;
use ifq_model::test::{Expect, Schedule, Test};

use crate::executor::run::run_once;
use crate::executor::scheduler::Replay;

/// A broken invariant and the run that broke it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// What broke.
    pub violation: Violation,
    /// The decisions of the run, for [`Replay`].
    pub decisions: Vec<u32>,
    /// Its number of steps.
    pub steps: u64,
}

impl Counterexample {
    /// The test with the run in it: for this variant only, and expecting what broke.
    #[must_use]
    pub fn in_test(&self, test: &Test, variant: &Variant) -> Test {
        let (defects, without) = (variant.defects.clone(), variant.without.clone());
        let schedule = Schedule {
            defects: defects.clone(),
            without: without.clone(),
            decisions: self.decisions.clone(),
        };
        let violates = Some(self.violation.invariant);
        Test {
            revisions: vec![variant.revision],
            expect: vec![Expect { revisions: Vec::new(), defects, without, violates }],
            schedule: Some(schedule),
            ..test.clone()
        }
    }

    /// Whether the decisions lead to the same violation again, in as many steps.
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
