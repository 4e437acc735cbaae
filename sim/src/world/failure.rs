//! Cuts a world in which an invariant does not hold to a small test with a schedule.
//!
//! The core idea is to cut in two stages. A world is too large for a search, so the first stage removes parts and
//! runs what is left a few times with other schedules; it keeps what fails again. The second stage is the
//! shrinker of [`crate::shrink`], which searches all schedules of a test that is small by then.

use std::rc::Rc;

use ifq_model::invariant::Invariant;
use ifq_model::revision::Variant;
use ifq_model::test::Test;

use super::draw::World;
use super::run::RunOptions;
use super::strategy::Strategy;
use crate::executor::counterexample::Counterexample;
use crate::executor::rng::Rng;
use crate::format::validate;
use crate::search::explore::Limits;
use crate::shrink::{few_switches, reduce, shrink};

/// A world that was cut.
#[derive(Clone, Debug)]
pub struct Cut {
    /// The test.
    pub test: Test,
    /// The run that violates the invariant.
    pub found: Counterexample,
    /// Runs of the first stage.
    pub runs: u64,
}

impl Cut {
    /// The test with the schedule of the run, as a file has it.
    #[must_use]
    pub fn with_schedule(&self, variant: &Variant) -> Test {
        self.found.in_test(&self.test, variant)
    }
}

/// Steps that all tries of one candidate may take.
const STEPS_PER_CANDIDATE: u64 = 60_000;
/// Most tries of one candidate.
const TRIES: u64 = 40;
/// Steps of a test from which on the second stage does not search.
const SEARCHED: usize = 24;
/// States that the search of one candidate may visit.
const STATES: u64 = 20_000;

/// Cuts the world of a failure. The same failure gives the same result.
#[must_use]
pub fn cut(world: &World, failure: &Counterexample) -> Cut {
    let variant = &world.options.variant;
    let wanted = failure.violation.invariant;
    let is_condition = !is_violation(&world.test, variant, failure);
    let mut tries = Tries { world, wanted, is_condition, rng: Rng::new(world.seed), runs: 0 };
    let start = Test { schedule: None, ..world.test.clone() };
    let found = tries.find(&start).unwrap_or_else(|| failure.clone());
    let (mut test, mut found) = reduce(&start, &found, &mut |test| tries.find(test));
    let runs = tries.runs;
    let misuses = RunOptions::of(world).misuses;
    if !is_condition && !misuses && test.steps().count() <= SEARCHED {
        let limits = Limits { max_states: STATES, workers: 1, ..Limits::default() };
        let shrunk = shrink(&test, variant, &found, &limits, &mut |_, _| {});
        (test, found) = (Test { schedule: None, ..shrunk.test }, shrunk.counterexample);
    } else if !is_condition {
        found = few_switches(&test, variant, &found);
    }
    Cut { test, found, runs }
}

/// Whether a replay ends in the violation. A condition that does not hold is none.
fn is_violation(test: &Test, variant: &Variant, failure: &Counterexample) -> bool {
    test.conditions.is_empty() || failure.replays(test, variant)
}

/// Looks for a run that fails in the same way.
struct Tries<'w> {
    world: &'w World,
    wanted: Invariant,
    /// The failure is a condition that does not hold in the end.
    is_condition: bool,
    rng: Rng,
    runs: u64,
}

impl Tries<'_> {
    fn find(&mut self, test: &Test) -> Option<Counterexample> {
        if validate(test).is_err() {
            return None;
        }
        let (test, mut steps) = (Rc::new(test.clone()), 0);
        for attempt in 0..TRIES {
            if steps > STEPS_PER_CANDIDATE {
                return None;
            }
            let run = self.attempt(&test, attempt);
            steps += run.steps;
            self.runs += 1;
            let same = |found: &Counterexample| {
                let variant = &self.world.options.variant;
                found.violation.invariant == self.wanted
                    && (self.is_condition || self.replays(&test, variant, found))
            };
            if let Some(found) = run.failure.filter(same) {
                return Some(found);
            }
        }
        None
    }

    /// A run without what a world tolerates must fail in the same way.
    fn replays(&self, test: &Test, variant: &Variant, found: &Counterexample) -> bool {
        !RunOptions::of(self.world).misuses || found.replays(test, variant)
    }

    /// The first attempt has the strategy of the world; later ones take turns.
    fn attempt(&mut self, test: &Rc<Test>, attempt: u64) -> super::run::WorldRun {
        let length = 16 * test.steps().count() as u64;
        let strategy = match attempt % 4 {
            0 => self.world.options.strategy,
            1 => Strategy::Uniform,
            2 => Strategy::Bounded { preemptions: 1 + self.rng.below(4) as u32, length },
            _ => Strategy::Pct { depth: 2 + self.rng.below(3) as u32, length },
        };
        let options = RunOptions { strategy, ..RunOptions::of(self.world) };
        let seed = if attempt == 0 { self.world.schedule } else { self.rng.next_u64() };
        options.run(test, seed)
    }
}
