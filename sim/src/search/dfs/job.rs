//! Parts of a search, and what they came to.

use serde::{Deserialize, Serialize};

/// A part of a search: a state, and what is still to be tried from it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// The decisions that lead there.
    pub(crate) path: Vec<u32>,
    /// The threads to try, the first one last; `None`: the state was not looked at yet.
    pub(crate) todo: Option<Vec<u32>>,
    /// The choices at fault points of the first of them.
    pub(crate) choices: Vec<bool>,
    pub(crate) quiet: bool,
    /// Its share of the whole search, if every branch were of the same size. Only for the estimate of
    /// what is left.
    pub(crate) share: f64,
}

impl Job {
    /// The whole search.
    pub(crate) fn whole() -> Self {
        Job { path: Vec::new(), todo: None, choices: Vec::new(), quiet: false, share: 1.0 }
    }
}

/// Counts of a search.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Unique states.
    pub(crate) states: u64,
    /// Unique states without the names of buffers.
    pub(crate) orbits: u64,
    /// Steps from one state to the next.
    pub(crate) transitions: u64,
    /// Runs of the real program, to learn its steps.
    pub(crate) runs: u64,
    /// Steps of those.
    pub(crate) run_steps: u64,
    /// Steps that were not taken because the path has had all its preemptions.
    pub(crate) withheld: u64,
    /// Paths that were given up after the greatest number of steps.
    pub(crate) truncated_paths: u64,
    /// Longest path.
    pub(crate) depth: u64,
}

impl Counts {
    /// Of two parts of a search.
    pub(crate) fn add(&mut self, other: &Counts) {
        self.states += other.states;
        self.orbits += other.orbits;
        self.transitions += other.transitions;
        self.runs += other.runs;
        self.run_steps += other.run_steps;
        self.withheld += other.withheld;
        self.truncated_paths += other.truncated_paths;
        self.depth = self.depth.max(other.depth);
    }
}
