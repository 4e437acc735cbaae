//! Persistent sets: the threads that must be tried in a state, so that the others can wait.
//!
//! A set of threads is persistent if nothing that the others may do before one of the set takes its step
//! can meet that step in a conflict: whatever they do first, it can be moved before it (Godefroid,
//! "Partial-Order Methods for the Verification of Concurrent Systems", LNCS 1032, 1996, chapter 4). The
//! set grows from one thread: who may still touch in conflict what a member's step touches joins it; for a
//! member that waits, who may touch what it waits for.

use std::sync::Arc;

use super::future::Futures;
use super::meets::{Row, Rows};
use super::state::State;
use crate::executor::record::FAULTS;
use crate::executor::threads::Pending;
use crate::step_table::Code;

/// Threads as bits. A state with more is searched without leaving anything out.
const MOST: usize = 64;

/// A thread that has not ended.
#[derive(Clone, Copy, Debug)]
struct Standing {
    /// The slot as it is called where the state is known.
    order: u32,
    slot: u32,
    thread: u32,
    stop: u32,
}

/// Looks for the smallest persistent set of a state.
#[derive(Debug)]
pub(crate) struct Persistent {
    futures: Arc<Futures>,
    rows: Rows,
    /// In order: one that is the state's own, however it was reached. Sets are bits of places in it.
    threads: Vec<Standing>,
    left: Vec<usize>,
    walk: GateWalk,
}

/// Room for a walk through the gates that may open for a thread.
#[derive(Debug, Default)]
struct GateWalk {
    /// By awaited word: what the thread adds on the way, on all ways together.
    own: Vec<u64>,
    open: Vec<u64>,
    passed: Vec<u64>,
}

/// What is asked of a state.
struct Look<'a> {
    futures: &'a Futures,
    code: &'a Code,
    state: &'a State,
    threads: &'a [Standing],
}

impl Persistent {
    pub(crate) fn new(futures: Arc<Futures>) -> Self {
        Persistent {
            futures,
            rows: Rows::default(),
            threads: Vec::new(),
            left: Vec::new(),
            walk: GateWalk::default(),
        }
    }

    /// The threads of `enabled` that are enough, as bits, and perhaps some that cannot run; `None` if no
    /// fewer than all are, or too little is known. `renaming`: the one under which the state is known, so
    /// that the same is found for all states that differ by names only.
    pub(crate) fn smallest(
        &mut self,
        code: &Code,
        state: &State,
        enabled: &[u32],
        renaming: Option<usize>,
    ) -> Option<u64> {
        let slot = |slot: u32| match renaming {
            None => slot,
            Some(index) => code.names.group.other(index).slot(slot),
        };
        if state.threads.len() > MOST {
            return None;
        }
        self.threads.clear();
        for (thread, stop) in (0..).zip(&state.threads) {
            let at = &code.stops[*stop as usize];
            // An ended thread is no part of the state: where it ended must not matter.
            if at.pending == Pending::Done {
                continue;
            }
            if !self.futures.knows(*stop) {
                return None;
            }
            let order = slot(at.slot);
            let place = self.threads.partition_point(|other| other.order < order);
            self.threads.insert(place, Standing { order, slot: at.slot, thread, stop: *stop });
        }
        let runs = enabled.iter().fold(0_u64, |runs, thread| runs | 1 << thread);
        let (mut best, mut size) = (None, enabled.len() as u32);
        for seed in 0..self.threads.len() {
            if size > 1
                && runs >> self.threads[seed].thread & 1 == 1
                && let Some((set, members)) = self.grow(code, state, seed, size, runs)
            {
                (best, size) = (Some(set), members);
            }
        }
        let places = self.threads.iter().enumerate();
        best.map(|set| {
            places.fold(0, |threads, (place, at)| threads | (set >> place & 1) << at.thread)
        })
    }

    /// The set that one thread leads to, and how many of it can run, if those are fewer than `below`.
    fn grow(
        &mut self,
        code: &Code,
        state: &State,
        seed: usize,
        below: u32,
        runs: u64,
    ) -> Option<(u64, u32)> {
        let faults = state.value(FAULTS) > 0;
        let look = Look { futures: &self.futures, code, state, threads: &self.threads };
        let (mut set, mut members) = (1_u64 << seed, 0);
        self.left.clear();
        self.left.push(seed);
        while let Some(member) = self.left.pop() {
            let Standing { thread, stop, .. } = look.threads[member];
            let runs = runs >> thread & 1 == 1;
            members += u32::from(runs);
            if members >= below {
                return None;
            }
            let row = self.rows.row(look.futures, look.futures.meets.step(stop, runs, faults));
            for (other, at) in look.threads.iter().enumerate() {
                if set >> other & 1 == 0
                    && row.ever(at.stop)
                    && look.can_move(other, set)
                    && (row.near(at.stop)
                        || look.meets_behind_gates(other, set, row, &mut self.walk))
                {
                    set |= 1 << other;
                    self.left.push(other);
                }
            }
        }
        Some((set, members))
    }
}

impl Look<'_> {
    /// Whether a thread can do anything before one of a set has taken a step.
    fn can_move(&self, other: usize, set: u64) -> bool {
        match self.code.stops[self.threads[other].stop as usize].pending {
            Pending::Lock { word } => {
                let holder = self.state.value(word);
                let is_in = |place: usize| set >> place & 1 == 1;
                let mut threads = self.threads.iter().enumerate();
                holder == 0 || !threads.any(|(t, at)| is_in(t) && u64::from(at.slot) + 1 == holder)
            }
            Pending::WaitUntil { word, min, .. } => {
                let index = self.futures.awaited.binary_search(&word);
                index.map_or(true, |index| self.can_reach((index, word, min), set | 1 << other, 0))
            }
            _ => true,
        }
    }

    /// Whether threads outside of a set can raise an awaited word to a count, with `own` more.
    fn can_reach(&self, (index, word, min): (usize, u32, u64), set: u64, own: u64) -> bool {
        let outside = self.threads.iter().enumerate().filter(|(t, _)| set >> t & 1 == 0);
        let raises = outside.map(|(_, at)| self.futures.raises_of(at.stop)[index]);
        let mut count = self.state.value(word).saturating_add(own);
        count >= min
            || raises.into_iter().any(|raise| {
                count = count.saturating_add(many(raise));
                count >= min
            })
    }

    /// Whether a thread may meet a step in conflict behind its next gates, as far as they can be passed
    /// before one of a set has taken a step.
    fn meets_behind_gates(
        &self,
        other: usize,
        set: u64,
        row: Row<'_>,
        walk: &mut GateWalk,
    ) -> bool {
        let (futures, first) = (self.futures, self.threads[other].stop);
        let GateWalk { own, open, passed } = walk;
        own.clear();
        own.extend(futures.near_raises_of(first).iter().map(|raise| many(*raise)));
        open.clear();
        open.extend_from_slice(futures.gates_of(first));
        passed.clear();
        passed.resize(open.len(), 0);
        let mut again = true;
        while std::mem::take(&mut again) {
            for block in 0..open.len() {
                let mut shut = open[block] & !passed[block];
                while shut != 0 {
                    let bit = shut.trailing_zeros();
                    shut &= shut - 1;
                    let gate = futures.gates[block * 64 + bit as usize];
                    if !self.passes(gate, set | 1 << other, own) {
                        continue;
                    }
                    if row.near(gate) {
                        return true;
                    }
                    passed[block] |= 1 << bit;
                    again = true;
                    let more = futures.near_raises_of(gate);
                    own.iter_mut().zip(more).for_each(|(own, raise)| *own += many(*raise));
                    let next = futures.gates_of(gate);
                    open.iter_mut().zip(next).for_each(|(open, bits)| *open |= bits);
                }
            }
        }
        false
    }

    fn passes(&self, gate: u32, set: u64, own: &[u64]) -> bool {
        match self.code.stops[gate as usize].pending {
            Pending::WaitUntil { word, min, .. } => {
                let index = self.futures.awaited.binary_search(&word);
                index.map_or(true, |index| self.can_reach((index, word, min), set, own[index]))
            }
            _ => true,
        }
    }
}

/// A loop may raise a word any number of times.
fn many(raise: u8) -> u64 {
    if raise == u8::MAX { u64::from(u32::MAX) } else { u64::from(raise) }
}
