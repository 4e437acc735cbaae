//! The events of a step, in names that are equal in all runs.

use ifq_model::platform::{Kind, Rmw};

/// One event of a step. Words and objects are indices into [`super::symbols::SymbolTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StepEvent {
    /// Reads a word; what follows depends on its value.
    Read { word: u32 },
    /// Writes a word.
    Write { word: u32, value: u64 },
    /// Read-modify-write; what follows depends on the old value, capped at `cap`.
    Update(Update),
    /// The access just before or after is a plain access.
    Plain { word: u32, write: bool },
    /// Releases a word.
    Release { word: u32 },
    /// Creates a word that is not zero.
    New { word: u32, value: u64 },
    /// Creates an object.
    Alloc { object: u32 },
    /// Frees an object.
    Free { object: u32 },
    /// Reads the number of live objects of a kind.
    Live { kind: Kind },
    /// A fault point.
    Fault,
    /// Whether a wait was satisfied or timed out.
    Grant,
    /// Spawns a thread.
    Spawn { slot: u32, key: u64 },
    /// Ends an operation.
    Boundary,
    /// Begins a scope.
    ScopeBegin,
    /// Ends the innermost scope.
    ScopeEnd,
}

/// A read-modify-write of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Update {
    pub(crate) word: u32,
    pub(crate) op: Rmw,
    /// The thread observes the old value, but at most this.
    pub(crate) cap: u64,
    /// The thread does not read the old value, as for a counter; see [`super::symbols::WordInfo::is_counter`].
    pub(crate) is_counter: bool,
}

/// An event, and the value that the thread observed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ObservedEvent {
    pub(crate) event: StepEvent,
    pub(crate) value: Option<u64>,
}
