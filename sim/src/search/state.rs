//! A state of a program: words, and where each thread stands. Steps are done and undone in place.

use super::views::Views;
use crate::executor::fingerprint::{Fingerprint, append};
use crate::executor::machine::faults_cell;
use crate::executor::record::{ALWAYS, Cell, FAULTS, Update, count_word};
use crate::executor::threads::Pending;
use crate::step_table::{Code, NONE, Node};
use ifq_model::work::FIRST_KERNEL_SLOT;

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walk {
    /// Done.
    Done,
    /// The tables do not know what comes next.
    Unknown,
    /// An invariant broke.
    Broken,
}

/// Fault points that one step asks, at most: far above what any does.
pub(crate) const MAX_CHOICES: usize = 64;

/// The choices at the fault points of one step.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choices {
    taken: Vec<bool>,
    position: usize,
}

impl Choices {
    /// The first alternative: nothing fails.
    pub(crate) fn reset(&mut self) {
        self.taken.clear();
    }

    /// The choices that the next step takes first.
    pub(crate) fn preset(&mut self, choices: impl Iterator<Item = bool>) {
        self.taken.clear();
        self.taken.extend(choices);
    }

    /// How many of them the last step took.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    fn next(&mut self) -> bool {
        self.position += 1;
        if self.position > self.taken.len() {
            self.taken.push(false);
        }
        self.taken[self.position - 1]
    }

    /// The choices of the step that was done.
    pub(crate) fn taken(&self) -> &[bool] {
        &self.taken
    }

    /// Turns to the next alternative; `false` if there is none.
    pub(crate) fn advance(&mut self) -> bool {
        while let Some(fails) = self.taken.pop() {
            if !fails {
                self.taken.push(true);
                return true;
            }
        }
        false
    }
}

#[derive(Clone, Copy, Debug)]
struct Undo {
    word: u32,
    value: u64,
    cell: Cell,
}

/// What is needed to take a step back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    fingerprint: Fingerprint,
    undo: u32,
    threads: u32,
    thread: u32,
    stop: u32,
    last: u32,
    running: u32,
}

/// The plain accesses and the releases of a step, for the check for data races; see
/// [`crate::executor::race`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Footprint {
    accesses: Vec<(u32, bool)>,
    releases: Vec<(u32, usize)>,
}

impl Footprint {
    fn clear(&mut self) {
        self.accesses.clear();
        self.releases.clear();
    }

    /// Whether it has accesses that a step of another thread could race with.
    pub(crate) fn races(&self) -> bool {
        !self.accesses.is_empty()
    }

    /// Whether `next`, begun by acquiring `acquired`, races with it.
    pub(crate) fn race(&self, next: &Footprint, acquired: Option<u32>) -> bool {
        let ordered = acquired
            .and_then(|word| self.releases.iter().rev().find(|(w, _)| *w == word))
            .map_or(0, |(_, accesses)| *accesses);
        let open = &self.accesses[ordered..];
        open.iter().any(|(word, write)| {
            next.accesses.iter().any(|(w, next_write)| w == word && (*write || *next_write))
        })
    }
}

/// A state.
#[derive(Clone, Debug)]
pub(crate) struct State {
    values: Vec<u64>,
    cells: Vec<Cell>,
    /// By buffer: what its words hold and where it is named; see [`crate::symmetry`].
    signatures: Vec<Fingerprint>,
    /// The stop of each thread, in the order of their starts.
    pub(crate) threads: Vec<u32>,
    /// The thread that ran last.
    pub(crate) last: usize,
    /// The same, but who started a thread still runs while that comes to its first scheduling point.
    pub(crate) running: usize,
    fingerprint: Fingerprint,
    /// The same under renamings.
    views: Views,
    undo: Vec<Undo>,
    /// Of the step that was done last.
    pub(crate) footprint: Footprint,
    /// What the last step touched, for sleep sets.
    pub(crate) touches: Option<Touches>,
}

/// What a step touches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Touches {
    /// Words, and whether it changes them.
    pub(crate) touched: Vec<(u32, bool)>,
    /// Words that it adds to without a look.
    pub(crate) counted: Vec<u32>,
}

/// A fingerprint with the signatures of buffers, whichever is whose.
fn without_names(own: Fingerprint, signatures: &[Fingerprint]) -> Fingerprint {
    let told = signatures.iter().filter(|signature| **signature != 0);
    told.fold(own, |state, signature| state.wrapping_add(append(*signature, 1)))
}

/// A fingerprint with the signatures of buffers in order.
fn by_name(own: Fingerprint, signatures: &[Fingerprint]) -> Fingerprint {
    (2..)
        .zip(signatures)
        .fold(own, |state, (name, signature)| state.wrapping_add(append(*signature, name)))
}

impl State {
    /// The state in which the first thread starts.
    pub(crate) fn new(code: &Code, faults: u32) -> Self {
        let mut state = State {
            values: Vec::new(),
            cells: Vec::new(),
            signatures: vec![0; code.names.symmetry.count as usize],
            threads: vec![Code::FIRST],
            last: 0,
            running: 0,
            fingerprint: code.stops[Code::FIRST as usize].hash,
            views: Views::new(code),
            undo: Vec::new(),
            footprint: Footprint::default(),
            touches: None,
        };
        state.grow(code);
        state.values[ALWAYS as usize] = 1;
        state.set_faults(faults);
        state.undo.clear();
        state.views.forget_undo();
        state
    }

    /// Makes room for the words that the tables know.
    pub(crate) fn grow(&mut self, code: &Code) {
        self.values.resize(code.names.words.len(), 0);
        self.cells.resize(code.names.words.len(), Cell::NONE);
        self.views.grow(code.names.words.len());
    }

    /// The fingerprint of the whole state; of states that differ in the names of buffers only, the same.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        without_names(self.fingerprint, &self.signatures)
    }

    /// As [`State::fingerprint`], buffers by name.
    pub(crate) fn exact_fingerprint(&self) -> Fingerprint {
        by_name(self.fingerprint, &self.signatures)
    }

    /// The fingerprints under the renamings, in order; see [`State::fingerprint`].
    pub(crate) fn images(&self, exact: bool) -> impl Iterator<Item = Fingerprint> {
        self.views.fingerprints().map(move |(own, signatures)| match exact {
            true => by_name(own, signatures),
            false => without_names(own, signatures),
        })
    }

    #[inline]
    fn toggle(&mut self, cell: Cell) {
        match cell.buffer() {
            None => self.fingerprint ^= cell.hash(),
            Some(buffer) => self.signatures[buffer as usize] ^= cell.hash(),
        }
    }

    /// The value of a word.
    #[inline]
    pub(crate) fn value(&self, word: u32) -> u64 {
        self.values[word as usize]
    }

    /// Sets a word; whether its images are to be set, too.
    #[inline]
    fn set(&mut self, word: u32, value: u64, cell: Cell) -> bool {
        let index = word as usize;
        let (old, old_cell) = (self.values[index], self.cells[index]);
        if old == value {
            return false;
        }
        self.undo.push(Undo { word, value: old, cell: old_cell });
        self.toggle(old_cell);
        self.toggle(cell);
        self.values[index] = value;
        self.cells[index] = cell;
        !self.views.is_empty()
    }

    /// Sets a word to what the fingerprint does not say.
    #[inline]
    fn set_untold(&mut self, word: u32, value: u64) {
        if self.set(word, value, Cell::NONE) {
            self.views.set(word, |_| Cell::NONE);
        }
    }

    fn set_faults(&mut self, left: u32) {
        let cell = Cell::own(faults_cell(left));
        if self.set(FAULTS, u64::from(left), cell) {
            self.views.set(FAULTS, |_| cell);
        }
    }

    /// A thread goes from one stop to another.
    #[inline]
    fn move_to(&mut self, code: &Code, thread: usize, stop: u32) {
        let from = self.threads[thread];
        let hash = |stop: u32| code.stops[stop as usize].hash;
        self.fingerprint ^= hash(from) ^ hash(stop);
        self.tell(code, from);
        self.tell(code, stop);
        if !self.views.is_empty() {
            self.views.move_to(code, from, stop);
        }
        self.threads[thread] = stop;
    }

    /// Adds what a thread at a stop has observed of buffers to their signatures, or takes it away.
    #[inline]
    fn tell(&mut self, code: &Code, stop: u32) {
        if self.signatures.is_empty() {
            return;
        }
        for cell in &code.pasts[stop as usize].told {
            self.toggle(*cell);
        }
    }

    /// To come back here after a step of a thread.
    pub(crate) fn mark(&self, thread: usize) -> Mark {
        Mark {
            fingerprint: self.fingerprint,
            undo: self.undo.len() as u32,
            threads: self.threads.len() as u32,
            thread: thread as u32,
            stop: self.threads[thread],
            last: self.last as u32,
            running: self.running as u32,
        }
    }

    /// Takes back what was done since.
    pub(crate) fn back_to(&mut self, code: &Code, mark: &Mark) {
        let thread = mark.thread as usize;
        while self.undo.len() > mark.undo as usize {
            let Some(Undo { word, value, cell }) = self.undo.pop() else { break };
            self.values[word as usize] = value;
            if !self.views.is_empty() {
                self.views.unset(word);
            }
            let new = std::mem::replace(&mut self.cells[word as usize], cell);
            if new.buffer().is_some() || cell.buffer().is_some() {
                self.toggle(new);
                self.toggle(cell);
            }
        }
        if self.threads[thread] != mark.stop {
            self.tell(code, self.threads[thread]);
            self.tell(code, mark.stop);
            if !self.views.is_empty() {
                self.views.move_to(code, self.threads[thread], mark.stop);
            }
        }
        self.fingerprint = mark.fingerprint;
        while self.threads.len() > mark.threads as usize {
            let started = self.threads.pop();
            if let Some(started) = started.filter(|_| !self.views.is_empty()) {
                self.views.start(code, started);
            }
        }
        self.threads[thread] = mark.stop;
        self.last = mark.last as usize;
        self.running = mark.running as usize;
    }

    /// Whether a thread can run.
    pub(crate) fn enabled(&self, code: &Code, thread: usize) -> bool {
        let stop = &code.stops[self.threads[thread] as usize];
        match stop.pending {
            Pending::Start | Pending::Access { .. } => true,
            Pending::Lock { word } => {
                let holder = self.value(word);
                holder == 0 || holder == u64::from(stop.slot) + 1
            }
            Pending::WaitUntil { word, min, .. } => self.value(word) >= min,
            Pending::Done => false,
        }
    }

    /// The threads that can run, as in [`crate::executor::machine::Machine::runnable`].
    pub(crate) fn runnable(&self, code: &Code, out: &mut Vec<u32>) {
        out.clear();
        let stop = |thread: usize| &code.stops[self.threads[thread] as usize];
        // A thread that starts was started by the last step: the newest are looked at.
        if let Some(starts) = (0..self.threads.len()).find(|t| stop(*t).pending == Pending::Start) {
            out.push(starts as u32);
            return;
        }
        if self.enabled(code, self.last) {
            out.push(self.last as u32);
        }
        for thread in 0..self.threads.len() {
            if thread != self.last && self.enabled(code, thread) {
                out.push(thread as u32);
            }
        }
        if out.is_empty() {
            let waits =
                |t: &usize| matches!(stop(*t).pending, Pending::WaitUntil { quiesce: true, .. });
            let patience = |t: &usize| match stop(*t).slot {
                0 => 2,
                slot if slot < FIRST_KERNEL_SLOT => 1,
                _ => 0,
            };
            let waiting = (0..self.threads.len()).filter(waits);
            out.extend(waiting.min_by_key(patience).map(|t| t as u32));
        }
    }

    /// Whether every thread has ended.
    pub(crate) fn all_done(&self, code: &Code) -> bool {
        self.threads.iter().all(|stop| code.stops[*stop as usize].pending == Pending::Done)
    }

    /// What user space saw; at the end of a run.
    pub(crate) fn outcome(&self, code: &Code) -> Option<u32> {
        code.pasts[self.threads[0] as usize].outcome
    }

    /// Whether a word belongs to something freed.
    #[inline]
    fn dead(&self, code: &Code, word: u32) -> bool {
        self.value(code.names.words[word as usize].live) == 0
    }

    #[inline]
    fn touch(&mut self, word: u32, write: bool) {
        if let Some(touches) = &mut self.touches {
            touches.touched.push((word, write));
        }
    }

    #[inline]
    fn count(&mut self, word: u32) {
        if let Some(touches) = &mut self.touches {
            touches.counted.push(word);
        }
    }

    /// Does one step of a thread. If it is not [`Walk::Done`], the caller goes back to its mark.
    pub(crate) fn step(&mut self, code: &Code, thread: usize, choices: &mut Choices) -> Walk {
        let from = &code.stops[self.threads[thread] as usize];
        let granted = match from.pending {
            Pending::WaitUntil { word, min, .. } => self.value(word) >= min,
            _ => true,
        };
        choices.position = 0;
        self.footprint.clear();
        if let Some(touches) = &mut self.touches {
            touches.touched.clear();
            touches.counted.clear();
        }
        self.last = thread;
        if from.pending != Pending::Start {
            self.running = thread;
        }
        let mut at = from.next;
        loop {
            let Some(node) = code.nodes.get(at as usize) else { return Walk::Unknown };
            at = match node {
                Node::Read { word, kids } => {
                    if self.dead(code, *word) {
                        return Walk::Broken;
                    }
                    self.touch(*word, false);
                    code.kid(kids, self.value(*word))
                }
                Node::Update { update, kids } => {
                    let Update { word, op, most, counts } = code.updates[*update as usize];
                    if self.dead(code, word) {
                        return Walk::Broken;
                    }
                    match counts {
                        true => self.count(word),
                        false => self.touch(word, true),
                    }
                    let old = self.value(word);
                    if let Some(new) = op.apply(old)
                        && self.set(word, new, code.names.cell(word, new))
                    {
                        self.views.set(word, |i| code.names.cell_image(word, new, i));
                    }
                    code.kid(kids, old.min(most))
                }
                Node::Write { word, what, next } => {
                    if self.dead(code, *word) {
                        return Walk::Broken;
                    }
                    self.touch(*word, true);
                    let (value, cell) = code.cells[*what as usize];
                    if self.set(*word, value, cell) {
                        self.views.set(*word, |i| code.image_cell(*what, i));
                    }
                    *next
                }
                Node::Plain { word, write, next } => {
                    self.footprint.accesses.push((*word, *write));
                    *next
                }
                Node::Release { word, next } => {
                    let accesses = self.footprint.accesses.len();
                    self.footprint.releases.push((*word, accesses));
                    *next
                }
                Node::New { word, what, next } => {
                    let (value, cell) = code.cells[*what as usize];
                    if self.set(*word, value, cell) {
                        self.views.set(*word, |i| code.image_cell(*what, i));
                    }
                    *next
                }
                Node::Grant { kids } => code.kid(kids, u64::from(granted)),
                Node::Live { word, kids } => {
                    self.touch(*word, true);
                    code.kid(kids, self.value(*word))
                }
                Node::Fault { kids } => {
                    let left = self.value(FAULTS) as u32;
                    let mut fails = false;
                    if left > 0 {
                        self.touch(FAULTS, true);
                        fails = choices.next();
                        if fails {
                            self.set_faults(left - 1);
                        }
                    }
                    code.kid(kids, u64::from(fails))
                }
                Node::Alloc { object, next } => {
                    let cell = |object: u32| Cell::own(code.names.objects[object as usize].cell);
                    let info = &code.names.objects[*object as usize];
                    let count = count_word(info.kind);
                    self.touch(count, false);
                    if self.set(info.live, 1, cell(*object)) {
                        self.views.set(info.live, |i| cell(code.names.object_image(*object, i)));
                    }
                    self.set_untold(count, self.value(count) + 1);
                    *next
                }
                Node::Free { object, next } => {
                    let object = &code.names.objects[*object as usize];
                    if self.value(object.live) == 0 {
                        return Walk::Broken;
                    }
                    self.touch(object.live, true);
                    let count = count_word(object.kind);
                    self.touch(count, false);
                    self.set_untold(object.live, 0);
                    self.set_untold(count, self.value(count) - 1);
                    for word in &object.words {
                        self.set_untold(*word, 0);
                    }
                    *next
                }
                Node::Spawn { stop, next } => {
                    let started = &code.stops[*stop as usize];
                    self.touch(started.slot_word, true);
                    let slot = started.slot;
                    let known = |t: &u32| {
                        let stop = &code.stops[*t as usize];
                        stop.slot == slot && stop.pending != Pending::Done
                    };
                    if self.threads.iter().any(known) {
                        return Walk::Broken;
                    }
                    self.threads.push(*stop);
                    self.fingerprint ^= started.hash;
                    self.views.start(code, *stop);
                    *next
                }
                Node::Boundary { root } => match code.nodes.get(*root as usize) {
                    Some(Node::Root { next }) => *next,
                    _ => NONE,
                },
                Node::Root { next } => *next,
                Node::Stop { stop } => {
                    let end = &code.stops[*stop as usize];
                    if end.pending == Pending::Done {
                        self.touch(end.slot_word, true);
                    }
                    self.move_to(code, thread, *stop);
                    return Walk::Done;
                }
                Node::Fail => return Walk::Broken,
            };
        }
    }
}
