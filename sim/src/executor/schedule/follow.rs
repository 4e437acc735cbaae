//! Follows a schedule in words: which threads may run at each scheduling point.
//!
//! The rules are those of `docs/test-file-reference.md`. A line is *current* from the end of the line before it
//! on. While its thread has not started, or is blocked, all threads may run; otherwise only its thread may. What a
//! thread does when it starts, up to its first scheduling point, belongs to its first line.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use ifq_model::fault::FaultPoint;
use ifq_model::test::schedule::{CodePlace, Place, Position, Switch};
use serde::{Deserialize, Serialize};

use crate::executor::fingerprint::{Fingerprint, append};
use crate::executor::machine::Machine;
use crate::executor::scheduler::SchedulingPoint;
use crate::executor::step_log::{Happened, LoggedEvent};
use crate::executor::threads::Pending;

/// Why a run does not match a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deviation {
    /// Index of the line that was not followed.
    pub line: usize,
    /// What the thread did instead.
    pub what: Instead,
}

/// What a thread did instead of coming to the place of its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Instead {
    /// It did not start.
    NeverStarted,
    /// It ended.
    Ended,
    /// It did not reach one of the fault points that were to fail.
    NoFault,
}

impl fmt::Display for Instead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Instead::NeverStarted => "the thread never started",
            Instead::Ended => "the thread ended without coming to the place",
            Instead::NoFault => "the thread did not reach a fault point that is to fail",
        })
    }
}

/// Which threads may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// This one.
    Only(usize),
    /// All enabled ones.
    All,
    /// None: the run does not match.
    None,
}

/// The state of a run that follows a schedule.
#[derive(Clone, Debug)]
pub(crate) struct Follower {
    switches: Rc<[Switch]>,
    /// Index of the current line.
    line: usize,
    /// Number of times that the thread came to the place of the current line.
    count: u32,
    /// By fault point: how often the thread of the current line has reached it.
    faults: BTreeMap<FaultPoint, u32>,
    /// The threads that have done nothing but start, with the events of that step.
    fresh: BTreeMap<usize, Vec<LoggedEvent>>,
    /// The thread of the last step, and whether it started.
    last: Option<(usize, bool)>,
    /// The thread of the current line, once it has started.
    current: Option<usize>,
    deviation: Option<Deviation>,
    /// If set, collects the places that the thread of the current line came to.
    pub(crate) passed: Option<Vec<CodePlace>>,
}

impl Follower {
    /// At the beginning of a run.
    pub(crate) fn new(switches: Rc<[Switch]>) -> Self {
        Follower {
            switches,
            line: 0,
            count: 0,
            faults: BTreeMap::new(),
            fresh: BTreeMap::new(),
            last: None,
            current: None,
            deviation: None,
            passed: None,
        }
    }

    /// Why the run does not match.
    pub(crate) fn deviation(&self) -> Option<&Deviation> {
        self.deviation.as_ref()
    }

    /// The state of the schedule, as part of the state of the run.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let own = append(append(0x11e, self.line as u64), u64::from(self.count));
        let faults = self.faults.iter();
        let own =
            faults.fold(own, |own, (point, n)| append(own, (*point as u64) << 32 | u64::from(*n)));
        self.fresh.keys().fold(own, |own, thread| append(own, 1 + *thread as u64))
    }

    /// Which threads may run at a scheduling point.
    pub(crate) fn allowed(&mut self, point: &SchedulingPoint<'_>) -> Allowed {
        let machine = point.machine;
        self.end_step(machine);
        if point.is_start() {
            return Allowed::All;
        }
        while let Some(switch) = self.switches.get(self.line) {
            let (or_any, slot) = (switch.or_any, switch.thread.slot());
            let Some(thread) = machine.started_thread(slot) else { return Allowed::All };
            self.current = Some(thread);
            if let Some(events) = self.fresh.remove(&thread) {
                self.count(machine, thread, &events);
            }
            let (done, enabled) =
                (machine.threads[thread].pending == Pending::Done, point.enabled.contains(&thread));
            let reached = match &self.switches[self.line].until {
                Place::Done => done,
                Place::Blocked => !done && !enabled,
                Place::At(place) => self.count >= place.occurrence,
            };
            if reached && !self.next_line() || !reached && done {
                self.deviation.get_or_insert(Deviation { line: self.line, what: Instead::Ended });
                return Allowed::None;
            }
            if !reached {
                return if enabled && !or_any { Allowed::Only(thread) } else { Allowed::All };
            }
        }
        Allowed::All
    }

    /// Ends the current line; `false` if a fault that it names did not happen.
    fn next_line(&mut self) -> bool {
        let failing = &self.switches[self.line].failing;
        let all = failing.iter().all(|fault| {
            self.faults.get(&fault.point).is_some_and(|reached| *reached >= fault.occurrence)
        });
        if !all {
            self.deviation = Some(Deviation { line: self.line, what: Instead::NoFault });
            return false;
        }
        self.line += 1;
        (self.count, self.current) = (0, None);
        self.faults.clear();
        if let Some(passed) = &mut self.passed {
            passed.clear();
        }
        true
    }

    /// The scheduler has chosen a thread.
    pub(crate) fn picked(&mut self, point: &SchedulingPoint<'_>, thread: usize) {
        self.last = Some((thread, point.is_start()));
    }

    /// Whether the fault point that the running thread has reached fails, if the schedule says so.
    pub(crate) fn fault(&mut self, point: FaultPoint) -> Option<bool> {
        let (running, _) = self.last?;
        if self.current != Some(running) {
            return None;
        }
        let reached = self.faults.entry(point).or_default();
        *reached += 1;
        let fails = |fault: &ifq_model::test::schedule::FailingFault| {
            fault.point == point && fault.occurrence == *reached
        };
        self.switches.get(self.line)?.failing.iter().any(fails).then_some(true)
    }

    /// Takes the last step into account.
    fn end_step(&mut self, machine: &Machine) {
        let (Some((thread, start)), Some(events)) = (self.last.take(), &machine.step_log) else {
            return;
        };
        if start {
            self.fresh.insert(thread, events.clone());
            return;
        }
        self.fresh.remove(&thread);
        if self.current == Some(thread) {
            self.count(machine, thread, events);
        }
    }

    /// Counts how often a step came to the place of the current line.
    fn count(&mut self, machine: &Machine, thread: usize, events: &[LoggedEvent]) {
        if let Some(passed) = &mut self.passed {
            passed.extend(events.iter().map(|event| after(machine, event)));
            passed.extend(machine.next_access(thread).map(|next| before(machine, &next)));
        }
        if let Some(Switch { until: Place::At(place), .. }) = self.switches.get(self.line) {
            self.count += times(machine, place, events, machine.next_access(thread).as_ref());
        }
    }

    /// The run has ended; `completed`: without a violation. Whether it matches.
    pub(crate) fn finish(&mut self, completed: bool) -> bool {
        if self.deviation.is_some() {
            return false;
        }
        if !completed {
            // The run ends within the schedule.
            return true;
        }
        // The first thread ends last, and no scheduling point follows.
        while let Some(Switch { thread, until, .. }) = self.switches.get(self.line) {
            let is_main = thread.slot() == 0;
            if *until != Place::Done || !is_main || !self.next_line() {
                let started = self.current.is_some() || is_main;
                let what = if started { Instead::Ended } else { Instead::NeverStarted };
                self.deviation.get_or_insert(Deviation { line: self.line, what });
                return false;
            }
        }
        true
    }
}

/// How often a step comes to a place: by its events and by what the thread does next.
pub(crate) fn times(
    machine: &Machine,
    place: &CodePlace,
    events: &[LoggedEvent],
    next: Option<&LoggedEvent>,
) -> u32 {
    let is_in = |event: &LoggedEvent| {
        place.function.as_deref().is_none_or(|function| event.function == Some(function))
    };
    let is_access =
        |event: &LoggedEvent| place.access.as_ref().is_some_and(|a| event.is_access(machine, a));
    let count = |is: &dyn Fn(&LoggedEvent) -> bool| {
        events.iter().filter(|event| is_in(event) && is(event)).count() as u32
    };
    match place.position {
        Position::Before => u32::from(next.is_some_and(|next| is_in(next) && is_access(next))),
        Position::After => count(&is_access),
        Position::Enter => count(&|event| event.happened == Happened::Enter),
        Position::Return => count(&|event| event.happened == Happened::Return),
    }
}

/// The place before an access.
pub(crate) fn before(machine: &Machine, next: &LoggedEvent) -> CodePlace {
    CodePlace { position: Position::Before, ..after(machine, next) }
}

/// The place after an event.
pub(crate) fn after(machine: &Machine, event: &LoggedEvent) -> CodePlace {
    let (position, access) = match event.happened {
        Happened::Enter => (Position::Enter, None),
        Happened::Return => (Position::Return, None),
        Happened::Access(kind, object) => {
            let object = object.name(machine);
            (Position::After, Some(ifq_model::test::schedule::Access { kind, object }))
        }
    };
    let function = event.function.map(str::to_owned);
    CodePlace { function, position, access, occurrence: 1 }
}
