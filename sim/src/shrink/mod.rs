//! Shrinks a test while it violates the same invariant, and then the violating run.
//!
//! The shrinker accepts a change if the changed test is valid, smaller by [`Size`], and the explorer
//! finds a violation of the same invariant within the limits. It stops when it accepts no change. Then
//! it minimises the run: first preemptions, then steps. The result depends only on the test, the
//! variant and the limit of states.

mod edit;
mod lines;
mod pass;
mod preemptions;
mod size;

use std::rc::Rc;

use ifq_model::invariant::Invariant;
use ifq_model::revision::Variant;
use ifq_model::test::Test;

pub use size::Size;

use crate::executor::counterexample::Counterexample;
use crate::executor::run::{Program, RunResult, with_program};
use crate::executor::witness::Witness;
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

/// A run with the same violation and few context switches: first fewer preemptions, then fewer lines of its schedule
/// in words. Each change is tried by executing it; nothing is searched.
#[must_use]
pub fn few_switches(test: &Test, variant: &Variant, found: &Counterexample) -> Counterexample {
    let wanted = |run: &RunResult| run.violation.as_ref() == Some(&found.violation);
    let run = few_switches_of(test, variant, &wanted, &found.decisions);
    run.and_then(Counterexample::of_run).unwrap_or_else(|| found.clone())
}

/// As [`few_switches`], for a run with the same outcome.
#[must_use]
pub fn few_switches_to(test: &Test, variant: &Variant, found: &Witness) -> Witness {
    let wanted = |run: &RunResult| run.outcome.as_ref() == Some(&found.outcome);
    let run = few_switches_of(test, variant, &wanted, &found.decisions);
    let outcome = found.outcome.clone();
    run.map_or_else(
        || found.clone(),
        |run| Witness { outcome, decisions: run.decisions, steps: run.steps },
    )
}

fn few_switches_of(
    test: &Test,
    variant: &Variant,
    wanted: preemptions::Wanted<'_>,
    decisions: &[u32],
) -> Option<RunResult> {
    // The changes would leave a schedule that a person wrote. Changing a long run takes too long.
    if test.schedule.is_some() || decisions.len() > MAX_REDUCED {
        return None;
    }
    let reduced = with_program(&Rc::new(test.clone()), variant, |program| {
        preemptions::reduce(program, wanted, decisions)
    })?;
    lines::fewest_lines(test, variant, wanted, &reduced.decisions).or(Some(reduced))
}

/// Whether a run violates an invariant.
fn violates(run: &RunResult, invariant: Invariant) -> bool {
    run.violation.as_ref().is_some_and(|violation| violation.invariant == invariant)
}

/// Longest run that [`few_switches`] changes, in decisions.
const MAX_REDUCED: usize = 2000;

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
            preemptions::count(program, &found.decisions)
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
    while round(&mut best, &mut |test| shrinker.find_violation_of(test)) {}
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

/// Makes a test smaller as long as `find` finds a run of the smaller test. For callers with a criterion of their
/// own, and for tests that are too large for a search.
#[must_use]
pub fn reduce(
    test: &Test,
    found: &Counterexample,
    find: &mut dyn FnMut(&Test) -> Option<Counterexample>,
) -> (Test, Counterexample) {
    let mut best = (test.clone(), found.clone());
    while round(&mut best, find) {}
    best
}

/// Tries every change once; returns whether it accepted one.
fn round(
    best: &mut (Test, Counterexample),
    find: &mut dyn FnMut(&Test) -> Option<Counterexample>,
) -> bool {
    let mut size = Size::of(&best.0);
    let before = size;
    for pass in pass::passes(&best.0) {
        let mut i = 0;
        // After an accepted change, the next change has the same number.
        while let Some(test) = pass(&best.0, i) {
            let smaller = Size::of(&test);
            if smaller < size
                && validate(&test).is_ok()
                && let Some(found) = find(&test)
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

impl Shrinker<'_> {
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

    /// A run with as few preemptions as single changes reach.
    fn reduce(&self, program: &Program<'_>, found: Counterexample) -> Counterexample {
        let wanted = |run: &RunResult| violates(run, self.wanted);
        let reduced = preemptions::reduce(program, &wanted, &found.decisions);
        reduced.and_then(Counterexample::of_run).unwrap_or(found)
    }

    /// A run that is no longer and whose schedule in words has fewer lines, if there is one.
    fn fewest_lines(&self, test: &Test, found: Counterexample) -> Counterexample {
        let length = Length::of(test, self.variant, &found);
        let wanted = |run: &RunResult| {
            violates(run, self.wanted)
                && Counterexample::of_run(run.clone())
                    .is_some_and(|run| Length::of(test, self.variant, &run) <= length)
        };
        let run = lines::fewest_lines(test, self.variant, &wanted, &found.decisions);
        run.and_then(Counterexample::of_run).unwrap_or(found)
    }

    /// The run with the fewest preemptions, then the fewest steps, and whether that is proved.
    fn minimise_run(&mut self, test: &Test, mut found: Counterexample) -> (Counterexample, bool) {
        let program = Rc::new(test.clone());
        loop {
            found = with_program(&program, self.variant, |p| self.reduce(p, found));
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
                return (self.fewest_lines(test, found), least.exact);
            }
        }
    }
}
