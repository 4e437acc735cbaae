//! Runs a body under one of shuttle's schedulers, with a fixed seed.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ifq_model::fault::FaultPoint;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner};

use crate::engine::panic_text;
use crate::say;
use crate::shuttle_platform;

/// Stack of a thread in bytes.
const STACK_BYTES: usize = 1 << 18;

/// How schedules are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Every runnable thread is as likely as every other.
    Random,
    /// Probabilistic concurrency testing (Burckhardt et al., ASPLOS 2010) for bugs of this depth: a
    /// bug of depth d among n threads and k steps is met with probability 1/(n k^(d-1)) or more.
    Pct {
        /// Number of ordering constraints that the bug needs.
        depth: usize,
    },
}

/// One campaign.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// How schedules are drawn.
    pub strategy: Strategy,
    /// The seed: the same one draws the same schedules.
    pub seed: u64,
    /// Executions.
    pub iterations: usize,
    /// Points that may fail.
    pub faults: Vec<FaultPoint>,
    /// At most so many of them fail in one execution.
    pub max_faults: u32,
}

impl fmt::Display for Campaign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, seed {}, {} iterations", self.strategy, self.seed, self.iterations)
    }
}

impl Campaign {
    /// Without faults.
    #[must_use]
    pub fn new(strategy: Strategy, seed: u64, iterations: usize) -> Self {
        Campaign { strategy, seed, iterations, faults: Vec::new(), max_faults: 0 }
    }

    /// Runs all executions and prints `NAME: Random, seed S, N iterations`.
    ///
    /// # Panics
    /// With the invariant's name where one is broken; shuttle prints the schedule that repeats it.
    pub fn run(&self, name: &str, body: impl Fn() + Send + Sync + 'static) {
        say(format_args!("{name}: {self}"));
        self.check(body);
    }

    /// The text of the violation that the executions meet, `None` if they meet none.
    pub fn violation(&self, name: &str, body: impl Fn() + Send + Sync + 'static) -> Option<String> {
        let text = catch_unwind(AssertUnwindSafe(|| self.check(body)))
            .err()
            .map(|payload| panic_text(&*payload));
        say(format_args!("{name}: {self}: {}", text.as_deref().unwrap_or("no violation")));
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
