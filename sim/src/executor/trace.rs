//! What happened in one run, step by step. Recorded only when somebody wants to read it.

use serde::Serialize;

/// One word that a step changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WordChange {
    /// `ifq0.refs`.
    pub word: String,
    /// Value before.
    pub old: u64,
    /// Value after.
    pub new: u64,
}

/// One step of one thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TraceEvent {
    /// Index into [`Trace::threads`].
    pub thread: usize,
    /// The innermost kernel function at the step's start.
    pub function: String,
    /// What the step began with: `lock uring_lock`, `read ifq0.refs`.
    pub action: String,
    /// The words it changed, locks left out.
    pub changes: Vec<WordChange>,
    /// Objects made and freed, faults, threads started.
    pub notes: Vec<String>,
}

/// A whole run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// Names of the threads, in the order in which they started.
    pub threads: Vec<String>,
    /// The steps. Of what comes back for ever, once.
    pub events: Vec<TraceEvent>,
    /// Where the steps begin that come back for ever, up to the last one.
    pub repeats_from: Option<usize>,
}

impl Trace {
    /// Leaves of the last steps, which are rounds of this length, only the first round.
    pub(crate) fn fold(&mut self, period: usize) {
        // The last event has a note that it is the last.
        let Some(last) = self.events.len().checked_sub(period + 1) else { return };
        let comes_back = |from: &usize| self.events[*from] == self.events[*from + period];
        let from = (0..last).rev().take_while(comes_back).last().unwrap_or(last);
        self.events.truncate(from + period);
        self.repeats_from = Some(from);
    }
}
