//! What the threads of a program may still do, and which step cannot be in anybody's way.
//!
//! A step that no other thread can meet in a conflict before it is taken may be taken alone: whatever
//! the others do first, it can be moved before it (persistent sets; Godefroid, "Partial-Order Methods
//! for the Verification of Concurrent Systems", LNCS 1032, 1996). What a thread may still do is read
//! off the tables: every access that follows from where it stands. The tables may not know all of it
//! yet. So when what was learned on the way says that threads can do more than was known, the search is
//! done again; when it does not, every step that was taken alone was rightly, and the answer stands.
//!
//! An access under a lock cannot be met by one under the same lock before that lock is released; a
//! thread that waits for a lock, or for a count that the others cannot reach, does nothing before.

use std::collections::HashMap;

use super::state::State;
use crate::code::{Code, Node};
use crate::det::record::{ALWAYS, FAULTS, count_word};
use crate::det::threads::Pending;

/// One way to touch a word: whether it changes it, and the locks that are held meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Access {
    word: u32,
    write: bool,
    locks: u64,
}

/// What each stop's thread may still do.
#[derive(Clone, Debug)]
pub(crate) struct Futures {
    /// Sorted, so that those of a word are neighbours.
    accesses: Vec<Access>,
    /// By word: where its accesses begin.
    first: Vec<u32>,
    /// Bits of accesses, `stride` words a stop.
    bits: Vec<u64>,
    stride: usize,
    /// The locks that are held at a stop.
    held: Vec<u64>,
    /// Words that are waited for, in order.
    awaited: Vec<u32>,
    /// How often at most a thread still writes each of them.
    writes: Vec<u8>,
}

/// The steps from one stop.
#[derive(Debug, Default)]
struct Steps {
    accesses: Vec<Access>,
    next: Vec<u32>,
    /// Threads that may be started.
    starts: Vec<u32>,
    /// By awaited word: the most writes on one way to each next stop.
    writes: Vec<(u32, Vec<u8>)>,
}

impl Futures {
    /// As far as the tables know.
    pub(crate) fn new(code: &Code) -> Self {
        let bit_of = lock_bits(code);
        let mask = |locks: &[u32]| {
            locks.iter().fold(0, |mask, lock| mask | bit_of.get(lock).copied().unwrap_or(0))
        };
        let held: Vec<u64> = code.stops.iter().map(|stop| mask(&stop.locks)).collect();
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
        let writes = vec![0; awaited.len() * steps.len()];
        let mut futures = Futures { accesses, first, bits, stride, held, awaited, writes };
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
        futures
    }

    /// Adds what the next stops may do; `false` if nothing is new.
    fn absorb(&mut self, stop: usize, steps: &Steps) -> bool {
        let (stride, n) = (self.stride, self.awaited.len());
        let mut grown = false;
        for next in steps.next.iter().chain(&steps.starts) {
            for i in 0..stride {
                let more = self.bits[*next as usize * stride + i];
                let bits = &mut self.bits[stop * stride + i];
                grown |= more & !*bits != 0;
                *bits |= more;
            }
        }
        for i in 0..n {
            let of = |futures: &Self, stop: u32| futures.writes[stop as usize * n + i];
            let started = steps.starts.iter().fold(0_u8, |sum, s| sum.saturating_add(of(self, *s)));
            let most =
                steps.writes.iter().map(|(next, own)| own[i].saturating_add(of(self, *next)));
            let most = most.max().unwrap_or(0).saturating_add(started);
            let known = &mut self.writes[stop * n + i];
            // A loop through the tables would count for ever: from here on it is "any number".
            let most = if most > 64 { u8::MAX } else { most };
            grown |= most > *known;
            *known = most.max(*known);
        }
        grown
    }

    /// Whether everything that threads may do by what is known now was known here, of every stop that
    /// was: then no step was taken alone that should not have been.
    pub(crate) fn covers(&self, now: &Futures) -> bool {
        let known: Vec<Option<usize>> =
            now.accesses.iter().map(|access| self.accesses.binary_search(access).ok()).collect();
        let awaited: Vec<Option<usize>> =
            now.awaited.iter().map(|word| self.awaited.binary_search(word).ok()).collect();
        (0..self.held.len()).all(|stop| {
            let accesses = known.iter().enumerate().all(|(bit, known)| {
                !bit_of(&now.bits, now.stride, stop, bit)
                    || known.is_some_and(|bit| bit_of(&self.bits, self.stride, stop, bit))
            });
            accesses
                && awaited.iter().enumerate().all(|(index, known)| {
                    let writes = now.writes[stop * now.awaited.len() + index];
                    let before =
                        known.map_or(0, |index| self.writes[stop * self.awaited.len() + index]);
                    writes <= before
                })
        })
    }

    /// Whether a thread may still touch a word in conflict with a step under these locks.
    fn touches(&self, stop: u32, word: u32, write: bool, locks: u64) -> bool {
        // A word that was met since is not known to anybody.
        let Some(range) = self.first.get(word as usize..word as usize + 2) else { return true };
        (range[0] as usize..range[1] as usize).any(|bit| {
            let access = &self.accesses[bit];
            (write || access.write)
                && access.locks & locks == 0
                && bit_of(&self.bits, self.stride, stop as usize, bit)
        })
    }

    /// Whether a thread can do anything before `thread` has taken a step.
    fn can_move(&self, code: &Code, state: &State, other: usize, thread: usize) -> bool {
        let stop = &code.stops[state.threads[other] as usize];
        match stop.pending {
            Pending::Done => false,
            Pending::Lock { word } => {
                let slot = code.stops[state.threads[thread] as usize].slot;
                state.value(word) != u64::from(slot) + 1
            }
            Pending::WaitUntil { word, min, .. } if state.value(word) < min => {
                let Ok(index) = self.awaited.binary_search(&word) else { return true };
                let n = self.awaited.len();
                let writes = |t: usize| {
                    let stop = state.threads[t] as usize;
                    // An ended thread is no part of the state: where it ended must not matter.
                    if code.stops[stop].pending == Pending::Done {
                        return 0;
                    }
                    self.writes.get(stop * n + index).copied().unwrap_or(u8::MAX)
                };
                let others = (0..state.threads.len()).filter(|t| *t != other && *t != thread);
                let most: u64 = others
                    .map(|t| match writes(t) {
                        u8::MAX => u64::from(u32::MAX),
                        most => u64::from(most),
                    })
                    .sum();
                state.value(word) + most >= min
            }
            _ => true,
        }
    }

    /// Whether the step of a thread that was just tried from `state`, which is as it was before, can
    /// be taken alone.
    pub(crate) fn alone(
        &self,
        code: &Code,
        state: &State,
        thread: usize,
        touched: &[(u32, bool)],
    ) -> bool {
        let Some(held) = self.held.get(state.threads[thread] as usize) else { return false };
        (0..state.threads.len()).all(|other| {
            if other == thread || !self.can_move(code, state, other, thread) {
                return true;
            }
            let stop = state.threads[other];
            if stop as usize >= self.held.len() {
                return false;
            }
            touched.iter().all(|(word, write)| {
                let live = code.names.words[*word as usize].live;
                !self.touches(stop, *word, *write, *held)
                    && (live == ALWAYS || !self.touches(stop, live, false, *held))
            })
        })
    }
}

fn bit_of(bits: &[u64], stride: usize, stop: usize, bit: usize) -> bool {
    bits[stop * stride + bit / 64] >> (bit % 64) & 1 == 1
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

impl Steps {
    fn from(code: &Code, stop: usize, locks: u64, awaited: &[u32]) -> Steps {
        let mut steps = Steps::default();
        steps.pending(code, stop, locks);
        let none = vec![0_u8; awaited.len()];
        let mut left = vec![(code.stops[stop].next, none)];
        while let Some((mut at, mut writes)) = left.pop() {
            while let Some(node) = code.nodes.get(at as usize) {
                let mut touch = |word: u32, write| steps.touch(code, word, write, locks);
                at = match node {
                    Node::Read { word, kids } => {
                        touch(*word, false);
                        left.extend(code.kids(kids).map(|kid| (kid, writes.clone())));
                        break;
                    }
                    // Counts of objects commute with each other, but not with a look at them: as if
                    // that wrote.
                    Node::Live { word, kids } => {
                        touch(*word, true);
                        left.extend(code.kids(kids).map(|kid| (kid, writes.clone())));
                        break;
                    }
                    Node::Fault { kids } => {
                        touch(FAULTS, true);
                        left.extend(code.kids(kids).map(|kid| (kid, writes.clone())));
                        break;
                    }
                    Node::Grant { kids } => {
                        left.extend(code.kids(kids).map(|kid| (kid, writes.clone())));
                        break;
                    }
                    Node::Write { word, next, .. } => {
                        touch(*word, true);
                        if let Ok(index) = awaited.binary_search(word) {
                            writes[index] = writes[index].saturating_add(1);
                        }
                        *next
                    }
                    Node::Alloc { object, next } => {
                        touch(count_word(code.names.objects[*object as usize].kind), false);
                        *next
                    }
                    Node::Free { object, next } => {
                        let object = &code.names.objects[*object as usize];
                        touch(object.live, true);
                        touch(count_word(object.kind), false);
                        *next
                    }
                    Node::Spawn { stop, next } => {
                        touch(code.stops[*stop as usize].slot_word, true);
                        steps.starts.push(*stop);
                        *next
                    }
                    Node::New { next, .. }
                    | Node::Plain { next, .. }
                    | Node::Release { next, .. }
                    | Node::Root { next } => *next,
                    Node::Boundary { root } => *root,
                    Node::Stop { stop } => {
                        let ends = &code.stops[*stop as usize];
                        if ends.pending == Pending::Done {
                            touch(ends.slot_word, true);
                        }
                        steps.next.push(*stop);
                        steps.writes.push((*stop, writes));
                        break;
                    }
                    Node::Fail => break,
                };
            }
        }
        steps.starts.sort_unstable();
        steps.starts.dedup();
        steps.accesses.sort_unstable();
        steps.accesses.dedup();
        steps
    }

    /// What a thread waits for it will touch, known or not.
    fn pending(&mut self, code: &Code, stop: usize, locks: u64) {
        match code.stops[stop].pending {
            Pending::Access { word, write, .. } => self.touch(code, word, write, locks),
            Pending::Lock { word } => self.touch(code, word, true, locks),
            Pending::WaitUntil { word, .. } => self.touch(code, word, false, locks),
            Pending::Start | Pending::Done => {}
        }
    }

    fn touch(&mut self, code: &Code, word: u32, write: bool, locks: u64) {
        self.accesses.push(Access { word, write, locks });
        let live = code.names.words[word as usize].live;
        if live != ALWAYS {
            self.accesses.push(Access { word: live, write: false, locks });
        }
    }
}
