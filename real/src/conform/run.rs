//! Runs tests on one machine, searches the model for the allowed outcomes meanwhile, and compares.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use ifq_model::outcome::Outcome;
use ifq_model::revision::Variant;
use ifq_model::test::Test;

use super::oracle::Oracle;
use super::progress::Progress;
use crate::conform::compare::{Allowed, Comparison, Verdict, compare};
use crate::conform::divergences;
use crate::job::{Job, JobLine, Report, RunInfo};
use crate::kernels::supported::{crashes_somewhere, unsupported};
use crate::machine::{Failure, Machine, interrupted};

/// Default of [`RunOptions::idle_timeout_ms`]. Longer than the background work of the kernel (an RCU
/// grace period, one round of `io_ring_exit_work`).
pub const IDLE_TIMEOUT_MS: u64 = 300;
/// Time between two checks for an interrupt.
const INTERRUPT_POLL: Duration = Duration::from_millis(100);

/// How tests are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunOptions {
    /// Repetitions of each test.
    pub times: u32,
    /// Seed of the delays between threads.
    pub seed: u64,
    /// A wait ends without a result after so many milliseconds without progress of the test.
    pub idle_timeout_ms: u64,
    /// The model is searched only for outcomes that random schedules do not show soon. The other allowed outcomes
    /// are then unknown.
    pub observed_first: bool,
}

/// The user interrupted the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

/// The result of one test on one kernel.
#[derive(Clone, Debug)]
pub struct TestResult {
    /// The variant of the model that the kernel was compared with. `None`: there was none.
    pub variant: Option<Variant>,
    /// The comparison.
    pub comparison: Comparison,
}

/// The results of tests on one machine.
#[derive(Clone, Debug)]
pub struct MachineResults {
    /// The release of the kernel, as `uname -r`. `None`: the machine did not start.
    pub kernel: Option<String>,
    /// Why the machine could not be started.
    pub failure: Option<String>,
    /// How the machine was run.
    pub how: RunInfo,
    /// One result for each test, in order.
    pub result: Vec<TestResult>,
}

impl MachineResults {
    /// The results of a machine that cannot be started.
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

/// The allowed outcomes by test and variant, shared by machines with the same kernel.
pub type AllowedCache = Mutex<BTreeMap<(usize, String), Result<Allowed, String>>>;

/// Runs tests on a machine, searches the model at the same time, and compares.
///
/// Tests that cannot be run are not sent to the machine. If no test is left, it is not started.
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
    let obstacles: Vec<Option<String>> =
        tests.iter().map(|test| unsupported(test, machine.equipment())).collect();
    let mut able: Vec<usize> = (0..tests.len()).filter(|at| obstacles[*at].is_none()).collect();
    // A kernel that has crashed or is damaged boots again for each of the tests that follow.
    able.sort_by_key(|at| crashes_somewhere(&tests[*at]));
    let mut query = ModelQuery::new(tests, oracle, cache, progress);
    let at_once = !options.observed_first;
    let ran = run(machine, tests, &able, options, progress, &mut |kernel| {
        if at_once {
            query.start(kernel, &able);
        }
    })?;
    let mut answers = BTreeMap::new();
    if let (false, Some(kernel)) = (at_once, &ran.kernel) {
        answers = soon_found(tests, &able, &ran.reports, kernel, &**oracle);
        let rest: Vec<usize> =
            able.iter().copied().filter(|at| !answers.contains_key(at)).collect();
        query.start(kernel, &rest);
    }
    answers.extend(query.answers()?);
    let mut reports: BTreeMap<usize, Report> =
        able.iter().copied().zip(ran.reports.iter().cloned()).collect();
    let result = obstacles.into_iter().enumerate().map(|(at, obstacle)| {
        if let Some(reason) = obstacle {
            let comparison = compare(&tests[at], &Report::NotRun { reason }, &Err(String::new()));
            return TestResult { variant: None, comparison };
        }
        let no_answer = || Report::NotRun { reason: "the machine did not answer".into() };
        let report = reports.remove(&at).unwrap_or_else(no_answer);
        let (variant, allowed) = match answers.get(&at) {
            Some((variant, allowed)) => (variant.clone(), allowed.clone()),
            None => (None, Err("the model was not searched".to_owned())),
        };
        let allowed = allowed.map(|mut allowed| {
            if let Some(variant) = &variant {
                search_for_observed(&tests[at], &report, variant, &mut allowed, oracle);
            }
            allowed
        });
        let mut comparison = compare(&tests[at], &report, &allowed);
        if let (Verdict::Differs, Some(variant)) = (comparison.verdict, &variant) {
            comparison.divergences = divergences::of(&tests[at], variant);
        }
        TestResult { variant, comparison }
    });
    let RunStats { kernel, failure, how, .. } = ran;
    Ok(MachineResults { result: result.collect(), kernel, failure, how })
}

/// The answers for the tests whose observed outcomes random schedules of the model show soon.
fn soon_found(
    tests: &[Test],
    able: &[usize],
    reports: &[Report],
    kernel: &str,
    oracle: &dyn Oracle,
) -> BTreeMap<usize, ModelAnswer> {
    let completed = |(&at, report): (&usize, &Report)| match report {
        Report::Completed { histogram, .. } => {
            Some((at, histogram.iter().map(|(outcome, _)| outcome.clone()).collect()))
        }
        _ => None,
    };
    let observed: Vec<(usize, BTreeSet<Outcome>)> =
        able.iter().zip(reports).filter_map(completed).collect();
    let (next, found) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers.min(observed.len()) {
            scope.spawn(|| {
                while let Some((at, outcomes)) = observed.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let Ok(variant) = oracle.variant(&tests[*at], kernel) else { continue };
                    if !interrupted() && oracle.soon_finds(&tests[*at], &variant, outcomes) {
                        let answer = (Some(variant), Ok(Allowed::some(outcomes.clone())));
                        found.lock().unwrap_or_else(PoisonError::into_inner).insert(*at, answer);
                    }
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// If the search was not exhaustive, searches for each observed outcome that it did not find.
fn search_for_observed(
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

/// The answer of a machine.
struct RunStats {
    kernel: Option<String>,
    failure: Option<String>,
    how: RunInfo,
    reports: Vec<Report>,
}

/// Runs the tests with these indices. `ready` gets the release of the kernel.
fn run(
    machine: &dyn Machine,
    tests: &[Test],
    able: &[usize],
    options: &RunOptions,
    progress: &Progress,
    ready: &mut dyn FnMut(&str),
) -> Result<RunStats, Interrupted> {
    let RunOptions { times, seed, idle_timeout_ms, .. } = *options;
    let crashes = machine.may_crash();
    let chosen = able.iter().map(|at| tests[*at].clone()).collect();
    let job = Job { times, seed, idle_timeout_ms, crashes, ..Job::new(chosen) };
    let all = job.tests.len();
    if all == 0 {
        let (kernel, failure, how) = Default::default();
        return Ok(RunStats { kernel, failure, how, reports: Vec::new() });
    }
    let mut on_line = |line: &JobLine| match line {
        JobLine::Ready { probe } => ready(&probe.kernel),
        JobLine::Test { test, .. } => progress.machine(format!("ran {} of {all} tests", test + 1)),
        JobLine::Beat { test, done } => {
            let name = job.tests.get(*test).map_or("?", |test| &test.name);
            let number = test + 1;
            progress.machine(format!("running test {number}/{all} {name}: {done}/{times}"));
        }
        JobLine::Controlled { .. }
        | JobLine::Coverage { .. }
        | JobLine::Stuck { .. }
        | JobLine::Damaged
        | JobLine::End => {}
    };
    match machine.run(&job, &mut on_line) {
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

type ModelAnswer = (Option<Variant>, Result<Allowed, String>);

/// Searches of the model that run in background threads.
struct ModelQuery {
    tests: Arc<Vec<Test>>,
    oracle: Arc<dyn Oracle>,
    cache: Arc<AllowedCache>,
    progress: Arc<Progress>,
    pending: Option<(usize, mpsc::Receiver<(usize, ModelAnswer)>)>,
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
        ModelQuery { tests, oracle, cache, progress, pending: None }
    }

    /// Starts the searches for the tests with these indices. Later calls do nothing: a machine that is
    /// started again has the same kernel.
    fn start(&mut self, kernel: &str, able: &[usize]) {
        if self.pending.is_some() {
            return;
        }
        let (send, receive) = mpsc::channel();
        self.pending = Some((able.len(), receive));
        let next = Arc::new(AtomicUsize::new(0));
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        // The threads are not joined: after an interrupt they end with the process.
        for _ in 0..workers.min(able.len()) {
            let (tests, able, kernel) = (Arc::clone(&self.tests), able.to_vec(), kernel.to_owned());
            let (oracle, cache) = (Arc::clone(&self.oracle), Arc::clone(&self.cache));
            let (send, next, progress) =
                (send.clone(), Arc::clone(&next), Arc::clone(&self.progress));
            std::thread::spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(&at) = able.get(number) else { break };
                    let answer = answer(&*oracle, &tests[at], at, &kernel, &cache);
                    progress.model(format!(
                        "model searched for {} of {} tests",
                        number + 1,
                        able.len()
                    ));
                    if send.send((at, answer)).is_err() {
                        break;
                    }
                }
            });
        }
    }

    /// Waits for all searches.
    fn answers(self) -> Result<BTreeMap<usize, ModelAnswer>, Interrupted> {
        let mut answers = BTreeMap::new();
        let Some((count, receive)) = self.pending else { return Ok(answers) };
        while answers.len() < count {
            match receive.recv_timeout(INTERRUPT_POLL) {
                Ok((at, answer)) => _ = answers.insert(at, answer),
                Err(mpsc::RecvTimeoutError::Timeout) if interrupted() => return Err(Interrupted),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                // A search whose thread panicked has no answer.
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
) -> ModelAnswer {
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
