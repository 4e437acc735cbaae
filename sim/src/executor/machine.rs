//! The state of the machine: words, objects, threads, and what the step that is running does to them.

mod objects;
mod steps;

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use ifq_model::fault::FaultPoint;
use ifq_model::invariant::{Invariant, Violation};
use ifq_model::platform::{Kind, Label};

use super::fingerprint::{Fingerprint, append, cell};
use super::names::{number, word_name};
use super::race::Footprint;
use super::record::{Event as Micro, NewWord, Recorder, Update};
use super::threads::{Pending, Thread, ThreadFuture, operation};
use super::trace::{Trace, WordChange};
use crate::executor::scheduler::Scheduler;

thread_local! {
    static MACHINE: RefCell<Machine> = const { RefCell::new(Machine::new()) };
}

/// Works on this OS thread's machine.
pub(crate) fn with<R>(f: impl FnOnce(&mut Machine) -> R) -> R {
    MACHINE.with(|machine| f(&mut machine.borrow_mut()))
}

const NO_OBJECT: u32 = u32::MAX;
/// [`Kind::Harness`] is the last one.
pub(crate) const KINDS: usize = Kind::Harness as usize + 1;
struct Object {
    kind: Kind,
    number: u32,
    live: bool,
    pointer: u64,
    words: std::ops::Range<u32>,
    target: Option<Rc<dyn Any>>,
}

/// What the step that is running may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grant {
    /// Nothing: the next access ends the step.
    None,
    /// The access that it waits for.
    Access,
    /// Giving up the wait.
    TimedOut,
}

pub(crate) struct Machine {
    values: Vec<u64>,
    names: Vec<u64>,
    owners: Vec<u32>,
    labels: Vec<&'static str>,
    objects: Vec<Object>,
    live: [u32; KINDS],
    making: u32,
    pub(crate) threads: Vec<Thread>,
    pub(crate) current: usize,
    grant: Grant,
    fingerprint: Fingerprint,
    pub(crate) footprint: Footprint,
    last_footprint: Footprint,
    pub(crate) scheduler: Option<Box<dyn Scheduler>>,
    pub(crate) faults: Vec<FaultPoint>,
    pub(crate) faults_left: u32,
    pub(crate) decisions: Vec<u32>,
    pub(crate) violation: Option<Violation>,
    /// Invariants whose breaking is not looked at.
    pub(crate) tolerated: Vec<Invariant>,
    /// No run is going on: drops of guards and objects do nothing.
    idle: bool,
    trace: Option<Trace>,
    /// Takes down what a step does, for [`crate::step_table`].
    pub(crate) recorder: Option<Recorder>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("words", &self.values.len())
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// What the number of faults left adds to a state's fingerprint.
pub(crate) fn faults_cell(left: u32) -> Fingerprint {
    cell(u64::MAX, u64::from(left))
}

impl Machine {
    const fn new() -> Self {
        Machine {
            values: Vec::new(),
            names: Vec::new(),
            owners: Vec::new(),
            labels: Vec::new(),
            objects: Vec::new(),
            live: [0; KINDS],
            making: NO_OBJECT,
            threads: Vec::new(),
            current: 0,
            grant: Grant::None,
            fingerprint: 0,
            footprint: Footprint::new(),
            last_footprint: Footprint::new(),
            scheduler: None,
            faults: Vec::new(),
            faults_left: 0,
            decisions: Vec::new(),
            violation: None,
            tolerated: Vec::new(),
            idle: true,
            trace: None,
            recorder: None,
        }
    }

    /// Begins a run with an empty memory. The first thread is to be started next.
    pub(crate) fn begin(&mut self, scheduler: Box<dyn Scheduler>, traced: bool) {
        self.values.clear();
        self.names.clear();
        self.owners.clear();
        self.labels.clear();
        self.live = [0; KINDS];
        self.making = NO_OBJECT;
        self.current = 0;
        self.fingerprint = 0;
        self.footprint.begin(usize::MAX);
        self.last_footprint.begin(usize::MAX);
        self.scheduler = Some(scheduler);
        self.decisions.clear();
        self.violation = None;
        self.idle = false;
        self.trace = traced.then(Trace::default);
    }

    /// Ends a run; what must be dropped outside the machine's borrow is returned.
    pub(crate) fn end(&mut self) -> (Vec<Thread>, Vec<Rc<dyn Any>>, Option<Trace>) {
        self.idle = true;
        let targets = self.objects.drain(..).filter_map(|o| o.target).collect();
        (std::mem::take(&mut self.threads), targets, self.trace.take())
    }

    pub(crate) fn tracing(&self) -> bool {
        self.trace.is_some() && !self.idle
    }

    /// Records an event of the step.
    fn micro(&mut self, event: impl FnOnce(&Recorder) -> Micro) {
        if let Some(recorder) = &mut self.recorder {
            let event = event(recorder);
            recorder.push(event);
        }
    }

    /// Starts a thread. `key` tells what it works on: threads of one slot with the same key do the
    /// same.
    pub(crate) fn spawn(
        &mut self,
        slot: u32,
        key: u64,
        name: &dyn Fn() -> String,
        future: ThreadFuture,
    ) {
        self.micro(|_| Micro::Spawn { slot, key });
        if self.threads.iter().any(|t| t.slot == slot && t.pending != Pending::Done) {
            self.fail_by_state(Invariant::I2, format!("{} is queued twice", name()));
            return;
        }
        if self.tracing() {
            self.note(format!("starts {}", name()));
        }
        if let Some(trace) = &mut self.trace {
            trace.threads.push(name());
        }
        self.threads.push(Thread::new(slot, key, future));
    }

    // Words.

    pub(crate) fn new_word(&mut self, label: Label, value: u64) -> u32 {
        self.make_word(label, value, false)
    }

    pub(crate) fn new_lock(&mut self, label: &'static str) -> u32 {
        self.make_word(Label::plain(label), 0, true)
    }

    fn make_word(&mut self, label: Label, value: u64, lock: bool) -> u32 {
        let thread = &mut self.threads[self.current];
        let number = number(thread.slot, thread.op, thread.words);
        thread.words += 1;
        let word = self.values.len() as u32;
        self.values.push(value);
        self.owners.push(self.making);
        self.labels.push(label.name);
        let owner = self.objects.get(self.making as usize).map_or(0, |o| o.pointer);
        let name = word_name(number, label.name, owner);
        if let Some(recorder) = &mut self.recorder {
            recorder.new_word(NewWord { name, number, label, lock }, self.making, value);
        }
        self.names.push(name);
        self.fingerprint ^= cell(name, value);
        word
    }

    pub(crate) fn word_name(&self, word: u32) -> String {
        let (owner, label) = (self.owners[word as usize], self.labels[word as usize]);
        match self.objects.get(owner as usize) {
            Some(object) if object.kind != Kind::Harness => {
                format!("{}{}.{label}", object.kind.name(), object.number)
            }
            _ => label.to_owned(),
        }
    }

    fn owner_kind(&self, word: u32) -> Option<Kind> {
        self.objects.get(self.owners[word as usize] as usize).map(|o| o.kind)
    }

    fn alive(&mut self, word: u32) -> bool {
        let owner = self.owners[word as usize];
        let alive = owner == NO_OBJECT || self.objects[owner as usize].live;
        if !alive {
            let what = format!("{} touched after it was freed", self.word_name(word));
            self.fail_by_state(Invariant::I1, what);
        }
        alive
    }

    fn observe(&mut self, value: u64) {
        let thread = &mut self.threads[self.current];
        thread.observed = append(thread.observed, value);
        if let Some(recorder) = &mut self.recorder {
            recorder.observed(value);
        }
    }

    /// What a thread reads from a wait that may be given up.
    fn observe_grant(&mut self, granted: bool) {
        self.micro(|_| Micro::Grant);
        self.observe(u64::from(granted));
    }

    pub(crate) fn read(&mut self, word: u32) -> u64 {
        if self.idle {
            return 0;
        }
        self.micro(|r| Micro::Read { word: r.word(word) });
        if !self.alive(word) {
            return 0;
        }
        let value = self.values[word as usize];
        self.observe(value);
        value
    }

    pub(crate) fn write(&mut self, word: u32, value: u64) {
        if self.idle {
            return;
        }
        self.micro(|r| Micro::Write { word: r.word(word), value });
        if !self.alive(word) {
            return;
        }
        let old = self.values[word as usize];
        self.set(word, old, value);
    }

    fn set(&mut self, word: u32, old: u64, value: u64) {
        if old == value {
            return;
        }
        let name = self.names[word as usize];
        self.fingerprint ^= cell(name, old) ^ cell(name, value);
        self.values[word as usize] = value;
        // Of the harness's own words nobody wants to read.
        if self.trace.is_some() && self.owner_kind(word) != Some(Kind::Harness) {
            let change = WordChange { word: self.word_name(word), old, new: value };
            if let Some(event) = self.trace.as_mut().and_then(|t| t.events.last_mut()) {
                event.changes.push(change);
            }
        }
    }

    /// Changes a word; the thread observes what it held, but not more than `most`.
    pub(crate) fn update(&mut self, update: Update) -> u64 {
        let Update { word, op, most, .. } = update;
        if self.idle {
            return 0;
        }
        self.micro(|r| Micro::Update(Update { word: r.word(word), ..update }));
        if !self.alive(word) {
            return 0;
        }
        let old = self.values[word as usize];
        let seen = old.min(most);
        self.observe(seen);
        if let Some(new) = op.apply(old) {
            self.set(word, old, new);
        }
        seen
    }

    /// As [`Machine::write`], for locks: the trace shows them as actions only.
    pub(crate) fn write_lock(&mut self, word: u32, value: u64) {
        self.micro(|r| Micro::Write { word: r.word(word), value });
        let (old, name) = (self.values[word as usize], self.names[word as usize]);
        self.fingerprint ^= cell(name, old) ^ cell(name, value);
        self.values[word as usize] = value;
    }

    pub(crate) fn plain_access(&mut self, word: u32, write: bool) {
        if !self.idle {
            let name = self.names[word as usize];
            self.micro(|r| Micro::Plain { word: r.word(word), write });
            self.footprint.access(word, name, write);
        }
    }

    pub(crate) fn release(&mut self, word: u32) {
        let name = self.names[word as usize];
        self.micro(|r| Micro::Release { word: r.word(word) });
        self.footprint.release(word, name);
    }

    pub(crate) fn unlock(&mut self, word: u32) {
        if self.idle {
            return;
        }
        if !self.alive(word) {
            self.micro(|r| Micro::Write { word: r.word(word), value: 0 });
            return;
        }
        self.write_lock(word, 0);
        self.release(word);
        let current = self.current;
        self.threads[current].locks.retain(|lock| *lock != word);
    }

    /// Enters a function; `false` if nobody wants to know.
    pub(crate) fn enter(&mut self, function: &'static str) -> bool {
        if !self.tracing() {
            return false;
        }
        let current = self.current;
        self.threads[current].functions.push(function);
        true
    }

    pub(crate) fn leave(&mut self) {
        let current = self.current;
        if !self.idle {
            self.threads[current].functions.pop();
        }
    }

    /// How many live objects of a kind there are; an observation.
    pub(crate) fn live(&mut self, kind: Kind) -> usize {
        if self.idle {
            return 0;
        }
        self.micro(|_| Micro::Live { kind });
        let live = self.live[kind as usize];
        self.observe(u64::from(live));
        live as usize
    }

    // Steps.

    /// An invariant breaks by what the running thread did.
    pub(crate) fn fail(&mut self, invariant: Invariant, what: String) {
        self.broken(Some(true), invariant, what);
    }

    /// As [`Machine::fail`], by what it met in the memory.
    fn fail_by_state(&mut self, invariant: Invariant, what: String) {
        self.broken(Some(false), invariant, what);
    }

    /// `local`: whether the step broke off by what the thread itself did; `None`: it is complete.
    fn broken(&mut self, local: Option<bool>, invariant: Invariant, what: String) {
        if !self.idle && self.violation.is_none() && !self.tolerated.contains(&invariant) {
            if self.tracing() {
                self.note(format!("{invariant}: {what}"));
            }
            self.violation = Some(Violation { invariant, what });
            if let (Some(recorder), Some(local)) = (&mut self.recorder, local) {
                recorder.stop(local);
            }
        }
    }

    pub(crate) fn note(&mut self, note: String) {
        if let Some(event) = self.trace.as_mut().and_then(|t| t.events.last_mut()) {
            event.notes.push(note);
        }
    }

    /// `Some` if the running step may do what its thread waits for.
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

    pub(crate) fn wait_for(&mut self, pending: Pending) {
        self.threads[self.current].pending = pending;
    }

    pub(crate) fn choose_fault(&mut self, point: FaultPoint) -> bool {
        if self.idle || !self.faults.contains(&point) {
            return false;
        }
        self.micro(|_| Micro::Fault);
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

    pub(crate) fn op_boundary(&mut self) {
        if self.idle {
            return;
        }
        self.micro(|_| Micro::Boundary);
        let thread = &mut self.threads[self.current];
        thread.op += 1;
        thread.words = 0;
        thread.objects_in_op = 0;
        thread.observed = operation(thread.op);
        if !thread.locks.is_empty() {
            self.fail(Invariant::I4, "a lock is left held at the end of an operation".to_owned());
        }
    }
}
