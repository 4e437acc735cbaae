//! Persistent sets: the threads that must be tried in a state, so that the others can wait.
//!
//! A set of threads is persistent if nothing that the others may do before one of the set takes its step
//! can meet that step in a conflict: whatever they do first, it can be moved before it (Godefroid,
//! "Partial-Order Methods for the Verification of Concurrent Systems", LNCS 1032, 1996, chapter 4). The
//! set grows from one thread: who may still touch in conflict what a member's step touches joins it; for a
//! member that waits, who may touch what it waits for.

use super::future::Futures;
use super::state::{Choices, State, Walk};
use crate::code::Code;

/// Threads as bits. A state with more is searched without leaving anything out.
const MOST: usize = 64;

/// What came of growing a set.
enum Grown {
    /// The set, and how many of it can run.
    Set(u64, u32),
    /// It would be no smaller than the smallest known.
    TooLarge,
    /// The tables do not know enough, or something breaks here.
    Unknown,
}

/// The threads that are enough in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Smallest {
    /// These, as bits.
    Set(u64),
    /// No fewer than all.
    All,
    /// The tables do not know enough, or something breaks here.
    Unknown,
}

/// Looks for the smallest persistent set of a state.
#[derive(Debug, Default)]
pub(crate) struct Persistent {
    touched: Vec<(u32, bool)>,
    seeds: Vec<u32>,
    left: Vec<usize>,
}

impl Persistent {
    /// The threads of `enabled` that are enough.
    pub(crate) fn smallest(
        &mut self,
        code: &Code,
        futures: &Futures,
        state: &mut State,
        enabled: &[u32],
    ) -> Smallest {
        if state.threads.len() > MOST {
            return Smallest::All;
        }
        // In an order that is the state's own, however it was reached.
        let mut seeds = std::mem::take(&mut self.seeds);
        seeds.clear();
        seeds.extend_from_slice(enabled);
        let slot = |thread: &u32| code.stops[state.threads[*thread as usize] as usize].slot;
        seeds.sort_unstable_by_key(slot);
        let (mut best, mut size) = (None, enabled.len() as u32);
        for seed in &seeds {
            // What steps begin with is known without trying them, and is too much in most cases.
            let mut grow = |whole| self.grow(code, futures, state, *seed as usize, size, whole);
            let grown = match grow(false) {
                Grown::Set(..) => grow(true),
                other => other,
            };
            match grown {
                Grown::Set(set, members) => (best, size) = (Some(set), members),
                Grown::TooLarge => {}
                Grown::Unknown => {
                    self.seeds = seeds;
                    return Smallest::Unknown;
                }
            }
            if size == 1 {
                break;
            }
        }
        self.seeds = seeds;
        best.map_or(Smallest::All, Smallest::Set)
    }

    fn grow(
        &mut self,
        code: &Code,
        futures: &Futures,
        state: &mut State,
        seed: usize,
        below: u32,
        whole: bool,
    ) -> Grown {
        let (mut set, mut members) = (1_u64 << seed, 0);
        self.left.clear();
        self.left.push(seed);
        while let Some(thread) = self.left.pop() {
            let stop = state.threads[thread];
            let runs = state.enabled(code, thread);
            members += u32::from(runs);
            if members >= below {
                return Grown::TooLarge;
            }
            let Some(mut held) = futures.held(stop) else { return Grown::Unknown };
            self.touched.clear();
            match code.stops[stop as usize].pending.touches() {
                // Who waits is let go on by a change.
                Some((word, _)) if !runs => {
                    held = 0;
                    self.touched.push((word, true));
                }
                Some((word, write)) if !whole => self.touched.push(futures.touch(word, write)),
                _ if whole && !self.try_step(code, futures, state, thread) => {
                    return Grown::Unknown;
                }
                _ => {}
            }
            for other in 0..state.threads.len() {
                if set >> other & 1 == 0
                    && futures.can_move(code, state, other, set)
                    && futures.conflicts(code, state, other, set, (&self.touched, held))
                {
                    set |= 1 << other;
                    self.left.push(other);
                }
            }
        }
        Grown::Set(set, members)
    }

    /// Notes what the next step of a thread touches, whatever fails in it.
    fn try_step(
        &mut self,
        code: &Code,
        futures: &Futures,
        state: &mut State,
        thread: usize,
    ) -> bool {
        let mark = state.mark(thread);
        let mut choices = Choices::default();
        loop {
            let walk = state.step(code, thread, &mut choices);
            state.back_to(code, &mark);
            if walk != Walk::Done {
                return false;
            }
            self.touched.extend(state.touched.iter().map(|(word, w)| futures.touch(*word, *w)));
            self.touched.extend(state.counted.iter().map(|word| (*word, false)));
            if !choices.advance() {
                return true;
            }
        }
    }
}
