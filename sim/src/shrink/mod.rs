//! Shrinks a test while it violates the same invariant, and then the violating run.
//!
//! The shrinker accepts a change if the changed test is valid, smaller by [`Size`], and the explorer
//! finds a violation of the same invariant within the limits. It stops when it accepts no change. Then
//! it minimises the run: first preemptions, then steps. The result depends only on the test, the
//! variant and the limit of states.

mod edit;
mod pass;
mod preemptions;
mod size;

use std::rc::Rc;

use ifq_model::invariant::Invariant;
use ifq_model::revision::Variant;
use ifq_model::test::Test;

pub use size::Size;

use crate::executor::counterexample::Counterexample;
use crate::executor::run::with_program;
use crate::format::validate;
use crate::search::explore::{Limits, Progress, explore};
use crate::search::shortest::{fewest_preemptions, shortest};

/// All valid tests that one change makes smaller than a test, the largest changes first, without
/// duplicates. For callers with a criterion of their own; [`shrink`] uses the explorer.
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

/// Default limit of states for the search of one change.
pub const STATES: u64 = 1_000_000;

/// The length of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Length {
    /// Context switches away from a thread that could continue.
    pub preemptions: u64,
    /// Steps.
    pub steps: u64,
}

impl Length {
    /// The length of a counterexample.
    #[must_use]
    pub fn of(test: &Test, variant: &Variant, found: &Counterexample) -> Self {
        let preemptions = with_program(&Rc::new(test.clone()), variant, |program| {
            preemptions::count(program, found)
        });
        Length { preemptions, steps: found.steps }
    }
}

/// The result of [`shrink`].
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smaller test, for one variant, with the schedule of the run.
    pub test: Test,
    /// The run.
    pub counterexample: Counterexample,
    /// The run's length.
    pub length: Length,
    /// The search proved that no violating run has fewer preemptions, or as many and fewer steps.
    pub exact: bool,
    /// Number of searched tests.
    pub tried: u64,
    /// Number of searches that reached a limit.
    pub undecided: u64,
}

/// Parameters and counters of all searches.
struct Shrinker<'a> {
    variant: &'a Variant,
    wanted: Invariant,
    limits: Limits,
    progress: &'a mut dyn FnMut(&Test, Progress),
    tried: u64,
    undecided: u64,
}

/// Shrinks a test that violates an invariant in the run `found`.
///
/// `limits` apply to each search. The shrinker calls `progress` regularly with the test that it
/// searches.
pub fn shrink(
    test: &Test,
    variant: &Variant,
    found: &Counterexample,
    limits: &Limits,
    progress: &mut dyn FnMut(&Test, Progress),
) -> Shrunk {
    let (wanted, limits) = (found.violation.invariant, *limits);
    let mut shrinker = Shrinker { variant, wanted, limits, progress, tried: 0, undecided: 0 };
    let mut best = (Test { schedule: None, ..found.in_test(test, variant) }, found.clone());
    while shrinker.round(&mut best) {}
    let (test, found) = best;
    let (counterexample, exact) = shrinker.minimise_run(&test, found);
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
    /// Tries every change once; returns whether it accepted one.
    fn round(&mut self, best: &mut (Test, Counterexample)) -> bool {
        let mut size = Size::of(&best.0);
        let before = size;
        for pass in pass::passes(&best.0) {
            let mut i = 0;
            // After an accepted change, the next change has the same number.
            while let Some(test) = pass(&best.0, i) {
                let smaller = Size::of(&test);
                if smaller < size
                    && validate(&test).is_ok()
                    && let Some(found) = self.find_violation_of(&test)
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

    /// A run of the test that violates the invariant.
    fn find_violation_of(&mut self, test: &Test) -> Option<Counterexample> {
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
        // The explorer stops at the first violation, which is of another invariant.
        let seen = shortest(test, self.variant, Some(self.wanted), &self.limits, progress);
        self.undecided += u64::from(seen.counterexample.is_none() && !seen.exact);
        seen.counterexample
    }

    /// The run with the fewest preemptions, then the fewest steps, and whether that is proved.
    fn minimise_run(&mut self, test: &Test, mut found: Counterexample) -> (Counterexample, bool) {
        let program = Rc::new(test.clone());
        loop {
            found = with_program(&program, self.variant, |p| preemptions::reduce(p, &found));
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
