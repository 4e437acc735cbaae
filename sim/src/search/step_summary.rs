//! Summary of the steps from a program point, over all paths that the step table knows.

use std::collections::HashMap;

use ifq_model::platform::Rmw;

use crate::executor::event::Update;
use crate::executor::symbols::{ALWAYS, FAULTS, count_word};
use crate::executor::threads::Pending;
use crate::step_table::{Node, StepTable};

/// An access of a word: whether it writes, and the locks that are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Access {
    pub(super) word: u32,
    pub(super) write: bool,
    pub(super) locks: u64,
}

/// The steps of all program points.
#[derive(Debug)]
pub(super) struct StepSummaries {
    /// By point.
    pub(super) steps: Vec<StepSummary>,
    /// By point: the locks that its thread holds, as bits.
    pub(super) held_locks: Vec<u64>,
    /// Words that threads wait for, ascending.
    pub(super) awaited: Vec<u32>,
}

impl StepSummaries {
    /// Summarises the steps that the table knows.
    pub(super) fn new(table: &StepTable) -> Self {
        let bit_of = lock_bits(table);
        let mask = |locks: &[u32]| {
            locks.iter().fold(0, |mask, lock| mask | bit_of.get(lock).copied().unwrap_or(0))
        };
        let held_locks: Vec<u64> =
            table.histories.iter().map(|history| mask(&history.locks)).collect();
        let mut awaited: Vec<u32> =
            table.points.iter().filter_map(|point| point.pending.awaited_word()).collect();
        awaited.sort_unstable();
        awaited.dedup();
        let summary = |point: usize| {
            let taken = match table.points[point].pending {
                Pending::Lock { word } => mask(&[word]),
                _ => 0,
            };
            StepSummary::of_point(table, point, held_locks[point] | taken, &awaited)
        };
        let mut steps: Vec<StepSummary> = (0..table.points.len()).map(summary).collect();
        add_first_steps(&mut steps);
        StepSummaries { steps, held_locks, awaited }
    }
}

/// Adds to each step the accesses of the first steps of the threads that it spawns: a thread that is about to start
/// runs before any other thread takes a step, so that they are one step for all others.
fn add_first_steps(steps: &mut [StepSummary]) {
    let spawning: Vec<usize> =
        (0..steps.len()).filter(|point| !steps[*point].spawned.is_empty()).collect();
    let mut changed = true;
    while std::mem::take(&mut changed) {
        for &point in &spawning {
            let spawned = steps[point].spawned.clone();
            let mut accesses = steps[point].accesses.clone();
            for thread in spawned {
                accesses.extend_from_slice(&steps[thread as usize].accesses);
            }
            accesses.sort_unstable();
            accesses.dedup();
            changed |= accesses.len() > steps[point].accesses.len();
            steps[point].accesses = accesses;
        }
    }
}

/// One bit for each lock; locks beyond the 64th are ignored, which is conservative.
fn lock_bits(table: &StepTable) -> HashMap<u32, u64> {
    let mut locks: Vec<u32> = table
        .points
        .iter()
        .filter_map(|point| match point.pending {
            Pending::Lock { word } => Some(word),
            _ => None,
        })
        .collect();
    locks.sort_unstable();
    locks.dedup();
    locks.iter().take(64).enumerate().map(|(bit, lock)| (*lock, 1 << bit)).collect()
}

/// The steps from one program point.
#[derive(Debug, Default)]
pub(super) struct StepSummary {
    /// Accesses on all paths.
    pub(super) accesses: Vec<Access>,
    /// Program points at the end of the step.
    pub(super) next: Vec<u32>,
    /// Program points of threads that may be spawned.
    pub(super) spawned: Vec<u32>,
    /// By successor: for each awaited word, what the step adds to it.
    pub(super) increments: Vec<(u32, Vec<u8>)>,
}

impl StepSummary {
    /// Summarises the steps from a point; `locks` are the held locks as bits.
    pub(super) fn of_point(
        table: &StepTable,
        point: usize,
        locks: u64,
        awaited: &[u32],
    ) -> StepSummary {
        let mut summary = StepSummary::default();
        summary.pending(table, point, locks);
        let none = vec![Increment::default(); awaited.len()];
        let mut worklist = vec![(table.points[point].next, none)];
        while let Some((mut at, mut increments)) = worklist.pop() {
            while let Some(node) = table.nodes.get(at as usize) {
                let mut add_access =
                    |word: u32, write| summary.add_access(table, word, write, locks);
                let mut branch = |children| {
                    worklist.extend(
                        table.children(children).map(|(_, child)| (child, increments.clone())),
                    )
                };
                at = match node {
                    Node::Read { word, children } => {
                        add_access(*word, false);
                        let awaited = awaited.binary_search(word);
                        worklist.extend(table.children(children).map(|(value, child)| {
                            let mut increments = increments.clone();
                            if let Ok(index) = awaited {
                                increments[index].value = Some(value);
                            }
                            (child, increments)
                        }));
                        break;
                    }
                    Node::Update { update, children } => {
                        let Update { word, op, is_counter, .. } = table.updates[*update as usize];
                        summary.add_access_and_liveness(table, word, !is_counter, locks);
                        if let Ok(index) = awaited.binary_search(&word) {
                            increments[index].change(op);
                        }
                        worklist.extend(
                            table.children(children).map(|(_, child)| (child, increments.clone())),
                        );
                        break;
                    }
                    // Allocations commute with each other but not with a query of the count: the query
                    // counts as a write.
                    Node::Live { word, children } => {
                        add_access(*word, true);
                        branch(children);
                        break;
                    }
                    Node::Fault { children } => {
                        add_access(FAULTS, true);
                        branch(children);
                        break;
                    }
                    Node::Grant { children } => {
                        branch(children);
                        break;
                    }
                    Node::Write { word, written, next } => {
                        add_access(*word, true);
                        if let Ok(index) = awaited.binary_search(word) {
                            increments[index].write(table.written_values[*written as usize].0);
                        }
                        *next
                    }
                    Node::Alloc { object, next } => {
                        add_access(count_word(table.symbols.objects[*object as usize].kind), false);
                        *next
                    }
                    Node::Free { object, next } => {
                        let object = &table.symbols.objects[*object as usize];
                        add_access(object.live, true);
                        add_access(count_word(object.kind), false);
                        *next
                    }
                    Node::Spawn { point, next } => {
                        add_access(table.points[*point as usize].slot_word, true);
                        summary.spawned.push(*point);
                        *next
                    }
                    Node::New { word, written, next } => {
                        if let Ok(index) = awaited.binary_search(word) {
                            increments[index] = Increment { value: Some(0), ..increments[index] };
                            increments[index].write(table.written_values[*written as usize].0);
                        }
                        *next
                    }
                    Node::Plain { next, .. } | Node::Release { next, .. } | Node::Root { next } => {
                        *next
                    }
                    Node::Boundary { root } => *root,
                    Node::End { point } => {
                        let end = &table.points[*point as usize];
                        if end.pending == Pending::Done {
                            add_access(end.slot_word, true);
                        }
                        summary.next.push(*point);
                        let by = increments.iter().map(|increment| increment.by).collect();
                        summary.increments.push((*point, by));
                        break;
                    }
                    Node::Violation => break,
                };
            }
        }
        summary.spawned.sort_unstable();
        summary.spawned.dedup();
        summary.accesses.sort_unstable();
        summary.accesses.dedup();
        summary
    }

    /// Adds the access that the thread waits for, which is known even if the step is not.
    fn pending(&mut self, table: &StepTable, point: usize, locks: u64) {
        match table.points[point].pending {
            Pending::Access { word, write, .. } => self.add_access(table, word, write, locks),
            Pending::Lock { word } => self.add_access(table, word, true, locks),
            Pending::WaitUntil { word, .. } => self.add_access(table, word, false, locks),
            Pending::Start | Pending::Done => {}
        }
    }

    /// Adds an access as it counts for dependence.
    fn add_access(&mut self, table: &StepTable, word: u32, write: bool, locks: u64) {
        let (word, write) = table.symbols.conflict_access(word, write);
        self.add_access_and_liveness(table, word, write, locks);
    }

    /// Adds an access, and the read of the liveness of the object that contains the word.
    fn add_access_and_liveness(&mut self, table: &StepTable, word: u32, write: bool, locks: u64) {
        self.accesses.push(Access { word, write, locks });
        let live = table.symbols.words[word as usize].live;
        if live != ALWAYS {
            self.accesses.push(Access { word: live, write: false, locks });
        }
    }
}

/// What one step does to an awaited word.
#[derive(Clone, Copy, Debug, Default)]
struct Increment {
    /// Its value, if known.
    value: Option<u64>,
    /// By how much it grows at most.
    by: u8,
}

impl Increment {
    /// An addition has the same effect on any value; other operations may add any number.
    fn change(&mut self, op: Rmw) {
        let by = match op {
            Rmw::Add(by) | Rmw::AddUnless { add: by, .. } => by,
            Rmw::Sub(_) | Rmw::And(_) => 0,
            Rmw::Xchg(_) | Rmw::Or(_) | Rmw::CmpXchg { .. } => u64::MAX,
        };
        self.by = self.by.saturating_add(u8::try_from(by).unwrap_or(u8::MAX));
        self.value = None;
    }

    fn write(&mut self, value: u64) {
        let by = self.value.map_or(u64::MAX, |old| value.saturating_sub(old));
        self.by = self.by.saturating_add(u8::try_from(by).unwrap_or(u8::MAX));
        self.value = Some(value);
    }
}
