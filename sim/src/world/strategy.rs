//! How a world is scheduled. The seed draws the strategy.

use std::fmt;

use serde::Serialize;

use crate::executor::rng::Rng;

/// A strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Each enabled thread with the same probability.
    Uniform,
    /// Probabilistic concurrency testing: the enabled thread of highest priority, and `depth - 1` changes of
    /// a priority among the first `length` steps.
    Pct {
        /// Number of scheduling constraints that the strategy can satisfy by chance.
        depth: u32,
        /// Estimated number of steps.
        length: u64,
    },
    /// A thread runs until it is blocked, except for a number of preemptions among the first `length` steps.
    Bounded {
        /// Number of preemptions.
        preemptions: u32,
        /// Estimated number of steps.
        length: u64,
    },
    /// Uniform, but one thread runs only if no other can.
    Starving {
        /// The thread, by its index in the test.
        thread: u32,
    },
}

/// Steps of a world per operation, on average.
const STEPS_PER_OPERATION: u64 = 16;

impl Strategy {
    /// Draws a strategy for a world with this many operations.
    #[must_use]
    pub fn draw(rng: &mut Rng, operations: u32) -> Self {
        let length = u64::from(operations) * STEPS_PER_OPERATION;
        match rng.below(8) {
            0..=2 => Strategy::Uniform,
            3 | 4 => Strategy::Pct { depth: 2 + rng.below(30) as u32, length },
            5 | 6 => Strategy::Bounded { preemptions: rng.below(60) as u32, length },
            _ => Strategy::Starving { thread: rng.below(8) as u32 },
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Strategy::Uniform => f.write_str("uniform"),
            Strategy::Pct { depth, .. } => write!(f, "pct depth={depth}"),
            Strategy::Bounded { preemptions, .. } => write!(f, "bounded preemptions={preemptions}"),
            Strategy::Starving { thread } => write!(f, "starving thread={thread}"),
        }
    }
}
