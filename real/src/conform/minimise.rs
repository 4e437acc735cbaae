//! Finds a smaller test that still differs, by running candidates on the kernel.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ifq_model::test::Test;
use ifq_sim::shrink::{Size, smaller};

use super::oracle::Oracle;
use super::progress::Progress;
use super::run::{AllowedCache, Interrupted, RunOptions, TestResult, run_tests};
use crate::conform::compare::{Comparison, Verdict};
use crate::machine::Machine;

/// Candidates that run in one start of the machine.
const BATCH: usize = 64;
/// Time after which the machine is not started again.
const TIME_LIMIT: Duration = Duration::from_secs(90);
/// Idle timeout of candidates, in milliseconds. The result is confirmed with the usual timeout.
const IDLE_TIMEOUT_MS: u64 = 50;
/// Factor on the number of repetitions in which a rare outcome is expected once.
const REPEAT_FACTOR: u32 = 4;

/// The smallest test found.
#[derive(Clone, Debug)]
pub struct Minimised {
    /// The test.
    pub test: Test,
    /// Its result.
    pub result: TestResult,
    /// How it was run.
    pub options: RunOptions,
    /// Number of candidates that were run.
    pub tried: usize,
    /// Whether no single change makes it smaller. Otherwise the time was over, or a smaller test did
    /// not differ when it was confirmed.
    pub exact: bool,
}

/// Makes a test smaller while the kernel still differs in the same way: by an outcome, by a problem, or
/// by hanging.
///
/// Candidates that are smaller by one change run in batches, the largest changes first. The smallest
/// candidate that differs becomes the next test, until none differs.
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
        let confirmed = run_tests(machine, &tests, &usual, oracle, &cache, progress)?.result.pop();
        if let Some(confirmed) = confirmed.filter(|new| same(&new.comparison, &result.comparison)) {
            small.result = confirmed;
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
        if start.elapsed() > TIME_LIMIT {
            best.exact = false;
            return Ok(best);
        }
        let mut left = smaller(&best.test);
        let mut found = None;
        while !left.is_empty() && found.is_none() && start.elapsed() <= TIME_LIMIT {
            let rest = left.split_off(left.len().min(BATCH));
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

/// The number of repetitions in which the difference is expected to appear again.
fn times(comparison: &Comparison, times: u32) -> u32 {
    let outside = comparison.rows.iter().filter(|row| row.allowed == Some(false));
    let count: u64 = outside.map(|row| row.count).sum();
    match times.checked_div(u32::try_from(count).unwrap_or(u32::MAX)) {
        // It appears in nearly every repetition.
        Some(0 | 1) => 1,
        Some(rare) => rare.saturating_mul(REPEAT_FACTOR).min(times),
        None => times,
    }
}

/// Whether `one` differs in the same way as `other`.
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
            divergences: Vec::new(),
            crash: None,
            stalls: Stalls::default(),
            start_skew: None,
            packets: None,
        }
    }

    #[test]
    fn a_rare_outcome_gets_more_repetitions_and_a_certain_one_a_single_repetition() {
        assert_eq!(times(&with(&[(100, false)]), 100), 1);
        assert_eq!(times(&with(&[(60, false), (40, true)]), 100), 1);
        assert_eq!(times(&with(&[(10, false), (90, true)]), 100), 40);
        assert_eq!(times(&with(&[(1, false), (99, true)]), 100), 100);
        assert_eq!(times(&with(&[(100, true)]), 100), 100, "a problem apart from outcomes");
    }
}
