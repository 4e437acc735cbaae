//! The simulated machine: words, objects, threads, and the effects of the current step.

mod objects;
mod steps;
mod words;

use std::any::Any;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use ifq_model::fault::FaultPoint;
use ifq_model::invariant::{Invariant, Violation};
use ifq_model::platform::Kind;
use ifq_model::test::schedule::AccessKind;

use super::event::StepEvent;
use super::fingerprint::Fingerprint;
use super::race::RaceFootprint;
use super::ready::ReadyThreads;
use super::recorder::Recorder;
use super::step_log::{Accessed, Happened, LoggedEvent};
use super::symbols::OBJECT_KINDS;
use super::threads::{Pending, Thread, ThreadFuture, operation_start};
use super::trace::Trace;
use crate::executor::scheduler::Scheduler;

thread_local! {
    static MACHINE: RefCell<Machine> = const { RefCell::new(Machine::new()) };
}

/// Accesses the machine of this OS thread.
pub(crate) fn with<R>(f: impl FnOnce(&mut Machine) -> R) -> R {
    MACHINE.with(|machine| f(&mut machine.borrow_mut()))
}

/// In [`Machine::owners`]: the object is freed.
const FREED: u32 = 1 << 31;
/// Index of no object.
const NO_OBJECT: u32 = FREED - 1;

/// An object of the machine's memory.
struct ObjectState {
    kind: Kind,
    number: u32,
    live: bool,
    pointer: u64,
    words: std::ops::Range<u32>,
    target: Option<Rc<dyn Any>>,
}

/// What the current step may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grant {
    /// Nothing: the next access ends the step.
    None,
    /// The access that the thread waits for.
    Access,
    /// Return from a wait with a timeout.
    TimedOut,
}

/// The state of one run.
pub(crate) struct Machine {
    /// By word: its value.
    values: Vec<u64>,
    /// By word: its name in fingerprints.
    names: Vec<u64>,
    /// By word: the object that contains it, and [`FREED`].
    owners: Vec<u32>,
    labels: Vec<&'static str>,
    objects: Vec<ObjectState>,
    /// By kind: the number of live objects.
    live: [u32; OBJECT_KINDS],
    /// The object whose words are being created.
    constructing: u32,
    pub(crate) threads: Vec<Thread>,
    /// The threads that have not ended, in the order of spawning.
    running: Vec<usize>,
    /// The threads that have not run to their first scheduling point, in the order of spawning.
    starting: VecDeque<usize>,
    /// Which of the others are enabled.
    ready: ReadyThreads,
    /// By slot: the first thread with it. Only slots that pointers can contain.
    first_of_slot: Vec<u32>,
    /// States are compared: memory and threads have fingerprints.
    hashes: bool,
    pub(crate) current: usize,
    grant: Grant,
    fingerprint: Fingerprint,
    pub(crate) footprint: RaceFootprint,
    last_footprint: RaceFootprint,
    pub(crate) scheduler: Option<Box<dyn Scheduler>>,
    pub(crate) faults: Vec<FaultPoint>,
    pub(crate) faults_left: u32,
    /// The first thread has no faults.
    pub(crate) thread_faults_only: bool,
    pub(crate) decisions: Vec<u32>,
    pub(crate) violation: Option<Violation>,
    /// Violations of these invariants are ignored.
    pub(crate) tolerated: Vec<Invariant>,
    /// No run is active: drops of guards and objects have no effect.
    idle: bool,
    trace: Option<Trace>,
    /// Records the events of each step, for the step table.
    pub(crate) recorder: Option<Recorder>,
    /// What the last step has done, if it is recorded for a schedule in words.
    pub(crate) step_log: Option<Vec<LoggedEvent>>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("words", &self.values.len())
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

impl Machine {
    const fn new() -> Self {
        Machine {
            values: Vec::new(),
            names: Vec::new(),
            owners: Vec::new(),
            labels: Vec::new(),
            objects: Vec::new(),
            live: [0; OBJECT_KINDS],
            constructing: NO_OBJECT,
            threads: Vec::new(),
            running: Vec::new(),
            starting: VecDeque::new(),
            ready: ReadyThreads::new(),
            first_of_slot: Vec::new(),
            hashes: true,
            current: 0,
            grant: Grant::None,
            fingerprint: 0,
            footprint: RaceFootprint::new(),
            last_footprint: RaceFootprint::new(),
            scheduler: None,
            faults: Vec::new(),
            faults_left: 0,
            thread_faults_only: false,
            decisions: Vec::new(),
            violation: None,
            tolerated: Vec::new(),
            idle: true,
            trace: None,
            recorder: None,
            step_log: None,
        }
    }

    /// Begins a run with an empty memory. The caller spawns the first thread next.
    pub(crate) fn begin(&mut self, scheduler: Box<dyn Scheduler>, traced: bool) {
        self.values.clear();
        self.names.clear();
        self.owners.clear();
        self.labels.clear();
        self.live = [0; OBJECT_KINDS];
        self.constructing = NO_OBJECT;
        self.current = 0;
        self.running.clear();
        self.starting.clear();
        self.ready.clear();
        self.first_of_slot.clear();
        self.hashes = scheduler.compares_states();
        self.fingerprint = 0;
        self.footprint.begin(usize::MAX);
        self.last_footprint.begin(usize::MAX);
        let scheduler_logs = scheduler.wants_step_log();
        self.scheduler = Some(scheduler);
        self.decisions.clear();
        self.violation = None;
        self.idle = false;
        self.trace = traced.then(Trace::default);
        self.step_log = scheduler_logs.then(Vec::new);
    }

    /// Ends a run. The caller drops the returned values outside of the machine's borrow.
    pub(crate) fn end(&mut self) -> (Vec<Thread>, Vec<Rc<dyn Any>>, Option<Trace>) {
        self.idle = true;
        let targets = self.objects.drain(..).filter_map(|o| o.target).collect();
        (std::mem::take(&mut self.threads), targets, self.trace.take())
    }

    /// Whether a trace is recorded.
    pub(crate) fn tracing(&self) -> bool {
        self.trace.is_some() && !self.idle
    }

    /// Records an event of the step.
    fn record_event(&mut self, event: impl FnOnce(&Recorder) -> StepEvent) {
        if let Some(recorder) = &mut self.recorder {
            let event = event(recorder);
            recorder.push(event);
        }
    }

    /// Spawns a thread. `key` is its argument: threads with the same slot and key behave alike.
    pub(crate) fn spawn(
        &mut self,
        slot: u32,
        key: u64,
        name: &dyn Fn() -> String,
        future: ThreadFuture,
    ) {
        self.record_event(|_| StepEvent::Spawn { slot, key });
        if self.running.iter().any(|t| self.threads[*t].slot == slot) {
            self.violate_by_memory(Invariant::I2, format!("{} is queued twice", name()));
            return;
        }
        if self.tracing() {
            self.note(format!("starts {}", name()));
        }
        if let Some(trace) = &mut self.trace {
            trace.threads.push(name());
        }
        let index = self.threads.len();
        self.running.push(index);
        self.starting.push_back(index);
        self.name_slot(slot, index);
        self.threads.push(Thread::new(slot, key, future));
    }

    /// Enters a function; `false` if functions are not recorded.
    pub(crate) fn enter(&mut self, function: &'static str) -> bool {
        if self.idle || self.trace.is_none() && self.step_log.is_none() {
            return false;
        }
        let current = self.current;
        self.threads[current].functions.push(function);
        self.log(Happened::Enter);
        if let Some(trace) = &mut self.trace {
            trace.functions.insert(function);
        }
        true
    }

    /// Leaves a function.
    pub(crate) fn leave(&mut self) {
        let current = self.current;
        if !self.idle {
            self.log(Happened::Return);
            self.threads[current].functions.pop();
        }
    }

    /// Reports a violation that follows from the actions of the current thread alone.
    pub(crate) fn violate(&mut self, invariant: Invariant, what: String) {
        self.report_violation(Some(true), invariant, what);
    }

    /// As [`Machine::violate`], for a violation that depends on the memory.
    fn violate_by_memory(&mut self, invariant: Invariant, what: String) {
        self.report_violation(Some(false), invariant, what);
    }

    /// `local`: the step ends here, by an action of the thread or because of the memory; `None`: the step is
    /// complete.
    fn report_violation(&mut self, local: Option<bool>, invariant: Invariant, what: String) {
        if !self.idle && self.violation.is_none() && !self.tolerated.contains(&invariant) {
            if self.tracing() {
                self.note(format!("{invariant}: {what}"));
            }
            self.violation = Some(Violation { invariant, what });
            if let (Some(recorder), Some(local)) = (&mut self.recorder, local) {
                recorder.record_violation(local);
            }
        }
    }

    /// Adds a note to the current step of the trace.
    pub(crate) fn note(&mut self, note: String) {
        if let Some(event) = self.trace.as_mut().and_then(|t| t.events.last_mut()) {
            event.notes.push(note);
        }
    }

    /// `Some` if the current step may do what its thread waits for; `false` means that the wait timed out.
    pub(crate) fn take_grant(&mut self) -> Option<bool> {
        let granted = match std::mem::replace(&mut self.grant, Grant::None) {
            Grant::None => return None,
            Grant::Access => true,
            Grant::TimedOut => false,
        };
        let pending = self.threads[self.current].pending;
        if matches!(pending, Pending::WaitUntil { quiesce: true, .. }) {
            self.observe_grant(granted);
        }
        Some(granted)
    }

    /// Sets what the current thread waits for.
    pub(crate) fn wait_for(&mut self, pending: Pending, kind: AccessKind) {
        let thread = &mut self.threads[self.current];
        (thread.pending, thread.pending_kind) = (pending, kind);
    }

    /// Records an event of the step for a schedule in words.
    fn log(&mut self, happened: Happened) {
        if let Some(log) = &mut self.step_log {
            let function = self.threads[self.current].functions.last().copied();
            log.push(LoggedEvent { function, happened });
        }
    }

    /// Records an access of a word for a schedule in words.
    pub(crate) fn log_access(&mut self, kind: AccessKind, word: u32) {
        if !self.idle {
            self.log(Happened::Access(kind, Accessed::Word(word)));
        }
    }

    /// What a thread does next, if that is an access, and the innermost function.
    pub(crate) fn next_access(&self, thread: usize) -> Option<LoggedEvent> {
        let thread = &self.threads[thread];
        let word = thread.pending.word()?;
        let happened = Happened::Access(thread.pending_kind, Accessed::Word(word));
        Some(LoggedEvent { function: thread.functions.last().copied(), happened })
    }

    /// The thread with a slot that started last; none if it has not run to its first scheduling point.
    pub(crate) fn started_thread(&self, slot: u32) -> Option<usize> {
        let thread = self.threads.iter().rposition(|thread| thread.slot == slot)?;
        (self.threads[thread].pending != Pending::Start).then_some(thread)
    }

    /// Whether a fault point fails: the scheduler decides as long as faults are left.
    pub(crate) fn choose_fault(&mut self, point: FaultPoint) -> bool {
        let excluded = self.thread_faults_only && self.current == 0;
        if self.idle || excluded || !self.faults.contains(&point) {
            return false;
        }
        self.record_event(|_| StepEvent::Fault);
        let mut fails = false;
        if self.faults_left > 0 {
            let Some(mut scheduler) = self.scheduler.take() else { return false };
            fails = scheduler.fault(point);
            self.scheduler = Some(scheduler);
            self.decisions.push(u32::from(fails));
        }
        self.observe(u64::from(fails));
        if fails {
            self.faults_left -= 1;
            if self.tracing() {
                self.note(format!("{point} fails"));
            }
        }
        fails
    }

    /// The current thread begins a scope.
    pub(crate) fn begin_scope(&mut self) {
        if !self.idle {
            self.record_event(|_| StepEvent::ScopeBegin);
            let current = self.current;
            self.threads[current].begin_scope();
        }
    }

    /// The current thread ends its innermost scope. After a violation the future may be dropped anywhere in it.
    pub(crate) fn end_scope(&mut self) {
        if !self.idle && self.violation.is_none() {
            self.record_event(|_| StepEvent::ScopeEnd);
            let current = self.current;
            self.threads[current].end_scope();
        }
    }

    /// Ends an operation of the current thread.
    pub(crate) fn op_boundary(&mut self) {
        if self.idle {
            return;
        }
        self.record_event(|_| StepEvent::Boundary);
        let thread = &mut self.threads[self.current];
        thread.op += 1;
        thread.words = 0;
        thread.objects_in_op = 0;
        thread.observed = operation_start(thread.op);
        debug_assert!(thread.scopes.is_empty(), "an operation ends in a scope");
        if !thread.locks.is_empty() {
            self.violate(Invariant::I4, "a lock is held at the end of an operation".to_owned());
        }
    }
}
