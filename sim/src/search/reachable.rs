//! Reachable accesses: what each thread may still access from its program point.
//!
//! The core idea is a fixed-point computation over the step table: the accesses of a program point are those
//! of its next step and those of every point that the step leads to. [Persistent sets](super::persistent)
//! need them.
//!
//! The table may be incomplete. A pass that recorded new steps is therefore repeated until a pass records
//! none. Partial-order reduction reorders the steps of a run but drops none, so the final table holds every
//! access that matters, in whichever order it was recorded.
//!
//! Two facts make the result smaller. An access under a lock cannot conflict with one under the same lock
//! before that lock is released. A thread that waits for a counter value which the others cannot reach does
//! nothing before. The accesses of a thread are therefore split at its *wait points*, the program points
//! that wait for a counter value: accesses before the next wait point, and accesses after each of them.

use super::step_summary::{Access, StepSummaries, StepSummary};
use crate::step_table::StepTable;

/// The accesses that are reachable from each program point.
#[derive(Clone, Debug)]
pub(crate) struct ReachableAccesses {
    /// Sorted, so that the accesses of a word are adjacent.
    pub(super) accesses: Vec<Access>,
    /// By word: index of its first access.
    first: Vec<u32>,
    /// Bit sets of the accesses before the next wait point; `stride` words for each point.
    bits: Vec<u64>,
    pub(super) stride: usize,
    /// Program points that wait for a counter value, ascending.
    pub(super) wait_points: Vec<u32>,
    /// Bit sets of the next wait points; `wait_point_stride` words for each point.
    wait_point_bits: Vec<u64>,
    wait_point_stride: usize,
    points: usize,
    /// Awaited words, ascending.
    pub(super) awaited: Vec<u32>,
    /// By point and awaited word: an upper bound of what a thread, with the threads that it spawns, still
    /// adds to the word. `u8::MAX` is "any number".
    increments: Vec<u8>,
    /// The same up to the next wait point.
    increments_before_wait: Vec<u8>,
}

impl ReachableAccesses {
    /// Computes the accesses from the steps that the table knows.
    pub(crate) fn new(table: &StepTable, summaries: &StepSummaries) -> Self {
        let StepSummaries { steps, awaited, .. } = summaries;
        let mut accesses: Vec<Access> = steps.iter().flat_map(|s| &s.accesses).copied().collect();
        accesses.sort_unstable();
        accesses.dedup();
        let words = table.symbols.words.len() as u32;
        let first = (0..=words)
            .map(|word| accesses.partition_point(|access| access.word < word) as u32)
            .collect();
        let stride = accesses.len().div_ceil(64);
        let bits = vec![0; stride * steps.len()];
        let is_wait_point =
            |point: &u32| table.points[*point as usize].pending.awaited_word().is_some();
        let wait_points: Vec<u32> = (0..table.points.len() as u32).filter(is_wait_point).collect();
        let wait_point_stride = wait_points.len().div_ceil(64);
        let wait_point_bits = vec![0; wait_point_stride * steps.len()];
        let increments = vec![0; awaited.len() * steps.len()];
        let increments_before_wait = increments.clone();
        let mut reachable = ReachableAccesses {
            accesses,
            first,
            bits,
            stride,
            wait_points,
            wait_point_bits,
            wait_point_stride,
            points: steps.len(),
            awaited: awaited.clone(),
            increments,
            increments_before_wait,
        };
        for (point, step) in steps.iter().enumerate() {
            for access in &step.accesses {
                if let Ok(bit) = reachable.accesses.binary_search(access) {
                    reachable.bits[point * stride + bit / 64] |= 1 << (bit % 64);
                }
            }
        }
        // Later points were recorded later as a rule, so the reverse order converges quickly.
        let mut grown = true;
        while grown {
            grown = false;
            for point in (0..steps.len()).rev() {
                grown |= reachable.propagate(point, &steps[point]);
            }
        }
        reachable
    }

    /// Adds the accesses of the successors of a point; `false` if nothing is new.
    fn propagate(&mut self, point: usize, step: &StepSummary) -> bool {
        let mut grown = false;
        for next in step.next.iter().chain(&step.spawned) {
            let next = *next as usize;
            if let Ok(wait_point) = self.wait_points.binary_search(&(next as u32)) {
                let bits =
                    &mut self.wait_point_bits[point * self.wait_point_stride + wait_point / 64];
                grown |= *bits >> (wait_point % 64) & 1 == 0;
                *bits |= 1 << (wait_point % 64);
            } else {
                grown |= union_rows(&mut self.bits, self.stride, point, next);
                grown |= union_rows(&mut self.wait_point_bits, self.wait_point_stride, point, next);
            }
        }
        grown | self.propagate_increments(point, step)
    }

    fn propagate_increments(&mut self, point: usize, step: &StepSummary) -> bool {
        let (n, mut grown) = (self.awaited.len(), false);
        for i in 0..n {
            let of = |counts: &[u8], point: u32| counts[point as usize * n + i];
            let start = |sum: u8, start: &u32| sum.saturating_add(of(&self.increments, *start));
            let started = step.spawned.iter().fold(0_u8, start);
            let (mut most, mut before_wait) = (0, 0);
            for (next, own) in &step.increments {
                most = own[i].saturating_add(of(&self.increments, *next)).max(most);
                let is_wait_point = self.wait_points.binary_search(next).is_ok();
                let behind =
                    if is_wait_point { 0 } else { of(&self.increments_before_wait, *next) };
                before_wait = own[i].saturating_add(behind).max(before_wait);
            }
            let at = point * n + i;
            grown |= raise_bound(&mut self.increments[at], most.saturating_add(started));
            grown |= raise_bound(
                &mut self.increments_before_wait[at],
                before_wait.saturating_add(started),
            );
        }
        grown
    }

    /// Whether a program point existed when this was computed.
    pub(super) fn contains(&self, point: u32) -> bool {
        (point as usize) < self.points
    }

    /// Indices of a word's accesses.
    pub(super) fn accesses_of(&self, word: u32) -> std::ops::Range<usize> {
        self.first[word as usize] as usize..self.first[word as usize + 1] as usize
    }

    /// Bit set of the accesses of a point before its next wait point.
    pub(super) fn accesses_before_wait(&self, point: usize) -> &[u64] {
        &self.bits[point * self.stride..(point + 1) * self.stride]
    }

    /// Bit set of the next wait points of a point.
    pub(super) fn next_wait_points(&self, point: u32) -> &[u64] {
        &self.wait_point_bits[point as usize * self.wait_point_stride..][..self.wait_point_stride]
    }

    /// By awaited word: what a thread at a point still adds to it.
    pub(super) fn increments_of(&self, point: u32) -> &[u8] {
        &self.increments[point as usize * self.awaited.len()..][..self.awaited.len()]
    }

    /// The same up to the next wait point.
    pub(super) fn increments_before_wait_of(&self, point: u32) -> &[u8] {
        &self.increments_before_wait[point as usize * self.awaited.len()..][..self.awaited.len()]
    }

    /// Bit sets of the accesses of each point if every wait is eventually satisfied.
    pub(super) fn accesses_with_waits_passed(&self) -> Vec<u64> {
        let mut whole = self.bits.clone();
        let open = |point: u32| {
            let bits = self.next_wait_points(point);
            let wait_points = self.wait_points.iter().enumerate();
            wait_points
                .filter(move |(i, _)| bits[i / 64] >> (i % 64) & 1 == 1)
                .map(|(_, wait_point)| *wait_point)
        };
        let mut grown = true;
        while std::mem::take(&mut grown) {
            for point in self.wait_points.iter().rev() {
                for wait_point in open(*point) {
                    grown |=
                        union_rows(&mut whole, self.stride, *point as usize, wait_point as usize);
                }
            }
        }
        for point in 0..self.points as u32 {
            for wait_point in open(point) {
                union_rows(&mut whole, self.stride, point as usize, wait_point as usize);
            }
        }
        whole
    }
}

/// Adds the bits of row `from` to row `to`; returns whether a bit was new.
fn union_rows(bits: &mut [u64], stride: usize, to: usize, from: usize) -> bool {
    let mut grown = false;
    for i in 0..stride {
        let more = bits[from * stride + i];
        let bits = &mut bits[to * stride + i];
        grown |= more & !*bits != 0;
        *bits |= more;
    }
    grown
}

fn raise_bound(known: &mut u8, most: u8) -> bool {
    // A loop in the table would never converge: above this bound it is "any number".
    let most = if most > 64 { u8::MAX } else { most };
    let grown = most > *known;
    *known = most.max(*known);
    grown
}
