//! Which next steps may be met in conflict by which futures.
//!
//! Many stops have the same next step, or the same future, as far as conflicts go: a bit for each pair of
//! a kind of step and a kind of future is looked up where it is asked for state by state.

use std::collections::HashMap;
use std::hash::Hash;

use super::future::Futures;
use super::steps::{Access, Steps};
use crate::executor::record::{ALWAYS, FAULTS};
use crate::executor::threads::Pending;
use crate::step_table::Code;

/// What a next step touches, all its ways together, and the locks that are held before it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Step {
    touched: Vec<(u32, bool)>,
    locks: u64,
}

/// The step of a thread that waits for nothing.
const NO_WAIT: u32 = u32::MAX;

/// The kinds of steps and futures.
#[derive(Clone, Debug, Default)]
pub(super) struct Meets {
    steps: Vec<Step>,
    /// By stop: the step when no fault is left, when one is, and the change that lets go on who waits
    /// there.
    step: Vec<[u32; 3]>,
    /// Bits of accesses.
    kinds: Vec<Box<[u64]>>,
    /// By stop: its future before the next gate, and all of it.
    kind: Vec<[u32; 2]>,
}

impl Meets {
    pub(super) fn new(futures: &Futures, code: &Code, held: &[u64], steps: &[Steps]) -> Self {
        let (mut step_kinds, mut kinds) = (Numbers::default(), Numbers::default());
        let step = steps.iter().zip(held).zip(&code.stops).map(|((steps, held), stop)| {
            let touched = |faults: bool| {
                let touches = |access: &&Access| faults || access.word != FAULTS;
                let touched = steps.accesses.iter().filter(touches);
                Step { touched: touched.map(|a| (a.word, a.write)).collect(), locks: *held }
            };
            let waits = match stop.pending {
                Pending::Lock { word } | Pending::WaitUntil { word, .. } => {
                    let live = code.names.words[word as usize].live;
                    let alive = (live != ALWAYS).then_some((live, false));
                    let touched = [(word, true)].into_iter().chain(alive).collect();
                    step_kinds.of(Step { touched, locks: 0 })
                }
                _ => NO_WAIT,
            };
            [step_kinds.of(touched(false)), step_kinds.of(touched(true)), waits]
        });
        let step = step.collect();
        let whole = futures.behind_all_gates();
        let kind = (0..steps.len()).map(|stop| {
            let whole = &whole[stop * futures.stride..(stop + 1) * futures.stride];
            [kinds.of(Box::from(futures.bits_of(stop))), kinds.of(Box::from(whole))]
        });
        let kind = kind.collect();
        Meets { step, kind, steps: step_kinds.all, kinds: kinds.all }
    }

    /// The kind of a thread's next step, or of what lets it go on.
    pub(super) fn step(&self, stop: u32, runs: bool, faults: bool) -> u32 {
        let [plain, failing, waits] = self.step[stop as usize];
        match (runs, faults) {
            (false, _) if waits != NO_WAIT => waits,
            (_, true) => failing,
            _ => plain,
        }
    }

    fn row(&self, futures: &Futures, step: u32) -> Box<[u64]> {
        let Step { touched, locks } = &self.steps[step as usize];
        let mut mask = vec![0_u64; futures.stride];
        for (word, write) in touched {
            for bit in futures.accesses_of(*word) {
                let access = futures.accesses[bit];
                if (*write || access.write) && access.locks & locks == 0 {
                    mask[bit / 64] |= 1 << (bit % 64);
                }
            }
        }
        let mut row = vec![0_u64; self.kinds.len().div_ceil(64)];
        for (kind, bits) in self.kinds.iter().enumerate() {
            let meets = bits.iter().zip(&mask).any(|(bits, mask)| bits & mask != 0);
            row[kind / 64] |= u64::from(meets) << (kind % 64);
        }
        row.into()
    }
}

/// The bits of each kind of step, made when they are first asked for.
#[derive(Debug, Default)]
pub(super) struct Rows(Vec<Option<Box<[u64]>>>);

/// The bits of one kind of step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    bits: &'a [u64],
    kind: &'a [[u32; 2]],
}

impl Rows {
    pub(super) fn row<'a>(&'a mut self, futures: &'a Futures, step: u32) -> Row<'a> {
        let meets = &futures.meets;
        if self.0.is_empty() {
            self.0.resize(meets.steps.len(), None);
        }
        let row = self.0[step as usize].get_or_insert_with(|| meets.row(futures, step));
        Row { bits: row, kind: &meets.kind }
    }
}

impl Row<'_> {
    fn bit(&self, kind: u32) -> bool {
        self.bits[kind as usize / 64] >> (kind % 64) & 1 == 1
    }

    /// Whether a thread at a stop may meet the step before its next gate.
    pub(super) fn near(&self, stop: u32) -> bool {
        self.bit(self.kind[stop as usize][0])
    }

    /// Whether it may ever meet it.
    pub(super) fn ever(&self, stop: u32) -> bool {
        self.bit(self.kind[stop as usize][1])
    }
}

/// Numbers different things in the order in which they come.
#[derive(Debug)]
struct Numbers<T> {
    all: Vec<T>,
    numbers: HashMap<T, u32>,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Numbers { all: Vec::new(), numbers: HashMap::new() }
    }
}

impl<T: Clone + Eq + Hash> Numbers<T> {
    fn of(&mut self, thing: T) -> u32 {
        if let Some(number) = self.numbers.get(&thing) {
            return *number;
        }
        let number = self.all.len() as u32;
        self.all.push(thing.clone());
        self.numbers.insert(thing, number);
        number
    }
}
