//! Persistent sets: a subset of the enabled threads that suffices in a state.
//!
//! A set of threads is persistent if no step that the other threads can take before a member takes its
//! next step conflicts with that step. Exploring only the members then preserves deadlocks and violations
//! (Godefroid, "Partial-Order Methods for the Verification of Concurrent Systems", LNCS 1032, 1996,
//! chapter 4). The algorithm computes a closure from each enabled thread: a thread that may still conflict
//! with the next step of a member joins the set; for a blocked member, a thread that may enable it joins.

use std::sync::Arc;

use super::dependence::{ConflictRow, ConflictRows, Dependence};
use super::reachable::ReachableAccesses;
use super::state::State;
use crate::executor::symbols::FAULTS;
use crate::executor::threads::Pending;
use crate::step_table::StepTable;

/// Thread sets are 64-bit masks. A state with more threads is expanded in full.
const MAX_THREADS: usize = 64;

/// A thread that has not ended.
#[derive(Clone, Copy, Debug)]
struct LiveThread {
    /// The slot under the permutation that gives the canonical state. Determines the order of threads.
    order: u32,
    slot: u32,
    thread: u32,
    point: u32,
}

/// Computes the smallest persistent set of a state.
#[derive(Debug)]
pub(crate) struct PersistentSets {
    dependence: Arc<Dependence>,
    rows: ConflictRows,
    /// Live threads in an order that is a function of the canonical state. Sets are masks of positions in it.
    threads: Vec<LiveThread>,
    worklist: Vec<usize>,
    traversal: WaitTraversal,
}

/// Buffers of [`Query::conflicts_after_waits`].
#[derive(Debug, Default)]
struct WaitTraversal {
    /// By awaited word: an upper bound of what the thread itself adds before a wait point.
    own: Vec<u64>,
    /// Reachable wait points, as bits.
    open: Vec<u64>,
    /// Wait points that the thread can pass, as bits.
    passed: Vec<u64>,
}

/// The state for which a set is computed.
struct Query<'a> {
    reachable: &'a ReachableAccesses,
    table: &'a StepTable,
    state: &'a State,
    threads: &'a [LiveThread],
}

impl PersistentSets {
    /// Sets for a dependence relation.
    pub(crate) fn new(dependence: Arc<Dependence>) -> Self {
        PersistentSets {
            dependence,
            rows: ConflictRows::default(),
            threads: Vec::new(),
            worklist: Vec::new(),
            traversal: WaitTraversal::default(),
        }
    }

    /// A mask of threads that suffice, perhaps with some that are blocked; `None` if all enabled threads are
    /// needed, or if the dependence relation does not cover the state. `permutation` gives the canonical
    /// state, so that symmetric states get symmetric sets.
    pub(crate) fn smallest(
        &mut self,
        table: &StepTable,
        state: &State,
        enabled: &[u32],
        permutation: Option<usize>,
    ) -> Option<u64> {
        let slot = |slot: u32| match permutation {
            None => slot,
            Some(index) => table.symbols.group.nontrivial(index).slot(slot),
        };
        if state.threads.len() > MAX_THREADS {
            return None;
        }
        self.threads.clear();
        for (thread, point) in (0..).zip(&state.threads) {
            let live = &table.points[*point as usize];
            // An ended thread is not part of the state: the set must not depend on it.
            if live.pending == Pending::Done {
                continue;
            }
            if !self.dependence.reachable.contains(*point) {
                return None;
            }
            let order = slot(live.slot);
            let position = self.threads.partition_point(|other| other.order < order);
            self.threads
                .insert(position, LiveThread { order, slot: live.slot, thread, point: *point });
        }
        let enabled_bits = enabled.iter().fold(0_u64, |bits, thread| bits | 1 << thread);
        let (mut best, mut size) = (None, enabled.len() as u32);
        for seed in 0..self.threads.len() {
            if size > 1
                && enabled_bits >> self.threads[seed].thread & 1 == 1
                && let Some((set, members)) = self.closure(table, state, seed, size, enabled_bits)
            {
                (best, size) = (Some(set), members);
            }
        }
        let positions = self.threads.iter().enumerate();
        best.map(|set| {
            positions
                .fold(0, |threads, (position, live)| threads | (set >> position & 1) << live.thread)
        })
    }

    /// The closure of one thread, and the number of its enabled members if that is below `below`.
    fn closure(
        &mut self,
        table: &StepTable,
        state: &State,
        seed: usize,
        below: u32,
        enabled_bits: u64,
    ) -> Option<(u64, u32)> {
        let faults = state.value(FAULTS) > 0;
        let Dependence { reachable, conflicts } = &*self.dependence;
        let query = Query { reachable, table, state, threads: &self.threads };
        let (mut set, mut members) = (1_u64 << seed, 0);
        self.worklist.clear();
        self.worklist.push(seed);
        while let Some(member) = self.worklist.pop() {
            let LiveThread { thread, point, .. } = query.threads[member];
            let is_enabled = enabled_bits >> thread & 1 == 1;
            members += u32::from(is_enabled);
            if members >= below {
                return None;
            }
            let step_class = conflicts.step_class(point, is_enabled, faults);
            let row = self.rows.row(&self.dependence, step_class);
            for (other, live) in query.threads.iter().enumerate() {
                if set >> other & 1 == 0
                    && row.ever(live.point)
                    && query.can_move(other, set)
                    && (row.before_next_wait(live.point)
                        || query.conflicts_after_waits(other, set, row, &mut self.traversal))
                {
                    set |= 1 << other;
                    self.worklist.push(other);
                }
            }
        }
        Some((set, members))
    }
}

impl Query<'_> {
    /// Whether a thread can take a step before a member of a set does.
    fn can_move(&self, other: usize, set: u64) -> bool {
        match self.table.points[self.threads[other].point as usize].pending {
            Pending::Lock { word } => {
                let holder = self.state.value(word);
                let is_in = |place: usize| set >> place & 1 == 1;
                let mut threads = self.threads.iter().enumerate();
                holder == 0
                    || !threads.any(|(t, live)| is_in(t) && u64::from(live.slot) + 1 == holder)
            }
            Pending::WaitUntil { word, min, .. } => {
                let index = self.reachable.awaited.binary_search(&word);
                index.map_or(true, |index| self.can_reach((index, word, min), set | 1 << other, 0))
            }
            _ => true,
        }
    }

    /// Whether threads outside a set, plus `own`, can raise an awaited word to a value.
    fn can_reach(&self, (index, word, min): (usize, u32, u64), set: u64, own: u64) -> bool {
        let outside = self.threads.iter().enumerate().filter(|(t, _)| set >> t & 1 == 0);
        let increments = outside.map(|(_, live)| self.reachable.increments_of(live.point)[index]);
        let mut count = self.state.value(word).saturating_add(own);
        count >= min
            || increments.into_iter().any(|increment| {
                count = count.saturating_add(as_count(increment));
                count >= min
            })
    }

    /// Whether a thread may conflict with a step after wait points that it can pass before a member of the
    /// set takes a step.
    fn conflicts_after_waits(
        &self,
        other: usize,
        set: u64,
        row: ConflictRow<'_>,
        traversal: &mut WaitTraversal,
    ) -> bool {
        let (reachable, first) = (self.reachable, self.threads[other].point);
        let WaitTraversal { own, open, passed } = traversal;
        own.clear();
        own.extend(
            reachable.increments_before_wait_of(first).iter().map(|increment| as_count(*increment)),
        );
        open.clear();
        open.extend_from_slice(reachable.next_wait_points(first));
        passed.clear();
        passed.resize(open.len(), 0);
        let mut changed = true;
        while std::mem::take(&mut changed) {
            for block in 0..open.len() {
                let mut unpassed = open[block] & !passed[block];
                while unpassed != 0 {
                    let bit = unpassed.trailing_zeros();
                    unpassed &= unpassed - 1;
                    let wait_point = reachable.wait_points[block * 64 + bit as usize];
                    if !self.passes(wait_point, set | 1 << other, own) {
                        continue;
                    }
                    if row.before_next_wait(wait_point) {
                        return true;
                    }
                    passed[block] |= 1 << bit;
                    changed = true;
                    let more = reachable.increments_before_wait_of(wait_point);
                    own.iter_mut()
                        .zip(more)
                        .for_each(|(own, increment)| *own += as_count(*increment));
                    let next = reachable.next_wait_points(wait_point);
                    open.iter_mut().zip(next).for_each(|(open, bits)| *open |= bits);
                }
            }
        }
        false
    }

    /// Whether a thread can pass a wait point before a member of a set takes a step.
    fn passes(&self, wait_point: u32, set: u64, own: &[u64]) -> bool {
        match self.table.points[wait_point as usize].pending {
            Pending::WaitUntil { word, min, .. } => {
                let index = self.reachable.awaited.binary_search(&word);
                index.map_or(true, |index| self.can_reach((index, word, min), set, own[index]))
            }
            _ => true,
        }
    }
}

/// An increment as a count; `u8::MAX` is "any number".
fn as_count(increment: u8) -> u64 {
    if increment == u8::MAX { u64::from(u32::MAX) } else { u64::from(increment) }
}
