//! The options of a live run.

use std::time::Duration;

/// How a test is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Number of repetitions.
    pub times: u32,
    /// Seed of the delays.
    pub seed: u64,
    /// A wait ends without a result after this time without progress of the test.
    pub idle_timeout: Duration,
    /// A controller outside of the machine decides which thread runs: each thread has a processor of its own and
    /// announces its steps.
    pub forced: bool,
    /// Each call fails at each place at which the kernel can inject a failure, once. `times` does not count.
    pub sweep: bool,
}
