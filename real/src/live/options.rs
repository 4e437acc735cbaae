//! The options of a live run.

use std::time::Duration;

/// How a test is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Repetitions.
    pub times: u32,
    /// What the rng comes from.
    pub seed: u64,
    /// A wait gives up after so long without any progress of the test.
    pub idle_timeout: Duration,
}
