//! The threads of a program as tables.
//!
//! What a thread does next is a function of what it has observed since its current operation began
//! (the contract of [`ifq_model::platform::Platform::op_boundary`]). So the steps of a thread form a
//! tree: reads branch on the value, all else follows. The tree is learned from real runs of the
//! model's own futures, one step the first time that a search needs it, and walked from then on: a
//! state of the search is a vector of words and one position in the tree for each thread, which can
//! be undone, copied and handed to another processor, as a future cannot.
//!
//! The tree is never trusted blindly: each real run is compared with it, event by event, so that a
//! model that keeps something private across an operation is found out.

mod absorb;
mod image;
mod learn;

use std::collections::HashMap;
use std::sync::Arc;

use ifq_model::outcome::Outcome;

use crate::executor::fingerprint::Fingerprint;
use crate::executor::record::{Cell, Images, Names, Update};
use crate::executor::threads::Pending;
use crate::symmetry::Symmetry;
use crate::symmetry::renaming::Group;

/// No node.
pub(crate) const NONE: u32 = u32::MAX;

/// The ways on from a node that observes a value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kids {
    value: u64,
    node: u32,
    /// Further ones, in [`Code::more`].
    more: u32,
}

impl Kids {
    const EMPTY: Kids = Kids { value: 0, node: NONE, more: NONE };
}

/// One event in the tree.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Node {
    /// Reads a word.
    Read { word: u32, kids: Kids },
    /// Looks at a count of objects.
    Live { word: u32, kids: Kids },
    /// Whether the wait was granted.
    Grant { kids: Kids },
    /// A fault point.
    Fault { kids: Kids },
    /// Writes a word; `what` in [`Code::cells`].
    Write { word: u32, what: u32, next: u32 },
    /// Changes a word and goes on as what it held says; `update` in [`Code::updates`].
    Update { update: u32, kids: Kids },
    /// A new word that is not zero.
    New { word: u32, what: u32, next: u32 },
    /// A new object.
    Alloc { object: u32, next: u32 },
    /// The end of an object.
    Free { object: u32, next: u32 },
    /// An access of ordinary memory.
    Plain { word: u32, write: bool, next: u32 },
    /// A release.
    Release { word: u32, next: u32 },
    /// Starts a thread at a stop.
    Spawn { stop: u32, next: u32 },
    /// An operation ends: goes on at what all ways through it have in common.
    Boundary { root: u32 },
    /// Where an operation begins.
    Root { next: u32 },
    /// The step ends, at a stop.
    Stop { stop: u32 },
    /// The step breaks an invariant, whatever the state of the memory.
    Fail,
}

/// Where a thread waits for its next step: what the search asks for all the time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    pub(crate) slot: u32,
    /// Stands for the slot: whoever starts a thread in it or ends there touches it.
    pub(crate) slot_word: u32,
    pub(crate) pending: Pending,
    /// What it adds to a state's fingerprint; 0 at a thread's end.
    pub(crate) hash: Fingerprint,
    /// The first event of the next step.
    pub(crate) next: u32,
}

/// How a thread came to a stop: its private state.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    /// What it adds to the signatures of buffers that the thread has observed.
    pub(crate) told: Box<[Cell]>,
    /// What the thread has observed in its operation, buffers by name.
    exact: Fingerprint,
    /// The same without names of buffers, and how often.
    history: (Fingerprint, u32),
    /// The locks that the thread holds.
    pub(crate) locks: Box<[u32]>,
    /// What user space saw, at the end of the first thread.
    pub(crate) outcome: Option<u32>,
}

/// What is known of a program.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) names: Names,
    pub(crate) nodes: Vec<Node>,
    pub(crate) stops: Vec<Stop>,
    /// By stop.
    pub(crate) pasts: Vec<Past>,
    /// Values that are written, and what they add to a fingerprint.
    pub(crate) cells: Vec<(u64, Cell)>,
    /// What their images add, under each of the others of the group.
    image_cells: Vec<Cell>,
    /// By stop: where its image stands.
    stop_images: Images,
    /// What that adds to a fingerprint.
    image_hashes: Vec<Fingerprint>,
    pub(crate) updates: Vec<Update>,
    pub(crate) outcomes: Vec<Outcome>,
    more: Vec<Vec<(u64, u32)>>,
    roots: HashMap<(u32, u32), u32>,
    starts: HashMap<(u32, u64), u32>,
}

impl Code {
    /// Nothing is known but where the first thread starts.
    pub(crate) fn new(symmetry: Symmetry, group: Arc<Group>) -> Self {
        let mut code = Code {
            stop_images: Images::new(&group),
            image_cells: Vec::new(),
            image_hashes: Vec::new(),
            names: Names::new(symmetry, group),
            nodes: Vec::new(),
            stops: Vec::new(),
            pasts: Vec::new(),
            cells: Vec::new(),
            updates: Vec::new(),
            outcomes: Vec::new(),
            more: Vec::new(),
            roots: HashMap::new(),
            starts: HashMap::new(),
        };
        code.start(0, 0);
        code
    }

    /// The stop at which the first thread starts.
    pub(crate) const FIRST: u32 = 0;

    /// Nothing is known, nor will be: takes the place of one that is elsewhere.
    pub(crate) fn nothing() -> Self {
        Code::new(Symmetry::NONE, Arc::new(Group::trivial()))
    }

    /// The way on from a value; [`NONE`] if it was never met.
    #[inline]
    pub(crate) fn kid(&self, kids: &Kids, value: u64) -> u32 {
        if kids.value == value {
            return kids.node;
        }
        let Some(more) = self.more.get(kids.more as usize) else { return NONE };
        more.iter().find(|(known, _)| *known == value).map_or(NONE, |(_, node)| *node)
    }

    /// All ways on, with the value that leads there.
    pub(crate) fn kids(&self, kids: &Kids) -> impl Iterator<Item = (u64, u32)> {
        let more = self.more.get(kids.more as usize).map_or(&[][..], Vec::as_slice);
        let first = Some((kids.value, kids.node)).filter(|(_, node)| *node != NONE);
        first.into_iter().chain(more.iter().copied())
    }
}
