//! Making a test smaller while the same invariant still breaks; then the run that breaks it.
//!
//! A change of the test is taken if the test is valid and smaller by [`Size`], and the explorer
//! still finds the invariant broken within the limits: what it cannot decide is not taken. That is
//! repeated until no change is taken any more. Then the run: first the fewest preemptions, then the
//! fewest steps. All of it is determined by the test, the variant and the limit of states.

mod edit;
mod input;
mod pass;
mod size;
mod switches;

use std::rc::Rc;

use ifq_model::invariant::Invariant;
use ifq_model::revision::Variant;
use ifq_model::test::Test;

pub use input::find_violation;
pub use size::Size;

use crate::executor::counterexample::Counterexample;
use crate::executor::run::with_program;
use crate::format::validate;
use crate::search::explore::{Limits, Progress, explore};
use crate::search::shortest::{fewest_preemptions, shortest};

/// All valid tests that are smaller than a test by one change, the boldest change first, each once.
///
/// [`shrink`] asks the explorer about them; whoever has another question asks it of these.
#[must_use]
pub fn smaller(test: &Test) -> Vec<Test> {
    let size = Size::of(test);
    let mut found: Vec<Test> = Vec::new();
    for pass in pass::passes(test) {
        for changed in (0..).map_while(|i| pass(test, i)) {
            if Size::of(&changed) < size && validate(&changed).is_ok() && !found.contains(&changed)
            {
                found.push(changed);
            }
        }
    }
    found
}

/// States searched for one change, if nothing else is said.
pub const STATES: u64 = 1_000_000;

/// How long a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Length {
    /// Switches away from a thread that could have gone on.
    pub preemptions: u64,
    /// Steps.
    pub steps: u64,
}

impl Length {
    /// Of a counterexample.
    #[must_use]
    pub fn of(test: &Test, variant: &Variant, found: &Counterexample) -> Self {
        let preemptions = with_program(&Rc::new(test.clone()), variant, |program| {
            switches::preemptions(program, found)
        });
        Length { preemptions, steps: found.steps }
    }
}

/// A test made smaller.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// For the one variant, with the run in it.
    pub test: Test,
    /// The run.
    pub counterexample: Counterexample,
    /// The run's length.
    pub length: Length,
    /// There is no run of this test with fewer preemptions, nor a shorter one with as many.
    pub exact: bool,
    /// Tests that were searched.
    pub tried: u64,
    /// Searches that came to no end within the limits.
    pub undecided: u64,
}

/// What all searches have in common.
struct Shrinker<'a> {
    variant: &'a Variant,
    wanted: Invariant,
    limits: Limits,
    progress: &'a mut dyn FnMut(&Test, Progress),
    tried: u64,
    undecided: u64,
}

/// Makes a test smaller on which an invariant breaks in this run.
///
/// `max_states` is for each of the many searches. `progress` is called now and then, with the test
/// as it is.
pub fn shrink(
    test: &Test,
    variant: &Variant,
    found: &Counterexample,
    max_states: u64,
    progress: &mut dyn FnMut(&Test, Progress),
) -> Shrunk {
    let wanted = found.violation.invariant;
    let limits = Limits { max_states, ..Limits::default() };
    let mut shrinker = Shrinker { variant, wanted, limits, progress, tried: 0, undecided: 0 };
    let mut best = (Test { schedule: None, ..found.in_test(test, variant) }, found.clone());
    while shrinker.round(&mut best) {}
    let (test, found) = best;
    let (counterexample, exact) = shrinker.run(&test, found);
    Shrunk {
        length: Length::of(&test, variant, &counterexample),
        test: counterexample.in_test(&test, variant),
        counterexample,
        exact,
        tried: shrinker.tried,
        undecided: shrinker.undecided,
    }
}

impl Shrinker<'_> {
    /// Tries every change once; whether one was taken.
    fn round(&mut self, best: &mut (Test, Counterexample)) -> bool {
        let mut size = Size::of(&best.0);
        let before = size;
        for pass in pass::passes(&best.0) {
            let mut i = 0;
            // After a change that is taken the next one has its number.
            while let Some(test) = pass(&best.0, i) {
                let smaller = Size::of(&test);
                if smaller < size
                    && validate(&test).is_ok()
                    && let Some(found) = self.breaks(&test)
                {
                    size = smaller;
                    *best = (test, found);
                } else {
                    i += 1;
                }
            }
        }
        size < before
    }

    /// A run of the test that breaks the invariant.
    fn breaks(&mut self, test: &Test) -> Option<Counterexample> {
        self.tried += 1;
        let progress = &mut |at| (self.progress)(test, at);
        let seen = explore(test, self.variant, &self.limits, progress);
        let Some(found) = seen.counterexample else {
            self.undecided += u64::from(!seen.exhaustive);
            return None;
        };
        if found.violation.invariant == self.wanted {
            return Some(found);
        }
        // The explorer ends with the first one that breaks.
        let seen = shortest(test, self.variant, Some(self.wanted), &self.limits, progress);
        self.undecided += u64::from(seen.counterexample.is_none() && !seen.exact);
        seen.counterexample
    }

    /// The run with the fewest preemptions, then the fewest steps, and whether that is sure.
    fn run(&mut self, test: &Test, mut found: Counterexample) -> (Counterexample, bool) {
        let program = Rc::new(test.clone());
        loop {
            found = with_program(&program, self.variant, |p| switches::reduce(p, &found));
            let Length { preemptions, steps } = Length::of(test, self.variant, &found);
            let least = fewest_preemptions(
                test,
                self.variant,
                self.wanted,
                (preemptions, steps),
                &self.limits,
                &mut |at| (self.progress)(test, at),
            );
            let better = least.counterexample.is_some();
            found = least.counterexample.unwrap_or(found);
            if least.exact || !better {
                return (found, least.exact);
            }
        }
    }
}
