//! A state of a program: the words, and the program point of each thread. Steps are executed and undone in
//! place.

mod step;

use ifq_model::work::FIRST_KERNEL_SLOT;

use super::orbit_fingerprints::OrbitFingerprints;
use super::step_accesses::{PlainAccesses, StepAccesses};
use crate::executor::contribution::Contribution;
use crate::executor::fingerprint::faults_key;
use crate::executor::fingerprint::{Fingerprint, append};
use crate::executor::symbols::{ALWAYS, FAULTS};
use crate::executor::threads::Pending;
use crate::step_table::StepTable;

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepResult {
    /// The step is complete.
    Done,
    /// The table does not know the next event.
    Unknown,
    /// The step violates an invariant.
    Violation,
}

/// The previous value of a word.
#[derive(Clone, Copy, Debug)]
struct UndoEntry {
    word: u32,
    value: u64,
    contribution: Contribution,
}

/// What is needed to undo a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UndoPoint {
    fingerprint: Fingerprint,
    undo_len: u32,
    threads: u32,
    thread: u32,
    point: u32,
    last: u32,
    running: u32,
}

/// A state.
#[derive(Clone, Debug)]
pub(crate) struct State {
    values: Vec<u64>,
    contributions: Vec<Contribution>,
    /// By buffer: hash of its words and of the places that refer to it; see [`crate::symmetry`].
    signatures: Vec<Fingerprint>,
    /// The program point of each thread, in the order of spawning.
    pub(crate) threads: Vec<u32>,
    /// The thread that took the last step.
    pub(crate) last: usize,
    /// The same, but a thread that spawns another counts as running until the new thread has reached its
    /// first scheduling point.
    pub(crate) running: usize,
    fingerprint: Fingerprint,
    /// The fingerprints of the images under the permutations.
    permuted: OrbitFingerprints,
    undo_log: Vec<UndoEntry>,
    /// Of the last step.
    pub(crate) plain_accesses: PlainAccesses,
    /// All accesses of the last step, for sleep sets.
    pub(crate) step_accesses: Option<StepAccesses>,
}

/// A fingerprint with the signatures of buffers in canonical form: their multiset.
fn canonical_sum(own: Fingerprint, signatures: &[Fingerprint]) -> Fingerprint {
    let used = signatures.iter().filter(|signature| **signature != 0);
    used.fold(own, |state, signature| state.wrapping_add(append(*signature, 1)))
}

/// A fingerprint with the signatures of buffers in order.
fn exact_sum(own: Fingerprint, signatures: &[Fingerprint]) -> Fingerprint {
    (2..)
        .zip(signatures)
        .fold(own, |state, (name, signature)| state.wrapping_add(append(*signature, name)))
}

impl State {
    /// The initial state.
    pub(crate) fn new(table: &StepTable, faults: u32) -> Self {
        let mut state = State {
            values: Vec::new(),
            contributions: Vec::new(),
            signatures: vec![0; table.symbols.symmetry.count as usize],
            threads: vec![StepTable::FIRST],
            last: 0,
            running: 0,
            fingerprint: table.points[StepTable::FIRST as usize].hash,
            permuted: OrbitFingerprints::new(table),
            undo_log: Vec::new(),
            plain_accesses: PlainAccesses::default(),
            step_accesses: None,
        };
        state.grow(table);
        state.values[ALWAYS as usize] = 1;
        state.set_faults(faults);
        state.undo_log.clear();
        state.permuted.discard_undo();
        state
    }

    /// Makes room for all words of the table.
    pub(crate) fn grow(&mut self, table: &StepTable) {
        self.values.resize(table.symbols.words.len(), 0);
        self.contributions.resize(table.symbols.words.len(), Contribution::NONE);
        self.permuted.grow(table.symbols.words.len());
    }

    /// The fingerprint of the state, equal for states that differ by a permutation of buffers.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        canonical_sum(self.fingerprint, &self.signatures)
    }

    /// As [`State::fingerprint`], different for permuted buffers.
    pub(crate) fn exact_fingerprint(&self) -> Fingerprint {
        exact_sum(self.fingerprint, &self.signatures)
    }

    /// The fingerprints of the images under the permutations, in order; see [`State::fingerprint`].
    pub(crate) fn images(&self, exact: bool) -> impl Iterator<Item = Fingerprint> {
        self.permuted.fingerprints().map(move |(own, signatures)| match exact {
            true => exact_sum(own, signatures),
            false => canonical_sum(own, signatures),
        })
    }

    #[inline]
    fn toggle(&mut self, contribution: Contribution) {
        match contribution.buffer() {
            None => self.fingerprint ^= contribution.hash(),
            Some(buffer) => self.signatures[buffer as usize] ^= contribution.hash(),
        }
    }

    /// The value of a word.
    #[inline]
    pub(crate) fn value(&self, word: u32) -> u64 {
        self.values[word as usize]
    }

    /// Sets a word; returns whether its images must be set, too.
    #[inline]
    fn set(&mut self, word: u32, value: u64, contribution: Contribution) -> bool {
        let index = word as usize;
        let (old, old_contribution) = (self.values[index], self.contributions[index]);
        if old == value {
            return false;
        }
        self.undo_log.push(UndoEntry { word, value: old, contribution: old_contribution });
        self.toggle(old_contribution);
        self.toggle(contribution);
        self.values[index] = value;
        self.contributions[index] = contribution;
        !self.permuted.is_empty()
    }

    /// Sets a word that is not part of the fingerprint.
    #[inline]
    fn set_unhashed(&mut self, word: u32, value: u64) {
        if self.set(word, value, Contribution::NONE) {
            self.permuted.set(word, |_| Contribution::NONE);
        }
    }

    fn set_faults(&mut self, left: u32) {
        let contribution = Contribution::of_state(faults_key(left));
        if self.set(FAULTS, u64::from(left), contribution) {
            self.permuted.set(FAULTS, |_| contribution);
        }
    }

    /// Moves a thread to another program point.
    #[inline]
    fn move_to(&mut self, table: &StepTable, thread: usize, point: u32) {
        let from = self.threads[thread];
        let hash = |point: u32| table.points[point as usize].hash;
        self.fingerprint ^= hash(from) ^ hash(point);
        self.toggle_buffer_observations(table, from);
        self.toggle_buffer_observations(table, point);
        if !self.permuted.is_empty() {
            self.permuted.move_to(table, from, point);
        }
        self.threads[thread] = point;
    }

    /// Adds or removes what a thread at a program point has observed of buffers.
    #[inline]
    fn toggle_buffer_observations(&mut self, table: &StepTable, point: u32) {
        if self.signatures.is_empty() {
            return;
        }
        for contribution in &table.histories[point as usize].buffer_observations {
            self.toggle(*contribution);
        }
    }

    /// The point to which [`State::undo`] returns after a step of a thread.
    pub(crate) fn undo_point(&self, thread: usize) -> UndoPoint {
        UndoPoint {
            fingerprint: self.fingerprint,
            undo_len: self.undo_log.len() as u32,
            threads: self.threads.len() as u32,
            thread: thread as u32,
            point: self.threads[thread],
            last: self.last as u32,
            running: self.running as u32,
        }
    }

    /// Undoes a step.
    pub(crate) fn undo(&mut self, table: &StepTable, undo_point: &UndoPoint) {
        let thread = undo_point.thread as usize;
        while self.undo_log.len() > undo_point.undo_len as usize {
            let Some(UndoEntry { word, value, contribution }) = self.undo_log.pop() else { break };
            self.values[word as usize] = value;
            if !self.permuted.is_empty() {
                self.permuted.undo_set(word);
            }
            let new = std::mem::replace(&mut self.contributions[word as usize], contribution);
            if new.buffer().is_some() || contribution.buffer().is_some() {
                self.toggle(new);
                self.toggle(contribution);
            }
        }
        if self.threads[thread] != undo_point.point {
            self.toggle_buffer_observations(table, self.threads[thread]);
            self.toggle_buffer_observations(table, undo_point.point);
            if !self.permuted.is_empty() {
                self.permuted.move_to(table, self.threads[thread], undo_point.point);
            }
        }
        self.fingerprint = undo_point.fingerprint;
        while self.threads.len() > undo_point.threads as usize {
            let started = self.threads.pop();
            if let Some(started) = started.filter(|_| !self.permuted.is_empty()) {
                self.permuted.toggle_thread(table, started);
            }
        }
        self.threads[thread] = undo_point.point;
        self.last = undo_point.last as usize;
        self.running = undo_point.running as usize;
    }

    /// Whether a thread is enabled.
    pub(crate) fn enabled(&self, table: &StepTable, thread: usize) -> bool {
        let point = &table.points[self.threads[thread] as usize];
        match point.pending {
            Pending::Start | Pending::Access { .. } => true,
            Pending::Lock { word } => {
                let holder = self.value(word);
                holder == 0 || holder == u64::from(point.slot) + 1
            }
            Pending::WaitUntil { word, min, .. } => self.value(word) >= min,
            Pending::Done => false,
        }
    }

    /// A thread that is about to start. It runs before any other: the last step has spawned it.
    pub(crate) fn starting_thread(&self, table: &StepTable) -> Option<u32> {
        let starts = |point: &u32| matches!(table.points[*point as usize].pending, Pending::Start);
        self.threads.iter().position(starts).map(|thread| thread as u32)
    }

    /// The enabled threads, as in [`crate::executor::machine::Machine::runnable`].
    pub(crate) fn runnable(&self, table: &StepTable, out: &mut Vec<u32>) {
        out.clear();
        let point = |thread: usize| &table.points[self.threads[thread] as usize];
        if let Some(starts) = self.starting_thread(table) {
            out.push(starts);
            return;
        }
        if self.enabled(table, self.last) {
            out.push(self.last as u32);
        }
        for thread in 0..self.threads.len() {
            if thread != self.last && self.enabled(table, thread) {
                out.push(thread as u32);
            }
        }
        if out.is_empty() {
            let may_time_out =
                |t: &usize| matches!(point(*t).pending, Pending::WaitUntil { quiesce: true, .. });
            let timeout_rank = |t: &usize| match point(*t).slot {
                0 => 2,
                slot if slot < FIRST_KERNEL_SLOT => 1,
                _ => 0,
            };
            let timed_waits = (0..self.threads.len()).filter(may_time_out);
            out.extend(timed_waits.min_by_key(timeout_rank).map(|t| t as u32));
        }
    }

    /// Whether every thread has ended.
    pub(crate) fn all_done(&self, table: &StepTable) -> bool {
        self.threads.iter().all(|point| table.points[*point as usize].pending == Pending::Done)
    }

    /// The outcome, at the end of a run.
    pub(crate) fn outcome(&self, table: &StepTable) -> Option<u32> {
        table.histories[self.threads[0] as usize].outcome
    }
}
