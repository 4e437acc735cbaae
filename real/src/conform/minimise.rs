//! A smaller test that still differs on the kernel: each step is run there again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ifq_model::test::Test;
use ifq_sim::shrink::{Size, smaller};

use super::oracle::Oracle;
use super::progress::Progress;
use super::run::{AllowedCache, Interrupted, RunOptions, TestResult, run_tests};
use crate::conform::compare::{Comparison, Verdict};
use crate::machine::Machine;

/// Tests of one start of the machine.
const ROUND: usize = 64;
/// The machine starts only within this time.
const TIME: Duration = Duration::from_secs(90);
/// Quiet time on the way, in milliseconds. Whether the smallest test differs is looked at with the
/// usual one.
const IDLE_TIMEOUT_MS: u64 = 50;
/// An outcome that came up once in so many repetitions is looked for in as many times this number.
const PATIENCE: u32 = 4;

/// A test made smaller.
#[derive(Clone, Debug)]
pub struct Minimised {
    /// The test.
    pub test: Test,
    /// How it differs.
    pub result: TestResult,
    /// How it was run.
    pub options: RunOptions,
    /// Tests that were run on the way.
    pub tried: usize,
    /// Nothing smaller by one change differs in the same way; otherwise the time was over, or a
    /// smaller one did not differ again.
    pub exact: bool,
}

/// Makes a test smaller while the kernel still differs in the same way: by an outcome, by what it
/// says, or by hanging.
///
/// Tests that are smaller by one change run many in one start of the machine, the boldest changes
/// first, and the smallest of those that differ is taken; until none does.
///
/// # Errors
///
/// [`Interrupted`].
pub fn minimise(
    machine: &dyn Machine,
    test: &Test,
    result: &TestResult,
    options: &RunOptions,
    oracle: &Arc<dyn Oracle>,
    progress: &Arc<Progress>,
) -> Result<Minimised, Interrupted> {
    let usual = RunOptions { times: times(&result.comparison, options.times), ..*options };
    let quick = RunOptions { idle_timeout_ms: usual.idle_timeout_ms.min(IDLE_TIMEOUT_MS), ..usual };
    let mut tried = 0;
    for options in [quick, usual] {
        let from = (test, result);
        let mut small = search(machine, from, &options, oracle, progress)?;
        tried += small.tried;
        let tests = Arc::new(vec![small.test.clone()]);
        let cache = Arc::new(AllowedCache::default());
        let sure = run_tests(machine, &tests, &usual, oracle, &cache, progress)?.result.pop();
        if let Some(sure) = sure.filter(|sure| same(&sure.comparison, &result.comparison)) {
            small.result = sure;
            return Ok(Minimised { tried, options: usual, ..small });
        }
    }
    let (test, result) = (test.clone(), result.clone());
    Ok(Minimised { test, result, options: *options, tried, exact: false })
}

fn search(
    machine: &dyn Machine,
    (test, result): (&Test, &TestResult),
    options: &RunOptions,
    oracle: &Arc<dyn Oracle>,
    progress: &Arc<Progress>,
) -> Result<Minimised, Interrupted> {
    let start = Instant::now();
    let (test, result) = (test.clone(), result.clone());
    let mut best = Minimised { test, result, options: *options, tried: 0, exact: true };
    loop {
        if start.elapsed() > TIME {
            best.exact = false;
            return Ok(best);
        }
        let mut left = smaller(&best.test);
        let mut found = None;
        while !left.is_empty() && found.is_none() && start.elapsed() <= TIME {
            let rest = left.split_off(left.len().min(ROUND));
            progress.title(format!(
                "{} differs on {}, {} steps left",
                best.test.name,
                machine.name(),
                best.test.steps().count()
            ));
            best.tried += left.len();
            let tests = Arc::new(std::mem::replace(&mut left, rest));
            let cache = Arc::new(AllowedCache::default());
            let results = run_tests(machine, &tests, &best.options, oracle, &cache, progress)?;
            found = tests
                .iter()
                .zip(results.result)
                .filter(|(_, result)| same(&result.comparison, &best.result.comparison))
                .min_by_key(|(test, _)| Size::of(test))
                .map(|(test, result)| (test.clone(), result));
        }
        match found {
            Some((test, result)) => (best.test, best.result) = (test, result),
            None => {
                best.exact = left.is_empty();
                return Ok(best);
            }
        }
    }
}

/// Repetitions in which what was seen is seen again.
fn times(comparison: &Comparison, times: u32) -> u32 {
    let outside = comparison.rows.iter().filter(|row| row.allowed == Some(false));
    let count: u64 = outside.map(|row| row.count).sum();
    match times.checked_div(u32::try_from(count).unwrap_or(u32::MAX)) {
        // Each time, or nearly so: once is enough.
        Some(0 | 1) => 1,
        Some(rare) => rare.saturating_mul(PATIENCE).min(times),
        None => times,
    }
}

/// Whether two differences are of one kind.
fn same(one: &Comparison, other: &Comparison) -> bool {
    one.verdict == Verdict::Differs && one.difference == other.difference
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conform::compare::HistogramRow;
    use crate::job::Stalls;

    fn with(counts: &[(u64, bool)]) -> Comparison {
        let row = |&(count, allowed): &(u64, bool)| HistogramRow {
            outcome: String::new(),
            count,
            allowed: Some(allowed),
            by_fault: false,
        };
        Comparison {
            verdict: Verdict::Differs,
            reason: String::new(),
            rows: counts.iter().map(row).collect(),
            exhaustive: true,
            difference: None,
            stalls: Stalls::default(),
            start_skew: None,
        }
    }

    #[test]
    fn what_is_rare_is_looked_for_longer_and_what_is_certain_once() {
        assert_eq!(times(&with(&[(100, false)]), 100), 1);
        assert_eq!(times(&with(&[(60, false), (40, true)]), 100), 1);
        assert_eq!(times(&with(&[(10, false), (90, true)]), 100), 40);
        assert_eq!(times(&with(&[(1, false), (99, true)]), 100), 100);
        assert_eq!(times(&with(&[(100, true)]), 100), 100, "a problem apart from outcomes");
    }
}
