//! The state of the machine: words, objects, threads, and the step that is running.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use ifq_model::fault::FaultPoint;
use ifq_model::invariant::{Invariant, Violation};
use ifq_model::platform::Kind;
use ifq_model::work::FIRST_KERNEL_SLOT;

use super::fingerprint::{Fingerprint, append, cell};
use super::race::Footprint;
use super::record::{Event as Micro, Recorder, Update};
use super::threads::{Pending, STEP, Thread, ThreadFuture, operation};
use super::trace::{Change, Event, Trace};
use crate::schedule::Scheduler;

thread_local! {
    static MACHINE: RefCell<Machine> = const { RefCell::new(Machine::new()) };
}

/// Works on this OS thread's machine.
pub(crate) fn with<R>(f: impl FnOnce(&mut Machine) -> R) -> R {
    MACHINE.with(|machine| f(&mut machine.borrow_mut()))
}

const NO_OBJECT: u32 = u32::MAX;
/// [`Kind::World`] is the last one.
pub(crate) const KINDS: usize = Kind::World as usize + 1;
// A pointer: slot, operation and number in the operation of the thread that made the object.
const SLOT_BITS: u32 = 12;
const OP_BITS: u32 = 12;
const NUMBER_BITS: u32 = 12;
// And its kind, so that a pointer tells the type of what it points to.
const KIND_BITS: u32 = 4;
const KEY_BITS: u32 = OP_BITS + NUMBER_BITS + KIND_BITS;

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
    /// Takes down what a step does, for [`crate::code`].
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

/// The name under which an object's being alive goes into a fingerprint.
pub(crate) fn live_name(pointer: u64) -> u64 {
    append(1, pointer) as u64
}

/// A word's name says also in what kind of object it is, and as what.
fn word_name(number: u64, label: &str, owner: u64) -> u64 {
    let word = append(append(2, number), owner);
    let letters = label.as_bytes().chunks(8).fold(word, |name, bytes| {
        append(name, bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)))
    });
    letters as u64
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

    pub(crate) fn new_word(&mut self, label: &'static str, value: u64) -> u32 {
        let thread = &mut self.threads[self.current];
        let name =
            u64::from(thread.slot) << 48 | u64::from(thread.op) << 24 | u64::from(thread.words);
        thread.words += 1;
        let word = self.values.len() as u32;
        self.values.push(value);
        self.owners.push(self.making);
        self.labels.push(label);
        let name = self.record_word(name, label, value);
        self.names.push(name);
        self.fingerprint ^= cell(name, value);
        word
    }

    /// The name of a new word, and the event.
    fn record_word(&mut self, name: u64, label: &'static str, value: u64) -> u64 {
        let owner = self.objects.get(self.making as usize).map_or(0, |o| o.pointer);
        let name = word_name(name, label, owner);
        if let Some(recorder) = &mut self.recorder {
            recorder.new_word(name, label, self.making, value);
        }
        name
    }

    pub(crate) fn word_name(&self, word: u32) -> String {
        let (owner, label) = (self.owners[word as usize], self.labels[word as usize]);
        match self.objects.get(owner as usize) {
            Some(object) if object.kind != Kind::World => {
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
        if self.trace.is_some() && self.owner_kind(word) != Some(Kind::World) {
            let change = Change { word: self.word_name(word), old, new: value };
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

    // Objects.

    pub(crate) fn begin_object(&mut self, kind: Kind, number: u32) -> (u32, u32) {
        let thread = &mut self.threads[self.current];
        let key = (thread.op << NUMBER_BITS | thread.objects_in_op) << KIND_BITS | kind as u32;
        thread.objects_in_op += 1;
        let index = self.objects.len() as u32;
        thread.objects.push((key, index));
        let pointer = u64::from(thread.slot + 1) << KEY_BITS | u64::from(key);
        debug_assert!(pointer < 1 << (SLOT_BITS + KEY_BITS));
        let start = self.values.len() as u32;
        let (live, target) = (true, None);
        let words = start..start;
        self.objects.push(Object { kind, number, live, pointer, words, target });
        self.live[kind as usize] += 1;
        // A live object differs from a freed one, also while all its words are zero.
        self.fingerprint ^= cell(live_name(pointer), 1);
        if let Some(recorder) = &mut self.recorder {
            recorder.alloc(pointer, kind);
        }
        let outer = std::mem::replace(&mut self.making, index);
        if self.tracing() && kind != Kind::World {
            self.note(format!("allocates {}{number}", kind.name()));
        }
        (index, outer)
    }

    pub(crate) fn finish_object(&mut self, index: u32, outer: u32, target: Rc<dyn Any>) -> u64 {
        let end = self.values.len() as u32;
        let object = &mut self.objects[index as usize];
        object.words.end = end;
        object.target = Some(target);
        self.making = outer;
        object.pointer
    }

    /// The target of a pointer, freed or not.
    pub(crate) fn target(&self, pointer: u64) -> Option<Rc<dyn Any>> {
        let slot = (pointer >> KEY_BITS).checked_sub(1)?;
        let key = (pointer & ((1 << KEY_BITS) - 1)) as u32;
        let thread = self.threads.iter().find(|t| u64::from(t.slot) == slot)?;
        let at = thread.objects.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        self.objects[thread.objects[at].1 as usize].target.clone()
    }

    pub(crate) fn free(&mut self, pointer: u64) {
        if self.idle {
            return;
        }
        let Some(index) = self.objects.iter().position(|o| o.pointer == pointer) else { return };
        self.micro(|r| Micro::Free { object: r.object(index) });
        let object = &mut self.objects[index];
        let name = format!("{}{}", object.kind.name(), object.number);
        if !object.live {
            self.fail_by_state(Invariant::I2, format!("{name} freed twice"));
            return;
        }
        object.live = false;
        self.live[object.kind as usize] -= 1;
        self.fingerprint ^= cell(live_name(pointer), 1);
        // What freed memory holds cannot be seen any more: it is taken out of the fingerprint.
        for word in object.words.clone() {
            self.fingerprint ^= cell(self.names[word as usize], self.values[word as usize]);
        }
        if self.tracing() {
            self.note(format!("frees {name}"));
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

    fn enabled(&self, thread: &Thread) -> bool {
        match thread.pending {
            Pending::Start | Pending::Access { .. } => true,
            Pending::Lock { word } => {
                let holder = self.values[word as usize];
                // A lock of one's own: runs into the report.
                holder == 0 || holder == u64::from(thread.slot) + 1
            }
            Pending::WaitUntil { word, min, .. } => self.values[word as usize] >= min,
            Pending::Done => false,
        }
    }

    /// The threads that can run, the last one first; empty if none can, also not by giving up.
    ///
    /// A thread that was started runs to its first scheduling point at once, without a choice: up
    /// to there it touches only what is its own, and reads what was there before it was started.
    pub(crate) fn runnable(&self, out: &mut Vec<usize>) -> bool {
        out.clear();
        let last = self.current;
        if let Some(starts) = self.threads.iter().position(|t| t.pending == Pending::Start) {
            out.push(starts);
            return starts == last;
        }
        let continues = self.threads.get(last).is_some_and(|t| self.enabled(t));
        if continues {
            out.push(last);
        }
        let others = (0..self.threads.len()).filter(|t| *t != last);
        out.extend(others.filter(|t| self.enabled(&self.threads[*t])));
        if out.is_empty() {
            let gives_up =
                |t: &Thread| matches!(t.pending, Pending::WaitUntil { quiesce: true, .. });
            // The kernel's timeouts are shorter than those of user space, and the thread that
            // runs set-up and end waits longest.
            let patience = |t: &usize| match self.threads[*t].slot {
                0 => 2,
                slot if slot < FIRST_KERNEL_SLOT => 1,
                _ => 0,
            };
            let waiting = (0..self.threads.len()).filter(|t| gives_up(&self.threads[*t]));
            out.extend(waiting.min_by_key(patience));
        }
        continues
    }

    /// The fingerprint of the whole state, at a scheduling point.
    pub(crate) fn state(&self) -> Fingerprint {
        let slot = self.threads.get(self.last_footprint.thread).map_or(0, |t| t.slot);
        self.state_without_step() ^ self.last_footprint.fingerprint(slot)
    }

    /// As [`Machine::state`], whatever the last step was.
    pub(crate) fn state_without_step(&self) -> Fingerprint {
        let threads = self.threads.iter().filter(|t| t.pending != Pending::Done);
        threads.fold(self.fingerprint ^ faults_cell(self.faults_left), |state, thread| {
            state ^ thread.local_state()
        })
    }

    /// Prepares a step of a thread. Its future is returned, to be polled outside the borrow.
    pub(crate) fn begin_step(&mut self, index: usize) -> Option<ThreadFuture> {
        self.current = index;
        self.footprint.begin(index);
        let thread = &self.threads[index];
        let pending = thread.pending;
        self.grant = match pending {
            Pending::Start | Pending::Done => Grant::None,
            Pending::WaitUntil { quiesce: true, .. } if !self.enabled(thread) => Grant::TimedOut,
            _ => Grant::Access,
        };
        if self.tracing() {
            let function = thread.functions.last().copied().unwrap_or("").to_owned();
            let action = self.describe(pending);
            let (changes, notes) = (Vec::new(), Vec::new());
            let event = Event { thread: index, function, action, changes, notes };
            self.trace.get_or_insert_default().events.push(event);
        }
        // A step observes that it happened, whatever it reads.
        let thread = &mut self.threads[index];
        thread.observed = append(thread.observed, STEP);
        if let Some(recorder) = &mut self.recorder {
            recorder.begin();
        }
        self.threads[index].future.take()
    }

    /// Ends a step: checks it against the one before.
    pub(crate) fn end_step(&mut self, acquired: Option<u32>, future: Option<ThreadFuture>) {
        let current = self.current;
        let ended = future.is_none();
        self.threads[current].future = future;
        if ended {
            self.threads[current].pending = Pending::Done;
            if !self.threads[current].locks.is_empty() {
                self.fail(Invariant::I4, "a thread ends with a lock held".to_owned());
            }
        }
        if let Some(word) = self.last_footprint.race(&self.footprint, acquired) {
            let what = format!("data race on {}", self.word_name(word));
            self.broken(None, Invariant::I8, what);
        }
        std::mem::swap(&mut self.footprint, &mut self.last_footprint);
    }

    pub(crate) fn all_done(&self) -> bool {
        self.threads.iter().all(|t| t.pending == Pending::Done)
    }

    /// What a thread does next, for people.
    pub(crate) fn describe(&self, pending: Pending) -> String {
        match pending {
            Pending::Start => "starts".to_owned(),
            Pending::Done => "ended".to_owned(),
            Pending::Access { word, write: false, .. } => format!("read {}", self.word_name(word)),
            Pending::Access { word, .. } => format!("write {}", self.word_name(word)),
            Pending::Lock { word } => format!("lock {}", self.word_name(word)),
            Pending::WaitUntil { word, min, .. } => {
                format!("wait for {} >= {min:#x}", self.word_name(word))
            }
        }
    }

    /// Nothing can run and something has not ended.
    pub(crate) fn report_deadlock(&mut self) {
        let blocked: Vec<String> = self
            .threads
            .iter()
            .filter(|t| t.pending != Pending::Done)
            .map(|t| format!("{:#x}: {}", t.slot, self.describe(t.pending)))
            .collect();
        self.fail(Invariant::I4, format!("nothing can run any more: {}", blocked.join(", ")));
    }
}
