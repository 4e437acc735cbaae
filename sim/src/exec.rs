//! One run of a test on the deterministic machine.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Waker};

use ifq_model::invariant::Violation;
use ifq_model::outcome::Outcome;
use ifq_model::revision::Variant;
use ifq_model::scenario::Test;
use ifq_model::world;

use crate::det::machine::with;
use crate::det::{Det, Trace};
use crate::schedule::{Point, Scheduler};

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
    /// What happened, if it was asked for.
    pub trace: Option<Trace>,
}

/// Steps after which a run is given up: far above what any test of the library needs.
pub const MAX_STEPS: u64 = 1 << 24;

/// Runs a test once. The scheduler decides everything that is not determined.
pub fn run_once(test: &Rc<Test>, variant: &Variant, scheduler: Box<dyn Scheduler>) -> RunResult {
    run(test, variant, scheduler, false)
}

/// As [`run_once`], and records what happens.
pub fn run_traced(test: &Rc<Test>, variant: &Variant, scheduler: Box<dyn Scheduler>) -> RunResult {
    run(test, variant, scheduler, true)
}

fn run(
    test: &Rc<Test>,
    variant: &Variant,
    scheduler: Box<dyn Scheduler>,
    traced: bool,
) -> RunResult {
    let outcome = Rc::new(RefCell::new(None));
    let main = {
        let (test, variant, outcome) = (test.clone(), variant.clone(), outcome.clone());
        Box::pin(async move {
            let seen = world::run::<Det>(test, variant).await;
            *outcome.borrow_mut() = Some(seen);
        })
    };
    with(|m| {
        m.begin(scheduler, traced);
        m.faults.clone_from(&test.faults);
        m.faults_left = test.max_faults;
        m.spawn(0, &|| "main".to_owned(), main);
    });
    let mut enabled = Vec::new();
    let mut steps = 0;
    while steps < MAX_STEPS && step(&mut enabled) {
        steps += 1;
    }
    let (violation, decisions, ended) =
        with(|m| (m.violation.take(), std::mem::take(&mut m.decisions), m.end()));
    let (threads, targets, trace) = ended;
    drop(threads);
    drop(targets);
    let outcome = outcome.borrow_mut().take().filter(|_| violation.is_none());
    RunResult { outcome, violation, decisions, steps, trace }
}

/// One step; `false` if there is none any more.
fn step(enabled: &mut Vec<usize>) -> bool {
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
        let point = Point { enabled, continues, fingerprint };
        let picked = scheduler.pick(point);
        m.scheduler = Some(scheduler);
        let index = *enabled.get(picked?)?;
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
