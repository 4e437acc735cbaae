//! Runs a test on the running kernel, again and again, and counts the outcomes.

mod arg;
mod jitter;
mod late;
mod memory;
mod ops;
mod quiet;
mod run;
mod sender;
mod session;
mod socket;
mod start;
mod told;
mod vars;

use std::collections::BTreeMap;
use std::time::Duration;

use ifq_model::outcome::Outcome;
use ifq_model::test::Test;

use crate::job::Stalls;
use crate::residue::Held;
use crate::spread::Spread;
use crate::supported::unsupported;

use session::{Pool, Session};

pub use quiet::QUIET;

/// How a test is run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Repetitions.
    pub times: u32,
    /// What the jitter comes from.
    pub seed: u64,
    /// A wait gives up after so long without any progress of the test.
    pub quiet: Duration,
}

/// What the repetitions showed.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// How often each outcome came up.
    pub histogram: BTreeMap<Outcome, u64>,
    /// What was wrong apart from outcomes, the first few.
    pub problems: Vec<String>,
    /// What pages that came late held up.
    pub stalls: Stalls,
    /// How close its threads were, where it is a race.
    pub spread: Option<Spread>,
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
pub fn run(test: &Test, options: &Options, beat: &dyn Fn()) -> Result<Seen, String> {
    if let Some(reason) = unsupported(test) {
        return Err(reason);
    }
    let mut held = Held::begin();
    let (mut seen, mut pool) = (Seen::default(), Pool::new(test));
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
                seen.problems.extend(held.memory_left());
                pool.recycle();
            }
            seen.problems.truncate(PROBLEMS);
            beat();
        }
        Ok::<(), String>(())
    })?;
    drop(pool);
    seen.problems.extend(held.left());
    seen.spread = Spread::of(&samples);
    Ok(seen)
}
