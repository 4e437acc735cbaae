//! The step table: the transition relation of a program's threads, recorded from executions.
//!
//! The core idea is memoisation. What a thread does next is a function of what it has observed since its
//! current operation began (the contract of [`ifq_model::platform::Platform::op_boundary`]). The steps of a
//! thread therefore form a tree that branches on observed values. When a search meets an unknown step, it
//! executes the model's futures once along the path and records the events; from then on it follows the
//! tree. A state of the search is a vector of words and one [program point](ProgramPoint) for each thread.
//! Unlike a future, it can be copied, undone, and sent to another worker.
//!
//! Each execution is compared with the tree, event by event, so that a model that keeps private state across
//! an operation is detected.

mod images;
mod insert;
mod record;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use ifq_model::outcome::Outcome;

use crate::executor::buffer_symmetry::BufferSymmetry;
use crate::executor::contribution::Contribution;
use crate::executor::event::Update;
use crate::executor::fingerprint::Fingerprint;
use crate::executor::image_table::ImageTable;
use crate::executor::permutation::PermutationGroup;
use crate::executor::symbols::SymbolTable;
use crate::executor::threads::Pending;

/// Steps to record after an unknown step, because the next ones are usually unknown, too.
const LOOKAHEAD_STEPS: u32 = 64;
/// From so many decisions on, an unknown step makes the table record as many steps ahead as the path has
/// decisions, so that a long run is not executed again from its start for every few steps.
const LONG_PATH: usize = 1 << 10;

/// The number of steps that are recorded after a path of decisions.
pub(crate) fn lookahead_steps(decisions: &[u32]) -> u32 {
    if decisions.len() < LONG_PATH { LOOKAHEAD_STEPS } else { decisions.len() as u32 }
}

/// No node.
pub(crate) const NONE: u32 = u32::MAX;

/// The successors of a node that observes a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Children {
    value: u64,
    node: u32,
    /// Index of further successors in [`StepTable::overflow`].
    overflow: u32,
}

impl Children {
    const EMPTY: Children = Children { value: 0, node: NONE, overflow: NONE };
}

/// A node of the tree: one event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Node {
    /// Reads a word.
    Read { word: u32, children: Children },
    /// Reads the number of live objects of a kind.
    Live { word: u32, children: Children },
    /// Whether the wait was satisfied or timed out.
    Grant { children: Children },
    /// A fault point.
    Fault { children: Children },
    /// Writes a word; `written` is an index into [`StepTable::written_values`].
    Write { word: u32, written: u32, next: u32 },
    /// Read-modify-write of a word; `update` is an index into [`StepTable::updates`].
    Update { update: u32, children: Children },
    /// Creates a word that is not zero.
    New { word: u32, written: u32, next: u32 },
    /// Creates an object.
    Alloc { object: u32, next: u32 },
    /// Frees an object.
    Free { object: u32, next: u32 },
    /// A plain access.
    Plain { word: u32, write: bool, next: u32 },
    /// Releases a word.
    Release { word: u32, next: u32 },
    /// Spawns a thread at a program point.
    Spawn { point: u32, next: u32 },
    /// Ends an operation or a scope. All paths through it continue at the same root.
    Boundary { root: u32 },
    /// The beginning of an operation, of a scope, or of what follows a scope.
    Root { next: u32 },
    /// The step ends at a program point.
    End { point: u32 },
    /// The step violates an invariant, whatever the memory holds.
    Violation,
}

/// A program point: where a thread waits for its next step. The part that every step needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProgramPoint {
    pub(crate) slot: u32,
    /// A word that represents the slot: spawning a thread in it and ending there write this word.
    pub(crate) slot_word: u32,
    pub(crate) pending: Pending,
    /// Fingerprint of the private state; 0 for a thread that has ended.
    pub(crate) hash: Fingerprint,
    /// The first node of the next step.
    pub(crate) next: u32,
}

/// The private state of a thread at a program point.
#[derive(Clone, Debug)]
pub(crate) struct LocalHistory {
    /// Contributions to the signatures of the buffers that the thread has observed.
    pub(crate) buffer_observations: Box<[Contribution]>,
    /// Fingerprint of the observations in the current operation, with buffer indices.
    exact: Fingerprint,
    /// The same without buffer indices, and the number of observations.
    observed: (Fingerprint, u32),
    /// The locks that the thread holds.
    pub(crate) locks: Box<[u32]>,
    /// The scopes that the thread is in, the innermost last.
    scopes: Box<[Scope]>,
    /// Index of the outcome, at the end of the first thread.
    pub(crate) outcome: Option<u32>,
}

/// What a thread had observed at the beginning of a scope.
#[derive(Clone, Copy, Debug)]
struct Scope {
    exact: Fingerprint,
    observed: Fingerprint,
    count: u32,
    buffer_observations: usize,
}

/// Where all paths through a part of a thread's code meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum RootKey {
    /// The beginning of an operation of the thread in a slot.
    Operation { slot: u32, op: u32 },
    /// The end of a scope, after which the thread has observed these values.
    AfterScope { slot: u32, op: u32, exact: Fingerprint },
}

/// The steps of a program, as far as they were recorded.
#[derive(Clone, Debug)]
pub(crate) struct StepTable {
    pub(crate) symbols: SymbolTable,
    pub(crate) nodes: Vec<Node>,
    pub(crate) points: Vec<ProgramPoint>,
    /// By program point.
    pub(crate) histories: Vec<LocalHistory>,
    /// Values that are written, and their contributions to the fingerprint.
    pub(crate) written_values: Vec<(u64, Contribution)>,
    /// The contributions of their images, by permutation.
    image_contributions: Vec<Contribution>,
    /// By program point: its images.
    point_images: ImageTable,
    /// The fingerprints of the images.
    image_hashes: Vec<Fingerprint>,
    pub(crate) updates: Vec<Update>,
    pub(crate) outcomes: Vec<Outcome>,
    overflow: Vec<Vec<(u64, u32)>>,
    roots: HashMap<RootKey, u32>,
    start_points: HashMap<(u32, u64), u32>,
}

impl StepTable {
    /// A table with the starting point of the first thread only.
    pub(crate) fn new(symmetry: BufferSymmetry, group: Arc<PermutationGroup>) -> Self {
        let mut table = StepTable {
            point_images: ImageTable::new(&group),
            image_contributions: Vec::new(),
            image_hashes: Vec::new(),
            symbols: SymbolTable::new(symmetry, group),
            nodes: Vec::new(),
            points: Vec::new(),
            histories: Vec::new(),
            written_values: Vec::new(),
            updates: Vec::new(),
            outcomes: Vec::new(),
            overflow: Vec::new(),
            roots: HashMap::new(),
            start_points: HashMap::new(),
        };
        table.start(0, 0);
        table
    }

    /// The point at which the first thread starts.
    pub(crate) const FIRST: u32 = 0;

    /// A placeholder for a table that is in use elsewhere.
    pub(crate) fn empty() -> Self {
        StepTable::new(BufferSymmetry::NONE, Arc::new(PermutationGroup::trivial()))
    }

    /// The successor for a value; [`NONE`] if it was never observed.
    #[inline]
    pub(crate) fn child(&self, children: &Children, value: u64) -> u32 {
        if children.value == value {
            return children.node;
        }
        let Some(overflow) = self.overflow.get(children.overflow as usize) else { return NONE };
        overflow.iter().find(|(known, _)| *known == value).map_or(NONE, |(_, node)| *node)
    }

    /// All successors, with their values.
    pub(crate) fn children(&self, children: &Children) -> impl Iterator<Item = (u64, u32)> {
        let overflow = self.overflow.get(children.overflow as usize).map_or(&[][..], Vec::as_slice);
        let first = Some((children.value, children.node)).filter(|(_, node)| *node != NONE);
        first.into_iter().chain(overflow.iter().copied())
    }
}
