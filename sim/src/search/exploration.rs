//! The result of a search, and its progress.

use std::collections::BTreeSet;
use std::time::Duration;

use ifq_model::outcome::Outcome;
use ifq_model::test::schedule::CodePlace;
use serde::{Deserialize, Serialize};

use crate::executor::counterexample::Counterexample;
use crate::executor::schedule::Deviation;

/// The result of a search.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exploration {
    /// The first violation; the search ends with it.
    pub counterexample: Option<Counterexample>,
    /// The outcomes of all complete runs: what user space can observe.
    pub outcomes: BTreeSet<Outcome>,
    /// Unique states at scheduling points.
    pub states: u64,
    /// Number of orbits of the unique states, if [`super::limits::Limits::count_orbits`] asks for it.
    pub orbits: u64,
    /// Steps, each with its choices at fault points, from one state to the next.
    pub transitions: u64,
    /// Executions of the program from the start.
    pub runs: u64,
    /// Passes over the state space, until one pass found no unknown step.
    pub passes: u32,
    /// Paths that were truncated at [`crate::executor::run::MAX_STEPS`] or as unfair.
    pub truncated_paths: u64,
    /// Steps of all executions, repeated ones included.
    pub steps: u64,
    /// Length of the longest path.
    pub depth: u64,
    /// Size of the visited set in bytes.
    pub bytes: u64,
    /// No limit ended the search, no path was truncated or pruned, and no violation was found.
    pub exhaustive: bool,
    /// A limit or the user ended the search; a checkpoint can continue it.
    pub limit_reached: bool,
    /// No run matches the test's schedule: what happened instead in the run that came farthest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfollowed: Option<Unfollowed>,
    /// Wall-clock time.
    pub elapsed: Duration,
}

/// Why no run matches a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfollowed {
    /// The line that no run followed.
    pub deviation: Deviation,
    /// The places that its thread came to.
    pub passed: Vec<CodePlace>,
}

/// All outcomes of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcomes {
    /// Set of outcomes.
    pub set: BTreeSet<Outcome>,
    /// The set is complete: no limit ended the search, and no violation was found.
    pub exhaustive: bool,
}

/// A progress report.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Number of unique states so far.
    pub states: u64,
    /// Depth of the current path.
    pub depth: usize,
    /// Size of the visited set in bytes.
    pub bytes: u64,
    /// Number of the current pass, from 1.
    pub pass: u32,
    /// Estimated share of the pass that is complete, from 0 to 1, as if all branches had one size.
    pub share: f64,
    /// Wall-clock time so far.
    pub elapsed: Duration,
}
