//! Runs a world.

use std::rc::Rc;

use ifq_model::invariant::{Invariant, Violation};
use ifq_model::revision::Variant;
use ifq_model::test::Test;

use super::draw::World;
use super::faults::FaultRate;
use super::schedulers::WorldScheduler;
use super::strategy::Strategy;
use crate::executor::counterexample::Counterexample;
use crate::executor::run::{Program, run, with_program};

/// The result of one run.
#[derive(Clone, Debug)]
pub struct WorldRun {
    /// Steps.
    pub steps: u64,
    /// Operations of the test.
    pub operations: u64,
    /// The violated invariant, or the condition that does not hold in the end.
    pub failure: Option<Counterexample>,
}

/// What user space breaks when it misuses the refill ring: it reads and counts buffers that the kernel has
/// taken back. The kernel owes these to well-behaved applications only.
const OF_USER_SPACE: [Invariant; 4] = [Invariant::I6, Invariant::I7, Invariant::I8, Invariant::I10];

impl World {
    /// Runs the world.
    #[must_use]
    pub fn run(&self) -> WorldRun {
        let run = RunOptions::of(self).run(&Rc::new(self.test.clone()), self.schedule);
        let operations = self.test.steps().count() as u64;
        WorldRun { operations, ..run }
    }
}

/// How a test of a world runs.
#[derive(Clone, Debug)]
pub(super) struct RunOptions<'w> {
    pub(super) variant: &'w Variant,
    pub(super) strategy: Strategy,
    pub(super) faults: &'w [FaultRate],
    pub(super) misuses: bool,
}

impl<'w> RunOptions<'w> {
    pub(super) fn of(world: &'w World) -> Self {
        let options = &world.options;
        RunOptions {
            variant: &options.variant,
            strategy: options.strategy,
            faults: &options.faults,
            misuses: !options.sequential && options.misuses(),
        }
    }

    /// Runs a test once.
    pub(super) fn run(&self, test: &Rc<Test>, seed: u64) -> WorldRun {
        let scheduler = WorldScheduler::new(seed, self.strategy, self.faults);
        let tolerated: &[Invariant] = if self.misuses { &OF_USER_SPACE } else { &[] };
        let result = with_program(test, self.variant, |program| {
            run(&Program { tolerated, ..*program }, Box::new(scheduler), false)
        });
        let unmet = |outcome| {
            let unmet = test.contradicted(self.variant, outcome);
            let what = format!("after the storm, this does not hold: {}", unmet.join("; "));
            (!unmet.is_empty()).then_some(Violation { invariant: Invariant::I4, what })
        };
        let violation = result.failure().or_else(|| result.outcome.as_ref().and_then(unmet));
        let (decisions, steps) = (result.decisions, result.steps);
        let failure = violation.map(|violation| Counterexample { violation, decisions, steps });
        WorldRun { steps, operations: 0, failure }
    }
}
