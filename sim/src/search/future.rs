//! What the threads of a program may still do; see [`super::persistent`] for what that is good for.
//!
//! It is read off the tables: every access that follows from where a thread stands. The tables may not
//! know all of it yet. So a search that has learned something is done again, until one has known all that
//! it met: since no step that any run takes is left out with every run, but only moved, that is all there
//! is, in whichever order it was learned.
//!
//! An access under a lock cannot be met by one under the same lock before that lock is released; a
//! thread that waits for a lock, or for a count that the others cannot reach, does nothing before. So a
//! thread's future is cut into what it may do before it waits for a count (a gate), and what comes behind
//! each gate.

use std::collections::HashMap;

use super::meets::Meets;
use super::steps::{Access, Steps};
use crate::executor::threads::Pending;
use crate::step_table::Code;

/// What each stop's thread may still do.
#[derive(Clone, Debug)]
pub(crate) struct Futures {
    /// Sorted, so that those of a word are neighbours.
    pub(super) accesses: Vec<Access>,
    /// By word: where its accesses begin.
    first: Vec<u32>,
    /// Bits of accesses before the next gate, `stride` words a stop.
    bits: Vec<u64>,
    pub(super) stride: usize,
    /// Stops that wait for a count, in order.
    pub(super) gates: Vec<u32>,
    /// Bits of gates that come next, `gate_stride` words a stop.
    gate_bits: Vec<u64>,
    gate_stride: usize,
    stops: usize,
    /// Words that are waited for, in order.
    pub(super) awaited: Vec<u32>,
    /// By how much at most a thread, with those that it starts, still raises each of them.
    raises: Vec<u8>,
    /// The same before the next gate.
    near_raises: Vec<u8>,
    /// Which steps meet which futures.
    pub(super) meets: Meets,
}

impl Futures {
    /// As far as the tables know.
    pub(crate) fn new(code: &Code) -> Self {
        let bit_of = lock_bits(code);
        let mask = |locks: &[u32]| {
            locks.iter().fold(0, |mask, lock| mask | bit_of.get(lock).copied().unwrap_or(0))
        };
        let held: Vec<u64> = code.pasts.iter().map(|past| mask(&past.locks)).collect();
        let mut awaited: Vec<u32> =
            code.stops.iter().filter_map(|s| s.pending.waits_for()).collect();
        awaited.sort_unstable();
        awaited.dedup();
        let steps: Vec<Steps> = (0..code.stops.len())
            .map(|stop| {
                let taken = match code.stops[stop].pending {
                    Pending::Lock { word } => mask(&[word]),
                    _ => 0,
                };
                Steps::from(code, stop, held[stop] | taken, &awaited)
            })
            .collect();
        let mut accesses: Vec<Access> = steps.iter().flat_map(|s| &s.accesses).copied().collect();
        accesses.sort_unstable();
        accesses.dedup();
        let words = code.names.words.len() as u32;
        let first = (0..=words)
            .map(|word| accesses.partition_point(|access| access.word < word) as u32)
            .collect();
        let stride = accesses.len().div_ceil(64);
        let bits = vec![0; stride * steps.len()];
        let is_gate = |stop: &u32| code.stops[*stop as usize].pending.waits_for().is_some();
        let gates: Vec<u32> = (0..code.stops.len() as u32).filter(is_gate).collect();
        let gate_stride = gates.len().div_ceil(64);
        let gate_bits = vec![0; gate_stride * steps.len()];
        let raises = vec![0; awaited.len() * steps.len()];
        let near_raises = raises.clone();
        let mut futures = Futures {
            accesses,
            first,
            bits,
            stride,
            gates,
            gate_bits,
            gate_stride,
            stops: steps.len(),
            meets: Meets::default(),
            awaited,
            raises,
            near_raises,
        };
        for (stop, steps) in steps.iter().enumerate() {
            for access in &steps.accesses {
                if let Ok(bit) = futures.accesses.binary_search(access) {
                    futures.bits[stop * stride + bit / 64] |= 1 << (bit % 64);
                }
            }
        }
        // What comes later was learned later, as a rule: backwards is quick.
        let mut grown = true;
        while grown {
            grown = false;
            for stop in (0..steps.len()).rev() {
                grown |= futures.absorb(stop, &steps[stop]);
            }
        }
        futures.meets = Meets::new(&futures, code, &held, &steps);
        futures
    }

    /// Adds what the next stops may do; `false` if nothing is new.
    fn absorb(&mut self, stop: usize, steps: &Steps) -> bool {
        let mut grown = false;
        for next in steps.next.iter().chain(&steps.starts) {
            let next = *next as usize;
            if let Ok(gate) = self.gates.binary_search(&(next as u32)) {
                let bits = &mut self.gate_bits[stop * self.gate_stride + gate / 64];
                grown |= *bits >> (gate % 64) & 1 == 0;
                *bits |= 1 << (gate % 64);
            } else {
                grown |= join(&mut self.bits, self.stride, stop, next);
                grown |= join(&mut self.gate_bits, self.gate_stride, stop, next);
            }
        }
        grown | self.absorb_raises(stop, steps)
    }

    fn absorb_raises(&mut self, stop: usize, steps: &Steps) -> bool {
        let (n, mut grown) = (self.awaited.len(), false);
        for i in 0..n {
            let of = |counts: &[u8], stop: u32| counts[stop as usize * n + i];
            let start = |sum: u8, start: &u32| sum.saturating_add(of(&self.raises, *start));
            let started = steps.starts.iter().fold(0_u8, start);
            let (mut most, mut near) = (0, 0);
            for (next, own) in &steps.raises {
                most = own[i].saturating_add(of(&self.raises, *next)).max(most);
                let is_gate = self.gates.binary_search(next).is_ok();
                let behind = if is_gate { 0 } else { of(&self.near_raises, *next) };
                near = own[i].saturating_add(behind).max(near);
            }
            let at = stop * n + i;
            grown |= raise(&mut self.raises[at], most.saturating_add(started));
            grown |= raise(&mut self.near_raises[at], near.saturating_add(started));
        }
        grown
    }

    /// Whether a stop was met before this was made.
    pub(super) fn knows(&self, stop: u32) -> bool {
        (stop as usize) < self.stops
    }

    /// The places of a word's accesses.
    pub(super) fn accesses_of(&self, word: u32) -> std::ops::Range<usize> {
        self.first[word as usize] as usize..self.first[word as usize + 1] as usize
    }

    /// Bits of the accesses of a stop before its next gate.
    pub(super) fn bits_of(&self, stop: usize) -> &[u64] {
        &self.bits[stop * self.stride..(stop + 1) * self.stride]
    }

    /// Bits of a stop's next gates.
    pub(super) fn gates_of(&self, stop: u32) -> &[u64] {
        &self.gate_bits[stop as usize * self.gate_stride..][..self.gate_stride]
    }

    /// By awaited word: by how much a thread at a stop still raises it.
    pub(super) fn raises_of(&self, stop: u32) -> &[u8] {
        &self.raises[stop as usize * self.awaited.len()..][..self.awaited.len()]
    }

    /// The same before its next gate.
    pub(super) fn near_raises_of(&self, stop: u32) -> &[u8] {
        &self.near_raises[stop as usize * self.awaited.len()..][..self.awaited.len()]
    }

    /// Bits of the accesses of each stop, as if every gate were open.
    pub(super) fn behind_all_gates(&self) -> Vec<u64> {
        let mut whole = self.bits.clone();
        let open = |stop: u32| {
            let bits = self.gates_of(stop);
            let gates = self.gates.iter().enumerate();
            gates.filter(move |(i, _)| bits[i / 64] >> (i % 64) & 1 == 1).map(|(_, gate)| *gate)
        };
        let mut grown = true;
        while std::mem::take(&mut grown) {
            for stop in self.gates.iter().rev() {
                for gate in open(*stop) {
                    grown |= join(&mut whole, self.stride, *stop as usize, gate as usize);
                }
            }
        }
        for stop in 0..self.stops as u32 {
            for gate in open(stop) {
                join(&mut whole, self.stride, stop as usize, gate as usize);
            }
        }
        whole
    }
}

/// Adds the bits of one stop to those of another; whether one was new.
fn join(bits: &mut [u64], stride: usize, to: usize, from: usize) -> bool {
    let mut grown = false;
    for i in 0..stride {
        let more = bits[from * stride + i];
        let bits = &mut bits[to * stride + i];
        grown |= more & !*bits != 0;
        *bits |= more;
    }
    grown
}

fn raise(known: &mut u8, most: u8) -> bool {
    // A loop through the tables would count for ever: from here on it is "any number".
    let most = if most > 64 { u8::MAX } else { most };
    let grown = most > *known;
    *known = most.max(*known);
    grown
}

/// A bit for each lock; those beyond 64 protect nothing.
fn lock_bits(code: &Code) -> HashMap<u32, u64> {
    let mut locks: Vec<u32> = code
        .stops
        .iter()
        .filter_map(|stop| match stop.pending {
            Pending::Lock { word } => Some(word),
            _ => None,
        })
        .collect();
    locks.sort_unstable();
    locks.dedup();
    locks.iter().take(64).enumerate().map(|(bit, lock)| (*lock, 1 << bit)).collect()
}
