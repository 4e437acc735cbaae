//! Which threads can run, and one step of one.

use ifq_model::invariant::Invariant;
use ifq_model::work::FIRST_KERNEL_SLOT;

use super::{Grant, Machine, faults_cell};
use crate::executor::fingerprint::{Fingerprint, append};
use crate::executor::threads::{Pending, STEP, Thread, ThreadFuture};
use crate::executor::trace::TraceEvent;

impl Machine {
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

    /// The fingerprint of the memory.
    pub(crate) fn state_of_words(&self) -> Fingerprint {
        self.fingerprint ^ faults_cell(self.faults_left)
    }

    /// As [`Machine::state`], whatever the last step was.
    pub(crate) fn state_without_step(&self) -> Fingerprint {
        let threads = self.threads.iter().filter(|t| t.pending != Pending::Done);
        threads.fold(self.state_of_words(), |state, thread| state ^ thread.local_state())
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
            let event = TraceEvent { thread: index, function, action, changes, notes };
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

    /// The same steps come back for ever, by these threads.
    pub(crate) fn report_lasso(&mut self, period: u64, who: &[usize]) {
        let who = who.iter().map(|thread| &self.threads[*thread]);
        let who: Vec<String> =
            who.map(|t| format!("{:#x}: {}", t.slot, self.describe(t.pending))).collect();
        let steps = if period == 1 { "step".to_owned() } else { format!("{period} steps") };
        let what =
            format!("no end: the same {steps} for ever, by all that can run: {}", who.join(", "));
        self.fail(Invariant::I4, what);
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
