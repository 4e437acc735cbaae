//! Words of the machine's memory, and accesses of them.

use ifq_model::invariant::Invariant;
use ifq_model::platform::{Kind, Label};
use ifq_model::test::schedule::AccessKind;

use super::{FREED, Machine, ObjectState};
use crate::executor::event::{StepEvent, Update};
use crate::executor::fingerprint::{append, zobrist_key};
use crate::executor::naming::{word_name, word_number};
use crate::executor::symbols::NewWord;
use crate::executor::trace::WordChange;

impl Machine {
    /// Creates a word.
    pub(crate) fn new_word(&mut self, label: Label, value: u64) -> u32 {
        self.make_word(label, value, false)
    }

    /// Creates the word of a lock.
    pub(crate) fn new_lock(&mut self, label: &'static str) -> u32 {
        self.make_word(Label::plain(label), 0, true)
    }

    fn make_word(&mut self, label: Label, value: u64, lock: bool) -> u32 {
        let thread = &mut self.threads[self.current];
        let number = word_number(thread.slot, thread.op, thread.words);
        thread.words += 1;
        let word = self.values.len() as u32;
        self.values.push(value);
        self.owners.push(self.constructing);
        self.labels.push(label.name);
        let owner = self.objects.get(self.constructing as usize).map_or(0, |o| o.pointer);
        let name = if self.hashes { word_name(number, label.name, owner) } else { 0 };
        if let Some(recorder) = &mut self.recorder {
            recorder.new_word(NewWord { name, number, label, lock }, self.constructing, value);
        }
        self.names.push(name);
        if self.hashes {
            self.fingerprint ^= zobrist_key(name, value);
        }
        word
    }

    /// The name of a word in reports.
    pub(crate) fn word_name(&self, word: u32) -> String {
        let label = self.labels[word as usize];
        match self.owner_of(word) {
            Some(object) if object.kind != Kind::Harness => {
                format!("{}{}.{label}", object.kind.name(), object.number)
            }
            _ => label.to_owned(),
        }
    }

    /// The label of a word.
    pub(crate) fn label(&self, word: u32) -> &'static str {
        self.labels[word as usize]
    }

    /// Kind and number of the object that contains a word, except for state of the harness.
    pub(crate) fn owner(&self, word: u32) -> Option<(Kind, u32)> {
        let owner = self.owner_of(word)?;
        (owner.kind != Kind::Harness).then_some((owner.kind, owner.number))
    }

    /// The object that contains a word, live or freed.
    fn owner_of(&self, word: u32) -> Option<&ObjectState> {
        self.objects.get((self.owners[word as usize] & !FREED) as usize)
    }

    /// The kind of the object that contains a word.
    fn owner_kind(&self, word: u32) -> Option<Kind> {
        self.owner_of(word).map(|o| o.kind)
    }

    /// Reports a use after free if the word belongs to a freed object; `false` if it does.
    #[inline]
    fn check_alive(&mut self, word: u32) -> bool {
        let alive = self.owners[word as usize] & FREED == 0;
        if !alive {
            self.report_use_after_free(word);
        }
        alive
    }

    #[cold]
    fn report_use_after_free(&mut self, word: u32) {
        let what = format!("{} touched after it was freed", self.word_name(word));
        self.violate_by_memory(Invariant::I1, what);
    }

    /// The current thread observes a value.
    #[inline]
    pub(super) fn observe(&mut self, value: u64) {
        if self.hashes {
            let thread = &mut self.threads[self.current];
            thread.observed = append(thread.observed, value);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.observed(value);
        }
    }

    /// The thread observes whether its wait was satisfied or timed out.
    pub(super) fn observe_grant(&mut self, granted: bool) {
        self.record_event(|_| StepEvent::Grant);
        self.observe(u64::from(granted));
    }

    /// Reads a word; the thread observes its value.
    #[inline]
    pub(crate) fn read(&mut self, word: u32) -> u64 {
        if self.idle {
            return 0;
        }
        self.record_event(|r| StepEvent::Read { word: r.word(word) });
        if !self.check_alive(word) {
            return 0;
        }
        let value = self.values[word as usize];
        self.observe(value);
        value
    }

    /// Writes a word.
    pub(crate) fn write(&mut self, word: u32, value: u64) {
        if self.idle {
            return;
        }
        self.record_event(|r| StepEvent::Write { word: r.word(word), value });
        if !self.check_alive(word) {
            return;
        }
        let old = self.values[word as usize];
        self.set(word, old, value);
    }

    /// The fingerprint follows a change of a word.
    fn rehash(&mut self, word: u32, old: u64, value: u64) {
        if self.hashes {
            let name = self.names[word as usize];
            self.fingerprint ^= zobrist_key(name, old) ^ zobrist_key(name, value);
        }
    }

    fn set(&mut self, word: u32, old: u64, value: u64) {
        if old == value {
            return;
        }
        self.rehash(word, old, value);
        self.values[word as usize] = value;
        self.wake(word);
        if self.trace.is_some() {
            self.trace_change(word, old, value);
        }
    }

    #[cold]
    fn trace_change(&mut self, word: u32, old: u64, value: u64) {
        // Traces do not show the harness's own words.
        if self.owner_kind(word) != Some(Kind::Harness) {
            let change = WordChange { word: self.word_name(word), old, new: value };
            if let Some(event) = self.trace.as_mut().and_then(|t| t.events.last_mut()) {
                event.changes.push(change);
            }
        }
    }

    /// Changes a word. The thread observes the old value, but at most `cap`.
    pub(crate) fn update(&mut self, update: Update) -> u64 {
        let Update { word, op, cap, .. } = update;
        if self.idle {
            return 0;
        }
        self.record_event(|r| StepEvent::Update(Update { word: r.word(word), ..update }));
        if !self.check_alive(word) {
            return 0;
        }
        let old = self.values[word as usize];
        let observed = old.min(cap);
        self.observe(observed);
        if let Some(new) = op.apply(old) {
            self.set(word, old, new);
        }
        observed
    }

    /// As [`Machine::write`], for locks: traces show these as actions only.
    pub(crate) fn write_lock(&mut self, word: u32, value: u64) {
        self.record_event(|r| StepEvent::Write { word: r.word(word), value });
        self.rehash(word, self.values[word as usize], value);
        self.values[word as usize] = value;
        self.wake(word);
    }

    /// Records a plain access, for the data-race check.
    #[inline]
    pub(crate) fn plain_access(&mut self, word: u32, write: bool) {
        if !self.idle {
            let name = self.names[word as usize];
            self.record_event(|r| StepEvent::Plain { word: r.word(word), write });
            self.footprint.access(word, name, write);
        }
    }

    /// Releases a word, for the data-race check.
    pub(crate) fn release(&mut self, word: u32) {
        let name = self.names[word as usize];
        self.record_event(|r| StepEvent::Release { word: r.word(word) });
        self.footprint.release(word, name);
    }

    /// Releases a lock.
    pub(crate) fn unlock(&mut self, word: u32) {
        if self.idle {
            return;
        }
        if !self.check_alive(word) {
            self.record_event(|r| StepEvent::Write { word: r.word(word), value: 0 });
            return;
        }
        self.log_access(AccessKind::Unlock, word);
        self.write_lock(word, 0);
        self.release(word);
        let current = self.current;
        self.threads[current].locks.retain(|lock| *lock != word);
    }

    /// The number of live objects of a kind; the thread observes it.
    pub(crate) fn live(&mut self, kind: Kind) -> usize {
        if self.idle {
            return 0;
        }
        self.record_event(|_| StepEvent::Live { kind });
        let live = self.live[kind as usize];
        self.observe(u64::from(live));
        live as usize
    }
}
