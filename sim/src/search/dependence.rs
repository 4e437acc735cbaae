//! Dependence between the next step of one thread and the reachable accesses of another.
//!
//! Many program points have the same next step or the same reachable accesses, as far as conflicts matter.
//! Points are grouped into classes, and a bit matrix says for each pair of a step class and a reach class
//! whether they may conflict. The search looks up this bit in every state.

use std::collections::HashMap;
use std::hash::Hash;

use super::reachable::ReachableAccesses;
use super::step_summary::{Access, StepSummaries};
use crate::executor::symbols::{ALWAYS, FAULTS};
use crate::executor::threads::Pending;
use crate::step_table::StepTable;

/// The dependence relation of a program, as far as its step table is known.
#[derive(Clone, Debug)]
pub(crate) struct Dependence {
    pub(super) reachable: ReachableAccesses,
    pub(super) conflicts: ConflictMatrix,
}

impl Dependence {
    /// Computes the relation from the steps that the table knows.
    pub(crate) fn new(table: &StepTable) -> Self {
        let summaries = StepSummaries::new(table);
        let reachable = ReachableAccesses::new(table, &summaries);
        let conflicts = ConflictMatrix::new(&reachable, table, &summaries);
        Dependence { reachable, conflicts }
    }
}

/// The accesses of a step on all its paths, and the locks that the thread holds before it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct StepClass {
    accesses: Vec<(u32, bool)>,
    locks: u64,
}

/// The step class of a thread that waits for no word.
const NO_AWAITED_WORD: u32 = u32::MAX;

/// Step classes, reach classes, and which class each program point belongs to.
#[derive(Clone, Debug, Default)]
pub(super) struct ConflictMatrix {
    step_classes: Vec<StepClass>,
    /// By point: the class of its step when no more faults are allowed, of its step when one is, and of the
    /// write that enables a thread that is blocked there.
    step_class: Vec<[u32; 3]>,
    /// Bit sets of accesses, one for each reach class.
    reach_classes: Vec<Box<[u64]>>,
    /// By point: the class of its accesses before the next wait point, and that of all its accesses.
    reach_class: Vec<[u32; 2]>,
}

impl ConflictMatrix {
    fn new(reachable: &ReachableAccesses, table: &StepTable, summaries: &StepSummaries) -> Self {
        let StepSummaries { steps, held_locks, .. } = summaries;
        let mut classes = ClassNumbers::default();
        let step_class = steps.iter().zip(held_locks).zip(&table.points);
        let step_class = step_class.map(|((step, held_locks), point)| {
            let class = |faults: bool| {
                let counts = |access: &&Access| faults || access.word != FAULTS;
                let accesses = step.accesses.iter().filter(counts);
                let accesses = accesses.map(|access| (access.word, access.write)).collect();
                StepClass { accesses, locks: *held_locks }
            };
            let enabling = match point.pending {
                Pending::Lock { word } | Pending::WaitUntil { word, .. } => {
                    let live = table.symbols.words[word as usize].live;
                    let liveness = (live != ALWAYS).then_some((live, false));
                    let accesses = [(word, true)].into_iter().chain(liveness).collect();
                    classes.of(StepClass { accesses, locks: 0 })
                }
                _ => NO_AWAITED_WORD,
            };
            [classes.of(class(false)), classes.of(class(true)), enabling]
        });
        let step_class = step_class.collect();
        let all = reachable.accesses_with_waits_passed();
        let mut reach_classes = ClassNumbers::default();
        let reach_class = (0..steps.len()).map(|point| {
            let all = &all[point * reachable.stride..(point + 1) * reachable.stride];
            let before_wait = Box::from(reachable.accesses_before_wait(point));
            [reach_classes.of(before_wait), reach_classes.of(Box::from(all))]
        });
        let reach_class = reach_class.collect();
        ConflictMatrix {
            step_classes: classes.all,
            step_class,
            reach_classes: reach_classes.all,
            reach_class,
        }
    }

    /// The class of a thread's next step, or of the write that enables it if it is blocked.
    pub(super) fn step_class(&self, point: u32, runs: bool, faults: bool) -> u32 {
        let [without_fault, with_fault, enabling] = self.step_class[point as usize];
        match (runs, faults) {
            (false, _) if enabling != NO_AWAITED_WORD => enabling,
            (_, true) => with_fault,
            _ => without_fault,
        }
    }

    /// Computes the row of a step class.
    fn row(&self, reachable: &ReachableAccesses, step_class: u32) -> Box<[u64]> {
        let StepClass { accesses, locks } = &self.step_classes[step_class as usize];
        let mut mask = vec![0_u64; reachable.stride];
        for (word, write) in accesses {
            for bit in reachable.accesses_of(*word) {
                let access = reachable.accesses[bit];
                if (*write || access.write) && access.locks & locks == 0 {
                    mask[bit / 64] |= 1 << (bit % 64);
                }
            }
        }
        // A step has few accesses, so most blocks are empty.
        let mask: Vec<(usize, u64)> =
            mask.into_iter().enumerate().filter(|(_, bits)| *bits != 0).collect();
        let mut row = vec![0_u64; self.reach_classes.len().div_ceil(64)];
        for (reach_class, bits) in self.reach_classes.iter().enumerate() {
            let conflicts = mask.iter().any(|(block, mask)| bits[*block] & mask != 0);
            row[reach_class / 64] |= u64::from(conflicts) << (reach_class % 64);
        }
        row.into()
    }
}

/// The rows of the conflict matrix, each computed when it is first needed.
#[derive(Debug, Default)]
pub(super) struct ConflictRows(Vec<Option<Box<[u64]>>>);

/// One row: the reach classes that may conflict with a step class.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConflictRow<'a> {
    bits: &'a [u64],
    reach_class: &'a [[u32; 2]],
}

impl ConflictRows {
    /// The row of a step class.
    pub(super) fn row<'a>(
        &'a mut self,
        dependence: &'a Dependence,
        step_class: u32,
    ) -> ConflictRow<'a> {
        let Dependence { reachable, conflicts } = dependence;
        if self.0.is_empty() {
            self.0.resize(conflicts.step_classes.len(), None);
        }
        let row = &mut self.0[step_class as usize];
        let row = row.get_or_insert_with(|| conflicts.row(reachable, step_class));
        ConflictRow { bits: row, reach_class: &conflicts.reach_class }
    }
}

impl ConflictRow<'_> {
    fn bit(&self, reach_class: u32) -> bool {
        self.bits[reach_class as usize / 64] >> (reach_class % 64) & 1 == 1
    }

    /// Whether a thread at a point may conflict with the step before its next wait point.
    pub(super) fn before_next_wait(&self, point: u32) -> bool {
        self.bit(self.reach_class[point as usize][0])
    }

    /// Whether it may ever conflict with it.
    pub(super) fn ever(&self, point: u32) -> bool {
        self.bit(self.reach_class[point as usize][1])
    }
}

/// Assigns consecutive numbers to distinct values.
#[derive(Debug)]
struct ClassNumbers<T> {
    all: Vec<T>,
    numbers: HashMap<T, u32>,
}

impl<T> Default for ClassNumbers<T> {
    fn default() -> Self {
        ClassNumbers { all: Vec::new(), numbers: HashMap::new() }
    }
}

impl<T: Clone + Eq + Hash> ClassNumbers<T> {
    /// The number of a value; a new one if it is new.
    fn of(&mut self, value: T) -> u32 {
        if let Some(number) = self.numbers.get(&value) {
            return *number;
        }
        let number = self.all.len() as u32;
        self.all.push(value.clone());
        self.numbers.insert(value, number);
        number
    }
}
