//! Enabled threads, and the beginning and end of a step.

use ifq_model::invariant::Invariant;
use ifq_model::work::FIRST_KERNEL_SLOT;

use super::{Grant, Machine};
use crate::executor::fingerprint::{Fingerprint, append, faults_key};
use crate::executor::threads::{Pending, STEP_MARKER, Thread, ThreadFuture};
use crate::executor::trace::TraceEvent;

impl Machine {
    /// Whether a thread is enabled.
    fn enabled(&self, thread: &Thread) -> bool {
        match thread.pending {
            Pending::Start | Pending::Access { .. } => true,
            Pending::Lock { word } => {
                let holder = self.values[word as usize];
                // A thread that holds the lock is enabled: the step reports the recursion.
                holder == 0 || holder == u64::from(thread.slot) + 1
            }
            Pending::WaitUntil { word, min, .. } => self.values[word as usize] >= min,
            Pending::Done => false,
        }
    }

    /// Whether a list has all enabled threads and no others.
    fn is_complete(&self, list: &[usize]) -> bool {
        let enabled = self.running.iter().filter(|t| self.enabled(&self.threads[**t]));
        let mut sorted = list.to_vec();
        sorted.sort_unstable();
        enabled.eq(&sorted)
    }

    /// A word has changed: the threads that wait for it may have become enabled, or may be no more.
    #[inline]
    pub(super) fn wake(&mut self, word: u32) {
        if self.ready.has_waiters(word) {
            let mut at = 0;
            while let Some(thread) = self.ready.waiter(word, &mut at) {
                let enabled = self.enabled(&self.threads[thread]);
                self.ready.set(thread, enabled);
            }
        }
    }

    /// Collects the enabled threads, the last one first. If none is enabled, selects one whose wait can time
    /// out. Returns whether the last thread is enabled.
    ///
    /// A new thread runs to its first scheduling point at once, without a choice: until then it accesses only
    /// its own memory, and reads only what existed before it was spawned.
    pub(crate) fn runnable(&self, out: &mut Vec<usize>) -> bool {
        out.clear();
        let last = self.current;
        if let Some(starting) = self.starting.front() {
            out.push(*starting);
            return *starting == last;
        }
        let continues = self.ready.list(last, out);
        debug_assert!(self.is_complete(out), "a thread is enabled and not ready, or not enabled");
        if out.is_empty() {
            let may_time_out =
                |t: &Thread| matches!(t.pending, Pending::WaitUntil { quiesce: true, .. });
            // Kernel timeouts are shorter than those of user space, and the thread that runs set-up and end
            // waits longest.
            let timeout_rank = |t: &usize| match self.threads[*t].slot {
                0 => 2,
                slot if slot < FIRST_KERNEL_SLOT => 1,
                _ => 0,
            };
            let running = self.running.iter().copied();
            let timed_waits = running.filter(|t| may_time_out(&self.threads[*t]));
            out.extend(timed_waits.min_by_key(timeout_rank));
        }
        continues
    }

    /// The fingerprint of the state at a scheduling point.
    pub(crate) fn state(&self) -> Fingerprint {
        let slot = self.threads.get(self.last_footprint.thread).map_or(0, |t| t.slot);
        self.state_without_last_step() ^ self.last_footprint.fingerprint(slot)
    }

    /// The fingerprint of the memory.
    pub(crate) fn memory_fingerprint(&self) -> Fingerprint {
        self.fingerprint ^ faults_key(self.faults_left)
    }

    /// As [`Machine::state`], without the accesses of the last step.
    pub(crate) fn state_without_last_step(&self) -> Fingerprint {
        let threads = self.threads.iter().filter(|t| t.pending != Pending::Done);
        threads.fold(self.memory_fingerprint(), |state, thread| state ^ thread.local_state())
    }

    /// Begins a step and returns the thread's future, to be polled outside of the machine's borrow.
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
        if pending == Pending::Start {
            self.starting.retain(|thread| *thread != index);
        }
        if let Some(word) = pending.blocking_word() {
            self.ready.end_wait(index, word);
        }
        // Each step changes the private state, even if it reads nothing.
        let thread = &mut self.threads[index];
        if self.hashes {
            thread.observed = append(thread.observed, STEP_MARKER);
        }
        if let Some(log) = &mut self.step_log {
            log.clear();
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.begin();
        }
        self.threads[index].future.take()
    }

    /// Ends a step and checks it for a race with the previous one.
    pub(crate) fn end_step(&mut self, acquired: Option<u32>, future: Option<ThreadFuture>) {
        let current = self.current;
        let ended = future.is_none();
        self.threads[current].future = future;
        if ended {
            self.threads[current].pending = Pending::Done;
            self.running.retain(|thread| *thread != current);
            if !self.threads[current].locks.is_empty() {
                self.violate(Invariant::I4, "a thread ends with a lock held".to_owned());
            }
        }
        let pending = self.threads[current].pending;
        if let Some(word) = pending.blocking_word() {
            self.ready.begin_wait(current, word);
        }
        let enabled = self.enabled(&self.threads[current]);
        self.ready.set(current, enabled);
        if let Some(word) = self.last_footprint.race(&self.footprint, acquired) {
            let what = format!("data race on {}", self.word_name(word));
            self.report_violation(None, Invariant::I8, what);
        }
        std::mem::swap(&mut self.footprint, &mut self.last_footprint);
    }

    /// Whether every thread has ended.
    pub(crate) fn all_done(&self) -> bool {
        self.running.is_empty()
    }

    /// Describes the next step of a thread.
    pub(crate) fn describe(&self, pending: Pending) -> String {
        match pending {
            Pending::Start => "spawn".to_owned(),
            Pending::Done => "ended".to_owned(),
            Pending::Access { word, write: false, .. } => format!("read {}", self.word_name(word)),
            Pending::Access { word, .. } => format!("write {}", self.word_name(word)),
            Pending::Lock { word } => format!("lock {}", self.word_name(word)),
            Pending::WaitUntil { word, min, .. } => {
                let min = if min < 1 << 20 { min.to_string() } else { format!("{min:#x}") };
                format!("wait_event({} >= {min})", self.word_name(word))
            }
        }
    }

    /// Reports a fair cycle of `period` steps by these threads.
    pub(crate) fn report_lasso(&mut self, period: u64, threads: &[usize]) {
        let threads = threads.iter().map(|thread| &self.threads[*thread]);
        let threads: Vec<String> =
            threads.map(|t| format!("{:#x}: {}", t.slot, self.describe(t.pending))).collect();
        let steps = match period {
            1 => "step repeats".to_owned(),
            _ => format!("{period} steps repeat"),
        };
        let what = format!(
            "livelock: under a fair schedule the same {steps} forever: {}",
            threads.join(", ")
        );
        self.violate(Invariant::I4, what);
    }

    /// Reports that no thread is enabled although some have not ended.
    pub(crate) fn report_deadlock(&mut self) {
        let blocked: Vec<String> = self
            .threads
            .iter()
            .filter(|t| t.pending != Pending::Done)
            .map(|t| format!("{:#x}: {}", t.slot, self.describe(t.pending)))
            .collect();
        self.violate(Invariant::I4, format!("deadlock: no thread can run: {}", blocked.join(", ")));
    }
}
