//! What the threads of a program may still do; see [`super::persistent`] for what that is good for.
//!
//! It is read off the tables: every access that follows from where a thread stands. The tables may not
//! know all of it yet. So when what was learned on the way says that threads can do more than was known,
//! the search is done again; when it does not, nothing was left out wrongly, and the answer stands.
//!
//! An access under a lock cannot be met by one under the same lock before that lock is released; a
//! thread that waits for a lock, or for a count that the others cannot reach, does nothing before. So a
//! thread's future is cut into what it may do before it waits for a count (a gate), and what comes behind
//! each gate.

use std::collections::HashMap;

use ifq_model::platform::Rmw;

use super::state::State;
use crate::code::{Code, Node};
use crate::det::record::{ALWAYS, FAULTS, Update, count_word};
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
    /// Bits of accesses before the next gate, `stride` words a stop.
    bits: Vec<u64>,
    stride: usize,
    /// Stops that wait for a count, in order.
    gates: Vec<u32>,
    /// Bits of gates that come next, `gate_stride` words a stop.
    gate_bits: Vec<u64>,
    gate_stride: usize,
    /// Bits of words that are touched, and that are written, whatever the locks; to say no quickly.
    touched: Vec<u64>,
    written: Vec<u64>,
    words: usize,
    /// By word: whether threads add to it without a look.
    counts: Vec<bool>,
    /// The locks that are held at a stop.
    held: Vec<u64>,
    /// Words that are waited for, in order.
    awaited: Vec<u32>,
    /// By how much at most a thread, with those that it starts, still raises each of them.
    raises: Vec<u8>,
    /// The same before the next gate.
    near_raises: Vec<u8>,
}

/// The steps from one stop.
#[derive(Debug, Default)]
struct Steps {
    accesses: Vec<Access>,
    next: Vec<u32>,
    /// Threads that may be started.
    starts: Vec<u32>,
    /// By awaited word: by how much it is raised on one way to each next stop.
    raises: Vec<(u32, Vec<u8>)>,
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
        let is_gate = |stop: &u32| code.stops[*stop as usize].pending.waits_for().is_some();
        let gates: Vec<u32> = (0..code.stops.len() as u32).filter(is_gate).collect();
        let gate_stride = gates.len().div_ceil(64);
        let gate_bits = vec![0; gate_stride * steps.len()];
        let raises = vec![0; awaited.len() * steps.len()];
        let near_raises = raises.clone();
        let (touched, written, words) = (Vec::new(), Vec::new(), words as usize);
        let mut futures = Futures {
            accesses,
            first,
            bits,
            stride,
            gates,
            gate_bits,
            gate_stride,
            touched,
            written,
            words,
            counts: code.names.words.iter().map(|word| word.counts).collect(),
            held,
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
        futures.sum_up();
        futures
    }

    /// Fills in what says no quickly.
    fn sum_up(&mut self) {
        let (stops, words) = (self.held.len(), self.words.div_ceil(64));
        self.touched = vec![0; stops * words];
        self.written = vec![0; stops * words];
        for stop in 0..stops {
            for (bit, access) in self.accesses.iter().enumerate() {
                if bit_of(&self.bits, self.stride, stop, bit) {
                    let (index, mask) = (access.word as usize / 64, 1 << (access.word % 64));
                    self.touched[stop * words + index] |= mask;
                    self.written[stop * words + index] |= if access.write { mask } else { 0 };
                }
            }
        }
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

    /// Whether everything that threads may do by what is known now was known here, of every stop that
    /// was: then no step was taken alone that should not have been.
    pub(crate) fn covers(&self, now: &Futures) -> bool {
        let known: Vec<Option<usize>> =
            now.accesses.iter().map(|access| self.accesses.binary_search(access).ok()).collect();
        let gates: Vec<Option<usize>> =
            now.gates.iter().map(|gate| self.gates.binary_search(gate).ok()).collect();
        let awaited: Vec<Option<usize>> =
            now.awaited.iter().map(|word| self.awaited.binary_search(word).ok()).collect();
        (0..self.held.len()).all(|stop| {
            all_known(&known, stop, (&now.bits, now.stride), (&self.bits, self.stride))
                && all_known(
                    &gates,
                    stop,
                    (&now.gate_bits, now.gate_stride),
                    (&self.gate_bits, self.gate_stride),
                )
                && awaited.iter().enumerate().all(|(index, known)| {
                    let now_at = stop * now.awaited.len() + index;
                    let before = |counts: &[u8]| {
                        known.map_or(0, |index| counts[stop * self.awaited.len() + index])
                    };
                    now.raises[now_at] <= before(&self.raises)
                        && now.near_raises[now_at] <= before(&self.near_raises)
                })
        })
    }

    /// Whether a thread may still touch a word in conflict with a step under these locks.
    fn touches(&self, stop: u32, word: u32, write: bool, locks: u64) -> bool {
        let quick = if write { &self.touched } else { &self.written };
        let words = self.words.div_ceil(64);
        if (word as usize) < self.words && !bit_of(quick, words, stop as usize, word as usize) {
            return false;
        }
        // A word that was met since is not known to anybody.
        let Some(range) = self.first.get(word as usize..word as usize + 2) else { return true };
        (range[0] as usize..range[1] as usize).any(|bit| {
            let access = &self.accesses[bit];
            (write || access.write)
                && access.locks & locks == 0
                && bit_of(&self.bits, self.stride, stop as usize, bit)
        })
    }

    /// As [`crate::det::record::Names::touch`], by what was known here.
    pub(crate) fn touch(&self, word: u32, write: bool) -> (u32, bool) {
        (word, write || self.counts.get(word as usize).copied().unwrap_or(false))
    }

    /// The locks that are held at a stop; `None` if the stop was met since.
    pub(crate) fn held(&self, stop: u32) -> Option<u64> {
        self.held.get(stop as usize).copied()
    }

    /// Whether a thread can do anything before one of a set has taken a step.
    pub(crate) fn can_move(&self, code: &Code, state: &State, other: usize, set: u64) -> bool {
        let stop = &code.stops[state.threads[other] as usize];
        let is_in = |thread: usize| set >> thread & 1 == 1;
        match stop.pending {
            Pending::Done => false,
            Pending::Lock { word } => {
                let holder = state.value(word);
                let holds =
                    |t: usize| u64::from(code.stops[state.threads[t] as usize].slot) + 1 == holder;
                holder == 0 || !(0..state.threads.len()).any(|t| is_in(t) && holds(t))
            }
            Pending::WaitUntil { word, min, .. } => {
                self.can_reach(code, state, (word, min), set | 1 << other, 0)
            }
            _ => true,
        }
    }

    /// Whether threads outside of a set can raise a word to a count, with `own` more.
    fn can_reach(
        &self,
        code: &Code,
        state: &State,
        (word, min): (u32, u64),
        set: u64,
        own: u64,
    ) -> bool {
        if state.value(word) >= min {
            return true;
        }
        let Ok(index) = self.awaited.binary_search(&word) else { return true };
        let n = self.awaited.len();
        let raises = |t: usize| {
            let stop = state.threads[t] as usize;
            // An ended thread is no part of the state: where it ended must not matter.
            if code.stops[stop].pending == Pending::Done {
                return 0;
            }
            many(self.raises.get(stop * n + index).copied().unwrap_or(u8::MAX))
        };
        let others = (0..state.threads.len()).filter(|t| set >> *t & 1 == 0);
        state.value(word) + own + others.map(raises).sum::<u64>() >= min
    }

    /// Whether a thread may touch in conflict what a step under these locks touches, before one of a set
    /// has taken a step.
    pub(crate) fn conflicts(
        &self,
        code: &Code,
        state: &State,
        other: usize,
        set: u64,
        (touched, locks): (&[(u32, bool)], u64),
    ) -> bool {
        let first = state.threads[other];
        if first as usize >= self.held.len() || self.meets(code, first, touched, locks) {
            return true;
        }
        if self.gate_bits_of(first).all(|bits| bits == 0) {
            return false;
        }
        // Behind the next gates, as far as they can be passed.
        let n = self.awaited.len();
        let near = |stop: u32| &self.near_raises[stop as usize * n..(stop as usize + 1) * n];
        // What the thread adds on the way, on all ways together.
        let mut own: Vec<u64> = near(first).iter().map(|raise| many(*raise)).collect();
        let mut open: Vec<u64> = self.gate_bits_of(first).collect();
        let mut passed = vec![0_u64; self.gate_stride];
        let passes = |gate: u32, own: &[u64]| match code.stops[gate as usize].pending {
            Pending::WaitUntil { word, min, .. } => {
                let more = self.awaited.binary_search(&word).map_or(0, |index| own[index]);
                self.can_reach(code, state, (word, min), set | 1 << other, more)
            }
            _ => true,
        };
        loop {
            let gates = self.gates.iter().enumerate();
            let mut shut =
                gates.filter(|(i, _)| (open[i / 64] & !passed[i / 64]) >> (i % 64) & 1 == 1);
            let Some((i, gate)) = shut.find(|(_, gate)| passes(**gate, &own)) else { return false };
            if self.meets(code, *gate, touched, locks) {
                return true;
            }
            passed[i / 64] |= 1 << (i % 64);
            own.iter_mut().zip(near(*gate)).for_each(|(own, raise)| *own += many(*raise));
            open.iter_mut().zip(self.gate_bits_of(*gate)).for_each(|(open, bits)| *open |= bits);
        }
    }

    fn gate_bits_of(&self, stop: u32) -> impl Iterator<Item = u64> {
        let start = stop as usize * self.gate_stride;
        self.gate_bits[start..start + self.gate_stride].iter().copied()
    }

    /// Whether a thread at a stop may touch in conflict what a step touches, before its next gate.
    fn meets(&self, code: &Code, stop: u32, touched: &[(u32, bool)], locks: u64) -> bool {
        touched.iter().any(|(word, write)| {
            let live = code.names.words[*word as usize].live;
            self.touches(stop, *word, *write, locks)
                || live != ALWAYS && self.touches(stop, live, false, locks)
        })
    }
}

/// A loop may raise a word any number of times.
fn many(raise: u8) -> u64 {
    if raise == u8::MAX { u64::from(u32::MAX) } else { u64::from(raise) }
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

/// What one step does to an awaited word.
#[derive(Clone, Copy, Debug, Default)]
struct Raise {
    /// Its value, once that is known.
    found: Option<u64>,
    by: u8,
}

impl Raise {
    /// By how much does not depend on what was found, except for what is no addition.
    fn change(&mut self, op: Rmw) {
        let by = match op {
            Rmw::Add(by) | Rmw::AddUnless { add: by, .. } => by,
            Rmw::Sub(_) | Rmw::And(_) => 0,
            Rmw::Xchg(_) | Rmw::Or(_) | Rmw::CmpXchg { .. } => u64::MAX,
        };
        self.by = self.by.saturating_add(u8::try_from(by).unwrap_or(u8::MAX));
        self.found = None;
    }

    fn write(&mut self, value: u64) {
        let by = self.found.map_or(u64::MAX, |found| value.saturating_sub(found));
        self.by = self.by.saturating_add(u8::try_from(by).unwrap_or(u8::MAX));
        self.found = Some(value);
    }
}

fn raise(known: &mut u8, most: u8) -> bool {
    // A loop through the tables would count for ever: from here on it is "any number".
    let most = if most > 64 { u8::MAX } else { most };
    let grown = most > *known;
    *known = most.max(*known);
    grown
}

/// Whether the bits of a stop now were there before, in other places.
fn all_known(
    places: &[Option<usize>],
    stop: usize,
    (now, stride): (&[u64], usize),
    (before, before_stride): (&[u64], usize),
) -> bool {
    places.iter().enumerate().all(|(bit, place)| {
        !bit_of(now, stride, stop, bit)
            || place.is_some_and(|place| bit_of(before, before_stride, stop, place))
    })
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
        let none = vec![Raise::default(); awaited.len()];
        let mut left = vec![(code.stops[stop].next, none)];
        while let Some((mut at, mut raises)) = left.pop() {
            while let Some(node) = code.nodes.get(at as usize) {
                let mut touch = |word: u32, write| steps.touch(code, word, write, locks);
                let mut branch =
                    |kids| left.extend(code.kids(kids).map(|(_, kid)| (kid, raises.clone())));
                at = match node {
                    Node::Read { word, kids } => {
                        touch(*word, false);
                        let awaited = awaited.binary_search(word);
                        left.extend(code.kids(kids).map(|(value, kid)| {
                            let mut raises = raises.clone();
                            if let Ok(index) = awaited {
                                raises[index].found = Some(value);
                            }
                            (kid, raises)
                        }));
                        break;
                    }
                    Node::Update { update, kids } => {
                        let Update { word, op, counts, .. } = code.updates[*update as usize];
                        steps.touched(code, word, !counts, locks);
                        if let Ok(index) = awaited.binary_search(&word) {
                            raises[index].change(op);
                        }
                        left.extend(code.kids(kids).map(|(_, kid)| (kid, raises.clone())));
                        break;
                    }
                    // Counts of objects commute with each other, but not with a look at them: as if
                    // that wrote.
                    Node::Live { word, kids } => {
                        touch(*word, true);
                        branch(kids);
                        break;
                    }
                    Node::Fault { kids } => {
                        touch(FAULTS, true);
                        branch(kids);
                        break;
                    }
                    Node::Grant { kids } => {
                        branch(kids);
                        break;
                    }
                    Node::Write { word, what, next } => {
                        touch(*word, true);
                        if let Ok(index) = awaited.binary_search(word) {
                            raises[index].write(code.cells[*what as usize].0);
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
                    Node::New { word, what, next } => {
                        if let Ok(index) = awaited.binary_search(word) {
                            raises[index] = Raise { found: Some(0), ..raises[index] };
                            raises[index].write(code.cells[*what as usize].0);
                        }
                        *next
                    }
                    Node::Plain { next, .. } | Node::Release { next, .. } | Node::Root { next } => {
                        *next
                    }
                    Node::Boundary { root } => *root,
                    Node::Stop { stop } => {
                        let ends = &code.stops[*stop as usize];
                        if ends.pending == Pending::Done {
                            touch(ends.slot_word, true);
                        }
                        steps.next.push(*stop);
                        let by = raises.iter().map(|raise| raise.by).collect();
                        steps.raises.push((*stop, by));
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
        let (word, write) = code.names.touch(word, write);
        self.touched(code, word, write, locks);
    }

    fn touched(&mut self, code: &Code, word: u32, write: bool, locks: u64) {
        self.accesses.push(Access { word, write, locks });
        let live = code.names.words[word as usize].live;
        if live != ALWAYS {
            self.accesses.push(Access { word: live, write: false, locks });
        }
    }
}
