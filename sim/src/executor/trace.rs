//! Traces: what happened in one run, step by step. Recorded on demand.

use std::collections::BTreeSet;

use serde::Serialize;

/// A word that a step changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WordChange {
    /// Its name, as in `ifq0.refs`.
    pub word: String,
    /// Value before the step.
    pub old: u64,
    /// Value after the step.
    pub new: u64,
}

/// One step of one thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TraceEvent {
    /// Index into [`Trace::threads`].
    pub thread: usize,
    /// The innermost kernel function at the beginning of the step.
    pub function: String,
    /// The access that the step begins with, as in `lock uring_lock` or `read ifq0.refs`.
    pub action: String,
    /// The words that it changed, without locks.
    pub changes: Vec<WordChange>,
    /// Allocations, frees, faults, and spawned threads.
    pub notes: Vec<String>,
}

/// A trace of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// Names of the threads, in the order of spawning.
    pub threads: Vec<String>,
    /// The steps; of a lasso's cycle, the first iteration only.
    pub events: Vec<TraceEvent>,
    /// The kernel functions that were entered.
    #[serde(skip)]
    pub functions: BTreeSet<&'static str>,
    /// Of a lasso: index of the first step of the cycle, which extends to the last event.
    pub repeats_from: Option<usize>,
}

impl Trace {
    /// Removes all but the first iteration of the cycle at the end.
    pub(crate) fn keep_one_period(&mut self, period: usize) {
        // The last event has the note of the violation, so it equals no earlier one.
        let Some(last) = self.events.len().checked_sub(period + 1) else { return };
        let repeats = |from: &usize| self.events[*from] == self.events[*from + period];
        let from = (0..last).rev().take_while(repeats).last().unwrap_or(last);
        self.events.truncate(from + period);
        self.repeats_from = Some(from);
    }
}
