//! Runs a test on the running kernel, again and again, and counts the outcomes.

mod memory;
mod ops;
mod quiet;
mod run;
mod socket;
mod vars;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ifq_model::outcome::Outcome;
use ifq_model::scenario::Test;

use crate::supported::unsupported;

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
}

/// Problems kept of one test; one is enough to fail it.
const PROBLEMS: usize = 8;
/// How long a closed ring may take to let go of its memory.
const SETTLE: Duration = Duration::from_secs(5);

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
    let mut seen = Seen::default();
    for repetition in 0..options.times {
        let (outcome, problems) = run::once(test, options, repetition)?;
        *seen.histogram.entry(outcome).or_default() += 1;
        seen.problems.extend(problems);
        seen.problems.extend(settle());
        seen.problems.truncate(PROBLEMS);
        beat();
    }
    Ok(seen)
}

/// Waits until the kernel has let go of all memory that rings had pinned.
fn settle() -> Option<String> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(200);
    loop {
        let pinned = pinned_kib()?;
        if pinned == 0 {
            return None;
        }
        if start.elapsed() > SETTLE {
            let seconds = SETTLE.as_secs();
            return Some(format!(
                "{pinned} KiB are still pinned {seconds} s after everything was closed"
            ));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// `VmPin` of this process in KiB; `None` if the kernel does not say.
fn pinned_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmPin:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_pinned_in_a_process_that_has_no_ring() {
        assert_eq!(pinned_kib(), Some(0));
        assert_eq!(settle(), None);
    }
}
