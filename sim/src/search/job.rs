//! Jobs of a search, and its counters.

use serde::{Deserialize, Serialize};

/// A subtree of the search: a state and its unexplored branches.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SearchJob {
    /// The decisions that lead to the state.
    pub(crate) path: Vec<u32>,
    /// The threads to explore, the first one last; `None` if the state was not expanded yet.
    pub(crate) todo: Option<Vec<u32>>,
    /// The choices at the fault points of the first of them.
    pub(crate) choices: Vec<bool>,
    /// No step of another thread conflicts with these steps: the data-race check is skipped.
    pub(crate) independent: bool,
    /// Its share of the whole search, if all branches had one size. Only for the progress estimate.
    pub(crate) share: f64,
}

impl SearchJob {
    /// The whole search.
    pub(crate) fn whole() -> Self {
        SearchJob {
            path: Vec::new(),
            todo: None,
            choices: Vec::new(),
            independent: false,
            share: 1.0,
        }
    }
}

/// Counters of a search.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct SearchCounts {
    /// Unique states.
    pub(crate) states: u64,
    /// Orbits of the unique states, if they are counted.
    pub(crate) orbits: u64,
    /// Steps from one state to the next.
    pub(crate) transitions: u64,
    /// Executions of the program that recorded unknown steps.
    pub(crate) runs: u64,
    /// Steps of those executions.
    pub(crate) run_steps: u64,
    /// Steps that the preemption bound pruned.
    pub(crate) preemption_pruned: u64,
    /// Paths that were truncated at the maximum number of steps or as unfair.
    pub(crate) truncated_paths: u64,
    /// Length of the longest path.
    pub(crate) depth: u64,
}

impl SearchCounts {
    /// Adds the counters of another part of the search.
    pub(crate) fn add(&mut self, other: &SearchCounts) {
        self.states += other.states;
        self.orbits += other.orbits;
        self.transitions += other.transitions;
        self.runs += other.runs;
        self.run_steps += other.run_steps;
        self.preemption_pruned += other.preemption_pruned;
        self.truncated_paths += other.truncated_paths;
        self.depth = self.depth.max(other.depth);
    }
}
