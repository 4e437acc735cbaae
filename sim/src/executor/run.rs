//! One run of a test on the deterministic machine.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use ifq_model::fault::FaultPoint;
use ifq_model::invariant::{Invariant, Violation};
use ifq_model::outcome::Outcome;
use ifq_model::revision::{Defect, Variant};
use ifq_model::run;
use ifq_model::test::Test;

use crate::executor::lasso::{LASSO_FROM, Watch};
use crate::executor::machine::{Machine, with};
use crate::executor::record::Recorder;
use crate::executor::scheduler::{Scheduler, SchedulingPoint};
use crate::executor::{Det, Trace};
use crate::symmetry::Symmetry;

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunResult {
    /// What user space saw; `None` if the run did not get to its end.
    pub outcome: Option<Outcome>,
    /// The invariant that broke.
    pub violation: Option<Violation>,
    /// Every decision: for a step the thread's index, for a fault point 1 if it failed.
    pub decisions: Vec<u32>,
    /// Number of steps.
    pub steps: u64,
    /// The run was given up after so many steps; what would have come is not known.
    pub step_limit_hit: bool,
    /// The run comes back to the same again and again: so many steps at its end are one round of a
    /// lasso.
    pub round: Option<u64>,
    /// It came back to the same for so long only because somebody who could run was put aside.
    pub starved: bool,
    /// What happened, if it was asked for.
    pub trace: Option<Trace>,
}

impl RunResult {
    /// What broke; a run that was given up breaks I4.
    #[must_use]
    pub fn failure(&self) -> Option<Violation> {
        let endless = || Violation {
            invariant: Invariant::I4,
            what: format!("no end after {} steps", self.steps),
        };
        self.violation.clone().or_else(|| self.step_limit_hit.then(endless))
    }
}

/// Steps after which a run is given up: far above what any test of the library needs.
pub const MAX_STEPS: u64 = 1 << 20;

/// What a run executes: makes the future of its first thread, anew for each run.
pub(crate) struct Program<'a> {
    pub(crate) main: &'a dyn Fn() -> Pin<Box<dyn Future<Output = Outcome>>>,
    pub(crate) faults: &'a [FaultPoint],
    pub(crate) max_faults: u32,
    pub(crate) symmetry: Symmetry,
    /// The test that it runs, if rings are alike but for what the test does with them.
    pub(crate) alike: Option<&'a Test>,
    /// A run is given up after so many.
    pub(crate) max_steps: u64,
    /// It is looked at for steps that come back for ever after so many, a power of two, and each time
    /// it is twice as long.
    pub(crate) lasso_from: u64,
    /// Invariants whose breaking is not looked at.
    pub(crate) tolerated: &'a [Invariant],
}

/// Runs a test once. The scheduler decides everything that is not determined.
pub fn run_once(test: &Rc<Test>, variant: &Variant, scheduler: Box<dyn Scheduler>) -> RunResult {
    with_program(test, variant, |program| run(program, scheduler, false))
}

/// As [`run_once`], and records what happens.
pub fn run_traced(test: &Rc<Test>, variant: &Variant, scheduler: Box<dyn Scheduler>) -> RunResult {
    with_program(test, variant, |program| run(program, scheduler, true))
}

/// A test as a program.
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
        symmetry: Symmetry::of(test),
        // S3 looks at all rings in order.
        alike: Some(&**test).filter(|_| !variant.has(Defect::S3)),
        max_steps: MAX_STEPS,
        lasso_from: LASSO_FROM,
        tolerated: &[],
    })
}

pub(crate) fn run(program: &Program<'_>, scheduler: Box<dyn Scheduler>, traced: bool) -> RunResult {
    run_with(program, scheduler, traced, None, &mut |_, _| {}).0
}

/// Runs with a recorder, which is returned; `after` is called after each step, with the outcome once
/// it is there.
pub(crate) fn run_observed(
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
            let seen = main.await;
            *outcome.borrow_mut() = Some(seen);
        })
    };
    with(|m| {
        m.begin(scheduler, traced);
        m.recorder = recorder;
        m.faults.clear();
        m.faults.extend_from_slice(program.faults);
        m.faults_left = program.max_faults;
        m.tolerated.clear();
        m.tolerated.extend_from_slice(program.tolerated);
        m.spawn(0, 0, &|| "main".to_owned(), main);
    });
    let (mut enabled, mut watch) = (Vec::new(), Watch::new(program.lasso_from));
    let (mut steps, mut round, mut starved) = (0, None, false);
    while steps < program.max_steps && step(&mut enabled, steps, &mut watch) {
        steps += 1;
        if with(|m| m.recorder.is_some()) {
            with(|m| after(m, outcome.borrow().as_ref()));
        }
        match watch.period(steps) {
            Some((period, true)) if with(|m| m.violation.is_none()) => {
                round = Some(period);
                with(|m| m.report_lasso(period, &watch.who(period)));
            }
            Some((_, false)) => starved = true,
            _ => {}
        }
    }
    let recorder = with(|m| m.recorder.take());
    let (violation, decisions, ended, step_limit_hit) = with(|m| {
        let step_limit_hit = steps == program.max_steps && m.violation.is_none() && !m.all_done();
        (m.violation.take(), std::mem::take(&mut m.decisions), m.end(), step_limit_hit)
    });
    let (threads, targets, mut trace) = ended;
    if let (Some(trace), Some(period)) = (&mut trace, round) {
        trace.fold(period as usize);
    }
    drop(threads);
    drop(targets);
    let outcome = outcome.borrow_mut().take().filter(|_| violation.is_none());
    (
        RunResult { outcome, violation, decisions, steps, step_limit_hit, round, starved, trace },
        recorder,
    )
}

/// One step; `false` if there is none any more.
fn step(enabled: &mut Vec<usize>, steps: u64, watch: &mut Watch) -> bool {
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
        let point = SchedulingPoint { enabled, continues, fingerprint, threads: &m.threads };
        let picked = scheduler.pick(point);
        m.scheduler = Some(scheduler);
        let index = *enabled.get(picked?)?;
        watch.note(steps, m, enabled, index);
        m.decisions.push(index as u32);
        let acquired = m.threads[index].pending.acquires();
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
