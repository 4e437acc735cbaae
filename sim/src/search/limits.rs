//! Options and limits of a search.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ifq_model::invariant::Invariant;

use super::options::SearchOptions;
use crate::executor::run::Program;
use crate::symmetry::Symmetries;

/// Search options, and limits that end a search early. An early end makes the result not exhaustive.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum number of unique states.
    pub max_states: u64,
    /// Maximum wall-clock time.
    pub max_time: Option<Duration>,
    /// End a path at a visited state. Without this the search enumerates every interleaving, which only
    /// the smallest tests allow; tests compare both.
    pub remember_states: bool,
    /// Partial-order reduction by persistent sets.
    pub persistent_sets: bool,
    /// Partial-order reduction by sleep sets. Ignored with more than one worker.
    pub sleep_sets: bool,
    /// Symmetry reduction.
    pub symmetry: Symmetries,
    /// Count the orbits of the visited states under these symmetries. With rings, only states in which the
    /// test's threads run count: set-up and end treat the rings one after another.
    pub count_orbits: Symmetries,
    /// Maximum number of preemptions on a path. A bounded search uses no partial-order reduction.
    pub preemptions: Option<u32>,
    /// Maximum size of the visited set in bytes.
    pub max_memory: Option<u64>,
    /// Up to this many states the search runs on one worker and fills the step table on demand. A larger
    /// search starts with the table that this and some random runs have filled.
    pub sequential_states: u64,
    /// Number of worker threads.
    pub workers: usize,
    /// Once this is true, a search ends as if it had reached a limit: the user interrupted it.
    pub stop: Option<&'static AtomicBool>,
    /// Violations of these invariants are ignored: the run continues and its outcome counts. Only I9 and
    /// I10 may be ignored, whose checks have no effect on the model's state.
    pub tolerated: &'static [Invariant],
    /// Faults happen only while the test's threads run and in background work, not in steps of `setup` and
    /// `finally`.
    pub thread_faults_only: bool,
}

impl Limits {
    /// Fifty million states, which take about 1 GiB.
    pub const DEFAULT: Limits = Limits {
        max_states: 50_000_000,
        max_time: None,
        remember_states: true,
        persistent_sets: true,
        sleep_sets: false,
        symmetry: Symmetries::RINGS,
        count_orbits: Symmetries::NONE,
        preemptions: None,
        max_memory: None,
        sequential_states: 20_000,
        workers: 1,
        stop: None,
        tolerated: &[],
        thread_faults_only: false,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Limits::DEFAULT
    }
}

impl Limits {
    /// The program with the tolerated invariants and the place of faults.
    pub(super) fn program<'a>(&self, program: &Program<'a>) -> Program<'a> {
        let Limits { tolerated, thread_faults_only, .. } = *self;
        Program { tolerated, thread_faults_only, ..*program }
    }

    /// Whether the user interrupted the search.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// The search options. A preemption bound excludes partial-order reduction; sleep sets need one worker.
    pub(super) fn options(&self) -> SearchOptions {
        let reduce = self.preemptions.is_none();
        SearchOptions {
            remember_states: self.remember_states,
            persistent_sets: self.persistent_sets && reduce,
            sleep_sets: self.sleep_sets && self.workers <= 1 && reduce,
            symmetry: self.symmetry,
            count_orbits: self.count_orbits,
            preemptions: self.preemptions,
        }
    }
}
