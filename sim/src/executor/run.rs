//! One run of a test on the deterministic machine.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use ifq_model::fault::FaultPoint;
use ifq_model::invariant::{Invariant, Violation};
use ifq_model::outcome::Outcome;
use ifq_model::revision::{Defect, Variant};
use ifq_model::run;
use ifq_model::test::Test;

use crate::executor::buffer_symmetry::BufferSymmetry;
use crate::executor::lasso::{LASSO_FROM, LassoDetector};
use crate::executor::machine::{Machine, with};
use crate::executor::platform::Det;
use crate::executor::recorder::Recorder;
use crate::executor::scheduler::{FuzzSchedule, Random, Scheduler, SchedulingPoint};
use crate::executor::trace::Trace;

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunResult {
    /// What user space observed; `None` if the run did not complete.
    pub outcome: Option<Outcome>,
    /// The violated invariant.
    pub violation: Option<Violation>,
    /// Every decision: for a step the index of the thread, for a fault point 1 if it failed.
    pub decisions: Vec<u32>,
    /// Number of steps.
    pub steps: u64,
    /// The run was truncated at the maximum number of steps.
    pub step_limit_hit: bool,
    /// The run is a lasso whose cycle has this many steps.
    pub lasso_period: Option<u64>,
    /// The run repeated for long, but unfairly: an enabled thread took no step.
    pub unfair_lasso: bool,
    /// The trace, if it was asked for.
    pub trace: Option<Trace>,
}

impl RunResult {
    /// The violation; a run that was truncated counts as a violation of I4.
    #[must_use]
    pub fn failure(&self) -> Option<Violation> {
        let step_limit = || Violation {
            invariant: Invariant::I4,
            what: format!("no end after {} steps", self.steps),
        };
        self.violation.clone().or_else(|| self.step_limit_hit.then(step_limit))
    }
}

/// Steps after which a run is truncated: far above what any test of the library needs.
pub const MAX_STEPS: u64 = 1 << 20;

/// What a run executes. Creates the future of its first thread for each run.
#[derive(Clone, Copy)]
pub(crate) struct Program<'a> {
    pub(crate) main: &'a dyn Fn() -> Pin<Box<dyn Future<Output = Outcome>>>,
    pub(crate) faults: &'a [FaultPoint],
    pub(crate) max_faults: u32,
    pub(crate) symmetry: BufferSymmetry,
    /// The test, if the program treats its rings symmetrically.
    pub(crate) symmetric_test: Option<&'a Test>,
    /// A run is truncated after so many steps.
    pub(crate) max_steps: u64,
    /// Length, a power of two, from which on a run is checked for a lasso; see
    /// [`crate::executor::lasso::LassoDetector`].
    pub(crate) lasso_from: u64,
    /// Violations of these invariants are ignored.
    pub(crate) tolerated: &'a [Invariant],
    /// The first thread has no faults.
    pub(crate) thread_faults_only: bool,
}

/// Runs a test once. The scheduler takes every decision.
pub fn run_once(test: &Rc<Test>, variant: &Variant, scheduler: Box<dyn Scheduler>) -> RunResult {
    with_program(test, variant, |program| run(program, scheduler, false))
}

/// As [`run_once`], with a schedule from the bytes of a fuzzer.
///
/// A run that is too short for the detection of lassos needs no fingerprints, which cost as much as the run
/// itself. So they are left out, and a run that turns out to be longer begins again with them.
#[must_use]
pub fn run_fuzzed(test: &Rc<Test>, variant: &Variant, schedule: &[u8]) -> RunResult {
    with_program(test, variant, |program| {
        let short = Program { max_steps: program.lasso_from / 2, ..*program };
        let run_short = run(&short, Box::new(FuzzSchedule::new(schedule).without_states()), false);
        if !run_short.step_limit_hit {
            return run_short;
        }
        run(program, Box::new(FuzzSchedule::new(schedule)), false)
    })
}

/// The kernel functions that random runs of a test enter. A function that only rare schedules enter may be
/// missing.
#[must_use]
pub fn functions_reached(test: &Rc<Test>, variant: &Variant, runs: u64) -> BTreeSet<&'static str> {
    let traces =
        (0..runs).filter_map(|seed| run_traced(test, variant, Box::new(Random::new(seed))).trace);
    traces.flat_map(|trace| trace.functions).collect()
}

/// As [`run_once`], and records a trace.
pub fn run_traced(test: &Rc<Test>, variant: &Variant, scheduler: Box<dyn Scheduler>) -> RunResult {
    with_program(test, variant, |program| run(program, scheduler, true))
}

/// Calls `f` with a test as a program.
pub(crate) fn with_program<R>(
    test: &Rc<Test>,
    variant: &Variant,
    f: impl FnOnce(&Program<'_>) -> R,
) -> R {
    let main = || -> Pin<Box<dyn Future<Output = Outcome>>> {
        Box::pin(run::run::<Det>(test.clone(), variant.clone()))
    };
    let (faults, max_faults) = (test.faults.as_slice(), test.max_faults);
    f(&Program {
        main: &main,
        faults,
        max_faults,
        symmetry: BufferSymmetry::of(test),
        // Under S3 user space visits all rings in order.
        symmetric_test: Some(&**test).filter(|_| !variant.has(Defect::S3)),
        max_steps: MAX_STEPS,
        lasso_from: LASSO_FROM,
        tolerated: &[],
        thread_faults_only: false,
    })
}

/// Runs a program once.
pub(crate) fn run(program: &Program<'_>, scheduler: Box<dyn Scheduler>, traced: bool) -> RunResult {
    run_with(program, scheduler, traced, None, &mut |_, _| {}).0
}

/// Runs with a recorder and returns it. Calls `after` after each step, with the outcome once it exists.
pub(crate) fn run_recorded(
    program: &Program<'_>,
    scheduler: Box<dyn Scheduler>,
    recorder: Option<Recorder>,
    after: &mut dyn FnMut(&mut Machine, Option<&Outcome>),
) -> (RunResult, Option<Recorder>) {
    run_with(program, scheduler, false, recorder, after)
}

fn run_with(
    program: &Program<'_>,
    scheduler: Box<dyn Scheduler>,
    traced: bool,
    recorder: Option<Recorder>,
    after: &mut dyn FnMut(&mut Machine, Option<&Outcome>),
) -> (RunResult, Option<Recorder>) {
    let outcome = Rc::new(RefCell::new(None));
    let main = {
        let (main, outcome) = ((program.main)(), outcome.clone());
        Box::pin(async move {
            let observed = main.await;
            *outcome.borrow_mut() = Some(observed);
        })
    };
    let lasso_from = if scheduler.compares_states() { program.lasso_from } else { u64::MAX };
    let recorded = recorder.is_some();
    with(|m| {
        m.begin(scheduler, traced);
        m.recorder = recorder;
        m.faults.clear();
        m.faults.extend_from_slice(program.faults);
        m.faults_left = program.max_faults;
        m.thread_faults_only = program.thread_faults_only;
        m.tolerated.clear();
        m.tolerated.extend_from_slice(program.tolerated);
        m.spawn(0, 0, &|| "main".to_owned(), main);
    });
    let (mut enabled, mut detector) = (Vec::new(), LassoDetector::new(lasso_from));
    let (mut steps, mut lasso_period, mut unfair_lasso) = (0, None, false);
    while steps < program.max_steps && step(&mut enabled, steps, &mut detector) {
        steps += 1;
        if recorded {
            with(|m| after(m, outcome.borrow().as_ref()));
        }
        match detector.period(steps) {
            Some((period, true)) if with(|m| m.violation.is_none()) => {
                lasso_period = Some(period);
                with(|m| m.report_lasso(period, &detector.threads_of_period(period)));
            }
            Some((_, false)) => unfair_lasso = true,
            _ => {}
        }
    }
    let recorder = with(|m| m.recorder.take());
    let (violation, decisions, ended, step_limit_hit) = with(|m| {
        let step_limit_hit = steps == program.max_steps && m.violation.is_none() && !m.all_done();
        (m.violation.take(), std::mem::take(&mut m.decisions), m.end(), step_limit_hit)
    });
    let (threads, targets, mut trace) = ended;
    if let (Some(trace), Some(period)) = (&mut trace, lasso_period) {
        trace.keep_one_period(period as usize);
    }
    drop(threads);
    drop(targets);
    let outcome = outcome.borrow_mut().take().filter(|_| violation.is_none());
    (
        RunResult {
            outcome,
            violation,
            decisions,
            steps,
            step_limit_hit,
            lasso_period,
            unfair_lasso,
            trace,
        },
        recorder,
    )
}

/// Takes one step; `false` at the end of the run.
fn step(enabled: &mut Vec<usize>, steps: u64, detector: &mut LassoDetector) -> bool {
    let started = with(|m| {
        if m.violation.is_some() {
            return None;
        }
        let continues = m.runnable(enabled);
        if enabled.is_empty() {
            if !m.all_done() {
                m.report_deadlock();
            }
            return None;
        }
        let mut scheduler = m.scheduler.take()?;
        let fingerprint = if scheduler.wants_fingerprint() { m.state() } else { 0 };
        let (threads, machine) = (m.threads.as_slice(), &*m);
        let point = SchedulingPoint { enabled, continues, fingerprint, threads, machine };
        let picked = scheduler.pick(point);
        m.scheduler = Some(scheduler);
        let index = *enabled.get(picked?)?;
        detector.record(steps, m, enabled, index);
        m.decisions.push(index as u32);
        let acquired = m.threads[index].pending.acquired_word();
        m.begin_step(index).map(|future| (future, acquired))
    });
    let Some((mut future, acquired)) = started else { return false };
    let ended = future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready();
    let future = if ended {
        drop(future);
        None
    } else {
        Some(future)
    };
    with(|m| m.end_step(acquired, future));
    true
}
