//! The words for a run: its context switches as a schedule.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use ifq_model::fault::FaultPoint;
use ifq_model::revision::Variant;
use ifq_model::test::Test;
use ifq_model::test::schedule::{FailingFault, Place, Switch, ThreadName};

use super::follow::{Follower, after, before, times};
use super::scheduler::Follow;
use crate::executor::machine::Machine;
use crate::executor::run::{Program, RunResult, run, with_program};
use crate::executor::scheduler::{Replay, Scheduler, SchedulingPoint};
use crate::executor::step_log::{Happened, LoggedEvent};
use crate::executor::threads::Pending;

/// The context switches of a run in words: a schedule that repeats exactly the run with these decisions. `None` if
/// words cannot repeat it.
#[must_use]
pub fn switches(test: &Test, variant: &Variant, decisions: &[u32]) -> Option<Vec<Switch>> {
    with_program(&Rc::new(test.clone()), variant, |program| describe(program, decisions))
}

/// One step of a thread, and what the thread does next.
#[derive(Clone, Debug)]
struct SegmentStep {
    events: Vec<LoggedEvent>,
    next: Option<LoggedEvent>,
}

/// Consecutive steps of one thread.
#[derive(Debug)]
struct Segment {
    slot: u32,
    thread: usize,
    steps: Vec<SegmentStep>,
    failing: Vec<FailingFault>,
    reached: BTreeMap<FaultPoint, u32>,
    /// A thread of the test had started when the segment began.
    in_test: bool,
}

/// Records the segments of a replay.
#[derive(Debug, Default)]
struct Recording {
    switches: Vec<Switch>,
    /// By line: whether a thread of the test had started before it.
    in_test: Vec<bool>,
    segment: Option<Segment>,
    last: Option<(usize, bool)>,
    fresh: BTreeMap<usize, Vec<LoggedEvent>>,
    test_started: bool,
}

impl Recording {
    fn end_step(&mut self, machine: &Machine) {
        let (Some((thread, start)), Some(events)) = (self.last.take(), &machine.step_log) else {
            return;
        };
        if start {
            self.test_started |=
                matches!(ThreadName::of_slot(machine.threads[thread].slot), ThreadName::Test(_));
            self.fresh.insert(thread, events.clone());
        } else if let Some(segment) = &mut self.segment {
            let next = machine.next_access(thread);
            segment.steps.push(SegmentStep { events: events.clone(), next });
        }
    }

    fn pick(&mut self, point: &SchedulingPoint<'_>, thread: usize) {
        let machine = point.machine;
        self.end_step(machine);
        self.last = Some((thread, point.is_start()));
        if point.is_start() {
            return;
        }
        if self.segment.as_ref().is_none_or(|segment| segment.thread != thread) {
            if let Some(segment) = self.segment.take() {
                let until = place(machine, &segment, point.enabled.contains(&segment.thread));
                self.end_segment(segment, until);
            }
            let fresh = self.fresh.remove(&thread);
            let next = machine.next_access(thread);
            let steps = fresh.into_iter().map(|events| SegmentStep { events, next }).collect();
            self.segment = Some(Segment {
                slot: machine.threads[thread].slot,
                thread,
                steps,
                failing: Vec::new(),
                reached: BTreeMap::new(),
                in_test: self.test_started,
            });
        }
    }

    fn end_segment(&mut self, segment: Segment, until: Place) {
        let Segment { slot, failing, in_test, .. } = segment;
        let thread = ThreadName::of_slot(slot);
        self.switches.push(Switch { thread, or_any: false, until, failing });
        self.in_test.push(in_test);
    }

    fn fault(&mut self, point: FaultPoint, fails: bool) {
        let Some(segment) = &mut self.segment else { return };
        let reached = segment.reached.entry(point).or_default();
        *reached += 1;
        if fails {
            segment.failing.push(FailingFault { point, occurrence: *reached });
        }
    }
}

/// The place where a segment ends.
fn place(machine: &Machine, segment: &Segment, enabled: bool) -> Place {
    if machine.threads[segment.thread].pending == Pending::Done {
        return Place::Done;
    }
    let Some(last) = segment.steps.last().filter(|_| enabled) else { return Place::Blocked };
    let returned = |event: &&LoggedEvent| event.happened == Happened::Return;
    // Outside of the kernel code the last system call names the place.
    let mut place = match (last.next, last.events.iter().rev().find(returned)) {
        (Some(next), Some(event)) if next.function.is_none() => after(machine, event),
        (Some(next), _) => before(machine, &next),
        (None, Some(event)) => after(machine, event),
        (None, None) => return Place::Blocked,
    };
    let steps = segment.steps.iter();
    place.occurrence =
        steps.map(|step| times(machine, &place, &step.events, step.next.as_ref())).sum();
    Place::At(place)
}

struct RecordingReplay {
    inner: Replay,
    recording: Rc<RefCell<Recording>>,
}

impl Scheduler for RecordingReplay {
    fn wants_step_log(&self) -> bool {
        true
    }

    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize> {
        let index = self.inner.pick(point)?;
        self.recording.borrow_mut().pick(&point, point.enabled[index]);
        Some(index)
    }

    fn fault(&mut self, point: FaultPoint) -> bool {
        let fails = self.inner.fault(point);
        self.recording.borrow_mut().fault(point, fails);
        fails
    }
}

fn describe(program: &Program<'_>, decisions: &[u32]) -> Option<Vec<Switch>> {
    let recording = Rc::new(RefCell::new(Recording::default()));
    let replay = RecordingReplay { inner: Replay::new(decisions), recording: recording.clone() };
    let wanted = run(program, Box::new(replay), false);
    let mut recording = recording.take();
    if let Some(segment) = recording.segment.take() {
        // The run ends with it, or with a violation within it.
        recording.end_segment(segment, Place::Done);
    }
    let Recording { switches, in_test, .. } = recording;
    if !repeats(program, &switches, &wanted) {
        return None;
    }
    Some(without_ends(program, switches, &in_test, &wanted))
}

/// Drops the lines of the set-up and of the end, as far as a run without them is the same.
fn without_ends(
    program: &Program<'_>,
    switches: Vec<Switch>,
    in_test: &[bool],
    wanted: &RunResult,
) -> Vec<Switch> {
    let main = |switch: &&Switch| switch.thread == ThreadName::Main;
    let setup = in_test.iter().position(|in_test| *in_test).unwrap_or(switches.len());
    // A run that ends in the set-up needs a line as well.
    let whole =
        Switch { thread: ThreadName::Main, or_any: false, until: Place::Done, failing: Vec::new() };
    let short = if setup < switches.len() { switches[setup..].to_vec() } else { vec![whole] };
    let mut best = if repeats(program, &short, wanted) { short } else { switches };
    let test = |switch: &Switch| matches!(switch.thread, ThreadName::Test(_));
    if let Some(last) = best.iter().rposition(test)
        && let Some(end) = best[last..].iter().position(|switch| main(&switch))
        && repeats(program, &best[..last + end], wanted)
    {
        best.truncate(last + end);
    }
    best
}

/// Whether a run that follows the lines is the wanted one.
fn repeats(program: &Program<'_>, switches: &[Switch], wanted: &RunResult) -> bool {
    let follower = Rc::new(RefCell::new(Follower::new(switches.into())));
    let got = run(program, Box::new(Follow::new(follower.clone())), false);
    let matches = follower.borrow_mut().finish(got.outcome.is_some());
    matches && got == *wanted
}
