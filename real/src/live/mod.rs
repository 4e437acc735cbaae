//! The executor: runs a test on the running kernel repeatedly and counts the outcomes.

mod arg;
mod connection;
mod delays;
mod execute;
mod idle;
pub mod kernel_log;
mod late_page;
pub mod leak_check;
mod memory;
mod operand;
mod options;
mod payload;
mod pending;
pub mod probe;
mod rng;
mod run;
mod sender;
mod session;
mod start;
mod tasks;
mod userfault_stall;
mod values;

use std::collections::BTreeMap;

use ifq_model::outcome::Outcome;
use ifq_model::test::Test;

use crate::job::Stalls;
use crate::job::start_skew::StartSkew;
use crate::kernels::supported::unsupported;
use crate::live::leak_check::ProcessSnapshot;

use session::{ConnectionPool, Session};

pub use idle::IDLE_TIMEOUT;
pub use options::Options;

/// The observations of all repetitions.
#[derive(Clone, Debug, Default)]
pub struct Observations {
    /// The number of repetitions with each outcome.
    pub histogram: BTreeMap<Outcome, u64>,
    /// Problems that no outcome shows, the first few.
    pub problems: Vec<String>,
    /// Threads that were blocked by a delayed page fault.
    pub stalls: Stalls,
    /// How far apart the threads of a race started.
    pub start_skew: Option<StartSkew>,
}

/// Maximum number of problems kept for one test; one is enough to fail it.
const PROBLEMS: usize = 8;
/// Repetitions between two checks for leaked memory. A ring is freed after an RCU grace period, and not
/// every repetition should wait for one.
const BATCH: u32 = 32;

/// Runs a test `options.times` times; `beat` is called after each repetition.
///
/// # Errors
///
/// A message for the user: what the machine cannot do (create rings, connect sockets). It says nothing
/// about the zcrx code of the kernel.
pub fn run(test: &Test, options: &Options, beat: &dyn Fn()) -> Result<Observations, String> {
    if let Some(reason) = unsupported(test) {
        return Err(reason);
    }
    let mut resources = ProcessSnapshot::take();
    let (mut seen, mut pool) = (Observations::default(), ConnectionPool::new(test));
    let mut samples = Vec::new();
    Session::with(test, options, |session| {
        for repetition in 0..options.times {
            let (result, sockets) = session.run(repetition, pool.take()?)?;
            pool.give_back(sockets);
            *seen.histogram.entry(result.outcome).or_default() += 1;
            seen.problems.extend(result.problems);
            seen.stalls.add(result.stalls);
            samples.extend(result.sample);
            if (repetition + 1) % BATCH == 0 {
                seen.problems.extend(resources.memory_leaks());
                pool.recycle();
            }
            seen.problems.truncate(PROBLEMS);
            beat();
        }
        Ok::<(), String>(())
    })?;
    drop(pool);
    seen.problems.extend(resources.leaks());
    seen.start_skew = StartSkew::of(&samples);
    Ok(seen)
}
