//! Reduces the preemptions of a run greedily.
//!
//! A run is a list of segments: a thread and the number of steps that it takes before another thread
//! runs. A change merges two segments or drops one, and is executed. Segments that cannot run any
//! more are skipped. Only the resulting run decides whether the change is accepted.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use ifq_model::fault::FaultPoint;

use crate::executor::run::{Program, RunResult, run};
use crate::executor::scheduler::{PreemptionCounter, Replay, Scheduler, SchedulingPoint};

/// A thread, by its slot, and its number of consecutive steps.
type Segment = (u32, u64);

/// A segment of this length lasts until the thread blocks or ends.
const ALL: u64 = u64::MAX;

/// A run in terms that also apply to other runs.
#[derive(Clone, Debug, Default)]
struct Plan {
    segments: Vec<Segment>,
    /// The failing fault points: thread, and index among the fault points that the thread reaches.
    faults: BTreeSet<(u32, u64)>,
}

/// The record of a run.
#[derive(Debug, Default)]
struct RunRecord {
    plan: Plan,
    preemptions: PreemptionCounter,
    /// Slot of the running thread.
    slot: u32,
    /// Number of fault points that each thread has reached.
    reached: BTreeMap<u32, u64>,
}

/// A scheduler that records the run of another scheduler.
struct Recorder<S> {
    inner: S,
    record: Rc<RefCell<RunRecord>>,
}

impl<S: Scheduler> Scheduler for Recorder<S> {
    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize> {
        let index = self.inner.pick(point)?;
        let record = &mut *self.record.borrow_mut();
        let thread = point.enabled[index];
        record.preemptions.pick(&point, thread);
        record.slot = point.slot(thread);
        if !point.is_start() {
            match record.plan.segments.last_mut().filter(|(slot, _)| *slot == record.slot) {
                Some((_, steps)) => *steps += 1,
                None => record.plan.segments.push((record.slot, 1)),
            }
        }
        Some(index)
    }

    fn fault(&mut self, point: FaultPoint) -> bool {
        let fails = self.inner.fault(point);
        let record = &mut *self.record.borrow_mut();
        let reached = record.reached.entry(record.slot).or_default();
        if fails {
            record.plan.faults.insert((record.slot, *reached));
        }
        *reached += 1;
        fails
    }
}

/// A scheduler that follows a plan where possible, and then runs each thread to its end.
struct PlanScheduler {
    segments: std::vec::IntoIter<Segment>,
    current: Option<Segment>,
    faults: BTreeSet<(u32, u64)>,
    slot: u32,
    reached: BTreeMap<u32, u64>,
}

impl PlanScheduler {
    fn new(plan: Plan) -> Self {
        let (segments, faults) = (plan.segments.into_iter(), plan.faults);
        PlanScheduler { segments, current: None, faults, slot: 0, reached: BTreeMap::new() }
    }

    fn next(&mut self, point: SchedulingPoint<'_>) -> usize {
        if point.is_start() {
            return 0;
        }
        loop {
            let Some((slot, steps)) = self.current.take().or_else(|| self.segments.next()) else {
                return 0;
            };
            let found = point.enabled.iter().position(|thread| point.slot(*thread) == slot);
            if let Some(index) = found.filter(|_| steps > 0) {
                self.current = Some((slot, steps - u64::from(steps != ALL)));
                return index;
            }
        }
    }
}

impl Scheduler for PlanScheduler {
    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize> {
        let index = self.next(point);
        self.slot = point.slot(point.enabled[index]);
        Some(index)
    }

    fn fault(&mut self, _: FaultPoint) -> bool {
        let reached = self.reached.entry(self.slot).or_default();
        *reached += 1;
        self.faults.contains(&(self.slot, *reached - 1))
    }
}

/// Whether a run is one of those that are reduced.
pub(super) type Wanted<'a> = &'a dyn Fn(&RunResult) -> bool;

/// A wanted run, with its record.
struct WantedRun {
    result: RunResult,
    plan: Plan,
    preemptions: u64,
}

impl WantedRun {
    /// The cost to minimise: preemptions, then steps.
    fn cost(&self) -> (u64, u64) {
        (self.preemptions, self.result.steps)
    }
}

fn record_run(
    program: &Program<'_>,
    wanted: Wanted<'_>,
    inner: impl Scheduler + 'static,
) -> Option<WantedRun> {
    let record = Rc::new(RefCell::new(RunRecord::default()));
    let result = run(program, Box::new(Recorder { inner, record: record.clone() }), false);
    let record = record.take();
    let (plan, preemptions) = (record.plan, record.preemptions.count);
    wanted(&result).then_some(WantedRun { result, plan, preemptions })
}

/// The number of preemptions of a run.
pub(super) fn count(program: &Program<'_>, decisions: &[u32]) -> u64 {
    record_run(program, &|_| true, Replay::new(decisions)).map_or(0, |run| run.preemptions)
}

/// Applies changes until no change lowers the cost. `None` if the run with these decisions is not wanted.
pub(super) fn reduce(
    program: &Program<'_>,
    wanted: Wanted<'_>,
    decisions: &[u32],
) -> Option<RunResult> {
    let mut best = record_run(program, wanted, Replay::new(decisions))?;
    loop {
        let before = best.cost();
        let mut i = 0;
        while i < best.plan.segments.len() {
            let changed = changes(&best.plan, i)
                .into_iter()
                .filter_map(|plan| record_run(program, wanted, PlanScheduler::new(plan)))
                .find(|run| run.cost() < best.cost());
            match changed {
                Some(run) => best = run,
                None => i += 1,
            }
        }
        if best.cost() == before {
            return Some(best.result);
        }
    }
}

/// The changes of one segment: extend it until the thread blocks, merge it with the thread's next
/// segment here or there, or drop it.
fn changes(plan: &Plan, i: usize) -> Vec<Plan> {
    let with = |segments: Vec<Segment>| Plan { segments, faults: plan.faults.clone() };
    let segments = &plan.segments;
    let (slot, steps) = segments[i];
    let mut extended = segments.clone();
    extended[i].1 = ALL;
    let mut dropped = segments.clone();
    dropped.remove(i);
    let mut plans = vec![with(extended)];
    if let Some(next) = (i + 1..segments.len()).find(|j| segments[*j].0 == slot) {
        let both = (slot, steps.saturating_add(segments[next].1));
        let mut early = segments.clone();
        early.remove(next);
        early[i] = both;
        let mut late = segments.clone();
        late[next] = both;
        late.remove(i);
        plans.extend([with(early), with(late)]);
    }
    plans.push(with(dropped));
    plans
}
