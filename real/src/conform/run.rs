//! Tests on one machine, and what the model says about them meanwhile.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use ifq_model::revision::Variant;
use ifq_model::test::Test;

use super::oracle::Oracle;
use super::progress::Progress;
use crate::conform::compare::{Allowed, Comparison, compare};
use crate::job::{Job, JobLine, Report, RunInfo};
use crate::kernels::supported::unsupported;
use crate::machine::{Failure, Machine, interrupted};

/// A wait gives up after so many milliseconds in which nothing happened, if nothing else is said.
/// Longer than what the kernel does on its own (an RCU grace period, one turn of
/// `io_ring_exit_work`).
pub const IDLE_TIMEOUT_MS: u64 = 300;
/// Time between two looks at whether the user has had enough.
const LOOK: Duration = Duration::from_millis(100);

/// How tests are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunOptions {
    /// Repetitions of each test.
    pub times: u32,
    /// What the jitter between threads comes from.
    pub seed: u64,
    /// A wait gives up after so many milliseconds in which nothing happened.
    pub idle_timeout_ms: u64,
}

/// The user ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

/// One test on one kernel.
#[derive(Clone, Debug)]
pub struct TestResult {
    /// What of the model it was compared with; `None`: there was nothing to compare.
    pub variant: Option<Variant>,
    /// What came of it.
    pub comparison: Comparison,
}

/// Tests on one machine.
#[derive(Clone, Debug)]
pub struct MachineResults {
    /// The kernel's release, as `uname -r`; `None`: it was not started, or did not get up.
    pub kernel: Option<String>,
    /// Why the machine could not be started or died before it was up.
    pub failure: Option<String>,
    /// How it was run.
    pub how: RunInfo,
    /// One for each test, in their order.
    pub result: Vec<TestResult>,
}

impl MachineResults {
    /// Of a machine that cannot be started.
    #[must_use]
    pub fn none(tests: &[Test], reason: &str) -> Self {
        let not_run = Report::NotRun { reason: reason.to_owned() };
        let comparison = |test| compare(test, &not_run, &Err(String::new()));
        let result =
            tests.iter().map(|test| TestResult { variant: None, comparison: comparison(test) });
        MachineResults {
            kernel: None,
            failure: Some(reason.to_owned()),
            how: RunInfo::default(),
            result: result.collect(),
        }
    }
}

/// What the model said, for machines with the same kernel.
pub type AllowedCache = Mutex<BTreeMap<(usize, String), Result<Allowed, String>>>;

/// Runs tests on a machine, asks the model about them at the same time, and compares.
///
/// What cannot be run is not sent to the machine; if that is everything, it is not started.
///
/// # Errors
///
/// [`Interrupted`].
pub fn run_tests(
    machine: &dyn Machine,
    tests: &Arc<Vec<Test>>,
    options: &RunOptions,
    oracle: &Arc<dyn Oracle>,
    cache: &Arc<AllowedCache>,
    progress: &Arc<Progress>,
) -> Result<MachineResults, Interrupted> {
    let obstacles: Vec<Option<String>> = tests.iter().map(unsupported).collect();
    let able: Vec<usize> = (0..tests.len()).filter(|at| obstacles[*at].is_none()).collect();
    let mut query = ModelQuery::new(tests, oracle, cache, progress);
    let ran =
        run(machine, tests, &able, options, progress, &mut |kernel| query.ask(kernel, &able))?;
    let answers = query.answers()?;
    let mut reports: BTreeMap<usize, Report> =
        able.iter().copied().zip(ran.reports.iter().cloned()).collect();
    let result = obstacles.into_iter().enumerate().map(|(at, obstacle)| {
        if let Some(reason) = obstacle {
            let comparison = compare(&tests[at], &Report::NotRun { reason }, &Err(String::new()));
            return TestResult { variant: None, comparison };
        }
        let silent = || Report::NotRun { reason: "the machine has not answered".into() };
        let report = reports.remove(&at).unwrap_or_else(silent);
        let (variant, allowed) = match answers.get(&at) {
            Some((variant, allowed)) => (variant.clone(), allowed.clone()),
            None => (None, Err("it was not asked".to_owned())),
        };
        let allowed = allowed.map(|mut allowed| {
            if let Some(variant) = &variant {
                search_for_the_rest(&tests[at], &report, variant, &mut allowed, oracle);
            }
            allowed
        });
        TestResult { variant, comparison: compare(&tests[at], &report, &allowed) }
    });
    let RunStats { kernel, failure, how, .. } = ran;
    Ok(MachineResults { result: result.collect(), kernel, failure, how })
}

/// Where the search came to no end, looks for each outcome that was seen and not found.
fn search_for_the_rest(
    test: &Test,
    report: &Report,
    variant: &Variant,
    allowed: &mut Allowed,
    oracle: &Arc<dyn Oracle>,
) {
    let Report::Completed { histogram, .. } = report else { return };
    if allowed.exhaustive {
        return;
    }
    for (outcome, _) in histogram {
        if !allowed.set.contains(outcome) && oracle.finds(test, variant, outcome) {
            allowed.set.insert(outcome.clone());
        }
    }
}

/// What a machine said.
struct RunStats {
    kernel: Option<String>,
    failure: Option<String>,
    how: RunInfo,
    reports: Vec<Report>,
}

/// Runs the tests with these numbers.
fn run(
    machine: &dyn Machine,
    tests: &[Test],
    able: &[usize],
    options: &RunOptions,
    progress: &Progress,
    ready: &mut dyn FnMut(&str),
) -> Result<RunStats, Interrupted> {
    let RunOptions { times, seed, idle_timeout_ms } = *options;
    let chosen = able.iter().map(|at| tests[*at].clone()).collect();
    let job = Job { times, seed, idle_timeout_ms, ..Job::new(chosen) };
    let all = job.tests.len();
    if all == 0 {
        let (kernel, failure, how) = Default::default();
        return Ok(RunStats { kernel, failure, how, reports: Vec::new() });
    }
    let mut look = |line: &JobLine| match line {
        JobLine::Ready { probe } => ready(&probe.kernel),
        JobLine::Test { test, .. } => progress.machine(format!("ran {} of {all} tests", test + 1)),
        JobLine::Beat { test, done } => {
            let name = job.tests.get(*test).map_or("?", |test| &test.name);
            let number = test + 1;
            progress.machine(format!("running test {number}/{all} {name}: {done}/{times}"));
        }
        JobLine::Stuck { .. } | JobLine::End => {}
    };
    match machine.run(&job, &mut look) {
        Ok(reply) => {
            let (kernel, how, reports) = (Some(reply.probe.kernel), reply.how, reply.reports);
            Ok(RunStats { kernel, failure: None, how, reports })
        }
        Err(Failure::Interrupted) => Err(Interrupted),
        Err(Failure::NotRun(reason)) => {
            let reports = vec![Report::NotRun { reason: reason.clone() }; all];
            Ok(RunStats { kernel: None, failure: Some(reason), how: RunInfo::default(), reports })
        }
    }
}

type Answer = (Option<Variant>, Result<Allowed, String>);

/// Questions to the model that are answered in the background, several at a time.
struct ModelQuery {
    tests: Arc<Vec<Test>>,
    oracle: Arc<dyn Oracle>,
    cache: Arc<AllowedCache>,
    progress: Arc<Progress>,
    asked: Option<(usize, mpsc::Receiver<(usize, Answer)>)>,
}

impl ModelQuery {
    fn new(
        tests: &Arc<Vec<Test>>,
        oracle: &Arc<dyn Oracle>,
        cache: &Arc<AllowedCache>,
        progress: &Arc<Progress>,
    ) -> Self {
        let (tests, oracle) = (Arc::clone(tests), Arc::clone(oracle));
        let (cache, progress) = (Arc::clone(cache), Arc::clone(progress));
        ModelQuery { tests, oracle, cache, progress, asked: None }
    }

    /// Asks about the tests with these numbers, once: a machine that starts again is the same.
    fn ask(&mut self, kernel: &str, able: &[usize]) {
        if self.asked.is_some() {
            return;
        }
        let (send, receive) = mpsc::channel();
        self.asked = Some((able.len(), receive));
        let next = Arc::new(AtomicUsize::new(0));
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        // The threads are left alone: one that searches when the user interrupts ends with us.
        for _ in 0..workers.min(able.len()) {
            let (tests, able, kernel) = (Arc::clone(&self.tests), able.to_vec(), kernel.to_owned());
            let (oracle, cache) = (Arc::clone(&self.oracle), Arc::clone(&self.cache));
            let (send, next, progress) =
                (send.clone(), Arc::clone(&next), Arc::clone(&self.progress));
            std::thread::spawn(move || {
                while let Some(&at) = able.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let answer = answer(&*oracle, &tests[at], at, &kernel, &cache);
                    progress.model(format!("the model has answered {} of {}", at + 1, able.len()));
                    if send.send((at, answer)).is_err() {
                        break;
                    }
                }
            });
        }
    }

    /// Waits for all answers.
    fn answers(self) -> Result<BTreeMap<usize, Answer>, Interrupted> {
        let mut answers = BTreeMap::new();
        let Some((count, receive)) = self.asked else { return Ok(answers) };
        while answers.len() < count {
            match receive.recv_timeout(LOOK) {
                Ok((at, answer)) => _ = answers.insert(at, answer),
                Err(mpsc::RecvTimeoutError::Timeout) if interrupted() => return Err(Interrupted),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                // What a thread that is gone has not answered was not asked.
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(answers)
    }
}

fn answer(
    oracle: &dyn Oracle,
    test: &Test,
    at: usize,
    kernel: &str,
    cache: &AllowedCache,
) -> Answer {
    let variant = match oracle.variant(test, kernel) {
        Ok(variant) => variant,
        Err(reason) => return (None, Err(reason)),
    };
    let key = (at, variant.to_string());
    let cached = || cache.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = cached().get(&key) {
        return (Some(variant), known.clone());
    }
    let allowed = oracle.allowed(test, &variant);
    cached().insert(key, allowed.clone());
    (Some(variant), allowed)
}
