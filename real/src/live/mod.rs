//! Runs a test on the running kernel, again and again, and counts the outcomes.

mod arg;
mod connection;
mod delays;
mod execute;
mod idle;
pub mod kernel_log;
pub mod leak_check;
mod memory;
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

/// What the repetitions showed.
#[derive(Clone, Debug, Default)]
pub struct Observations {
    /// How often each outcome came up.
    pub histogram: BTreeMap<Outcome, u64>,
    /// What was wrong apart from outcomes, the first few.
    pub problems: Vec<String>,
    /// What pages that came late held up.
    pub stalls: Stalls,
    /// How close its threads were, where it is a race.
    pub start_skew: Option<StartSkew>,
}

/// Problems kept of one test; one is enough to fail it.
const PROBLEMS: usize = 8;
/// Repetitions after which it is seen whether the kernel has let go of all memory. The end of a ring
/// takes an RCU grace period, for which not every repetition has to wait.
const BATCH: u32 = 32;

/// Runs a test `options.times` times; `beat` is called after each repetition.
///
/// # Errors
///
/// What the machine could not do (make rings, connect sockets), for people; a property of the
/// machine and not of the kernel's sharing code.
pub fn run(test: &Test, options: &Options, beat: &dyn Fn()) -> Result<Observations, String> {
    if let Some(reason) = unsupported(test) {
        return Err(reason);
    }
    let mut resources = ProcessSnapshot::take();
    let (mut seen, mut pool) = (Observations::default(), ConnectionPool::new(test));
    let mut samples = Vec::new();
    Session::with(test, options, |session| {
        for repetition in 0..options.times {
            let (shown, sockets) = session.run(repetition, pool.take()?)?;
            pool.give_back(sockets);
            *seen.histogram.entry(shown.outcome).or_default() += 1;
            seen.problems.extend(shown.problems);
            seen.stalls.add(shown.stalls);
            samples.extend(shown.sample);
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
