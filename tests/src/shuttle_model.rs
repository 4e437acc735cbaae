//! Runs a body many times under one of shuttle's schedulers, with a fixed seed.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ifq_model::fault::FaultPoint;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

use crate::engine::panic_text;
use crate::print_coverage;
use crate::shuttle_platform;

/// Stack size of a thread in bytes.
const STACK_BYTES: usize = 1 << 18;

/// A scheduler of shuttle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Every runnable thread is equally likely.
    Random,
    /// Probabilistic concurrency testing (Burckhardt et al., ASPLOS 2010): an execution of n threads
    /// and k steps finds a bug of depth d with a probability of at least 1/(n k^(d-1)).
    Pct {
        /// The number of ordering constraints that the bug needs.
        depth: usize,
    },
}

/// A series of executions of one body.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// The scheduler that draws the schedules.
    pub strategy: Strategy,
    /// The seed of the schedules.
    pub seed: u64,
    /// Number of executions.
    pub iterations: usize,
    /// Fault points that may fail.
    pub faults: Vec<FaultPoint>,
    /// Limit on the number of failures in one execution.
    pub max_faults: u32,
}

impl fmt::Display for Campaign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, seed {}, {} iterations", self.strategy, self.seed, self.iterations)
    }
}

impl Campaign {
    /// A campaign without faults.
    #[must_use]
    pub fn new(strategy: Strategy, seed: u64, iterations: usize) -> Self {
        Campaign { strategy, seed, iterations, faults: Vec::new(), max_faults: 0 }
    }

    /// Runs all executions and prints `NAME: Random, seed S, N iterations`.
    ///
    /// # Panics
    /// With the invariant's name if an execution breaks one. shuttle prints the schedule for a replay.
    pub fn run(&self, name: &str, body: impl Fn() + Send + Sync + 'static) {
        print_coverage(format_args!("{name}: {self}"));
        self.check(body);
    }

    /// Runs the executions and returns the text of the first violation, `None` if there is none.
    pub fn violation(&self, name: &str, body: impl Fn() + Send + Sync + 'static) -> Option<String> {
        let text = catch_unwind(AssertUnwindSafe(|| self.check(body)))
            .err()
            .map(|payload| panic_text(&*payload));
        print_coverage(format_args!(
            "{name}: {self}: {}",
            text.as_deref().unwrap_or("no violation")
        ));
        text
    }

    fn check(&self, body: impl Fn() + Send + Sync + 'static) {
        let (faults, max_faults) = (self.faults.clone(), self.max_faults);
        let body = move || {
            shuttle_platform::reset(&faults, max_faults);
            body();
            shuttle_platform::join_workers();
        };
        let mut config = Config::new();
        config.stack_size = STACK_BYTES;
        match self.strategy {
            Strategy::Random => {
                let scheduler = RandomScheduler::new_from_seed(self.seed, self.iterations);
                Runner::new(scheduler, config).run(body);
            }
            Strategy::Pct { depth } => {
                let scheduler = PctScheduler::new_from_seed(self.seed, depth, self.iterations);
                Runner::new(scheduler, config).run(body);
            }
        }
    }
}
