//! Threads of the deterministic machine.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use ifq_model::test::schedule::AccessKind;

use super::fingerprint::{Fingerprint, append};

pub(crate) type ThreadFuture = Pin<Box<dyn Future<Output = ()>>>;

/// What a thread does in its next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    /// Starts.
    Start,
    /// Reads or writes a word.
    Access { word: u32, write: bool, acquire: bool },
    /// Takes a lock.
    Lock { word: u32 },
    /// Waits until a word is at least `min`; with `quiesce` the wait times out when no thread can run.
    WaitUntil { word: u32, min: u64, quiesce: bool },
    /// Nothing: the thread has ended.
    Done,
}

impl Pending {
    /// The word that a wait depends on.
    pub(crate) fn awaited_word(self) -> Option<u32> {
        match self {
            Pending::WaitUntil { word, .. } => Some(word),
            _ => None,
        }
    }

    /// The word that decides whether the thread is enabled.
    pub(crate) fn blocking_word(self) -> Option<u32> {
        match self {
            Pending::Lock { word } | Pending::WaitUntil { word, .. } => Some(word),
            Pending::Start | Pending::Access { .. } | Pending::Done => None,
        }
    }

    /// The word that the step accesses.
    pub(crate) fn word(self) -> Option<u32> {
        match self {
            Pending::Access { word, .. }
            | Pending::Lock { word }
            | Pending::WaitUntil { word, .. } => Some(word),
            Pending::Start | Pending::Done => None,
        }
    }

    /// The word that the step acquires.
    pub(crate) fn acquired_word(self) -> Option<u32> {
        match self {
            Pending::Access { word, acquire: true, .. }
            | Pending::Lock { word }
            | Pending::WaitUntil { word, .. } => Some(word),
            Pending::Access { .. } | Pending::Start | Pending::Done => None,
        }
    }
}

/// A thread.
pub(crate) struct Thread {
    /// Identifies it in all runs; see `Work::slot`.
    pub(crate) slot: u32,
    /// Its argument.
    pub(crate) key: u64,
    pub(crate) future: Option<ThreadFuture>,
    pub(crate) pending: Pending,
    /// What the access of `pending` does.
    pub(crate) pending_kind: AccessKind,
    /// Fingerprint of the values observed since the current operation began. The private state is a function
    /// of these values.
    pub(crate) observed: Fingerprint,
    /// Number of operations that have ended. Names of new words and objects contain it.
    pub(crate) op: u32,
    pub(crate) words: u32,
    /// Created objects: key and index, ascending by key.
    pub(crate) objects: Vec<(u32, u32)>,
    pub(crate) objects_in_op: u32,
    /// The locks that it holds, in the order of acquisition.
    pub(crate) locks: Vec<u32>,
    pub(crate) functions: Vec<&'static str>,
    /// The open scopes, the innermost last.
    pub(crate) scopes: Vec<ScopeStart>,
}

/// A thread at the beginning of a scope.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScopeStart {
    observed: Fingerprint,
    words: u32,
    objects_in_op: u32,
    locks: usize,
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Thread")
            .field("slot", &self.slot)
            .field("pending", &self.pending)
            .finish_non_exhaustive()
    }
}

impl Thread {
    pub(crate) fn new(slot: u32, key: u64, future: ThreadFuture) -> Self {
        Thread {
            slot,
            key,
            future: Some(future),
            pending: Pending::Start,
            pending_kind: AccessKind::Load,
            observed: append(0, key),
            op: 0,
            words: 0,
            objects: Vec::new(),
            objects_in_op: 0,
            locks: Vec::new(),
            functions: Vec::new(),
            scopes: Vec::new(),
        }
    }

    /// [`Thread::local_state`] of a new thread.
    pub(crate) fn initial_state(slot: u32, key: u64) -> Fingerprint {
        local_state(append(0, key), slot, 0)
    }

    /// Begins a scope.
    pub(crate) fn begin_scope(&mut self) {
        let Thread { observed, words, objects_in_op, .. } = *self;
        self.scopes.push(ScopeStart { observed, words, objects_in_op, locks: self.locks.len() });
        self.observed = append(observed, SCOPE_BEGIN);
    }

    /// Ends the innermost scope: what was observed in it is no longer part of the private state.
    ///
    /// # Panics
    /// If the scope has created a word or an object, or does not end with the locks with which it began.
    pub(crate) fn end_scope(&mut self) {
        let Some(start) = self.scopes.pop() else { return };
        assert_eq!(
            (start.words, start.objects_in_op, start.locks),
            (self.words, self.objects_in_op, self.locks.len()),
            "a scope has created a word or an object, or has not released its locks"
        );
        self.observed = append(start.observed, SCOPE_END);
    }

    /// The fingerprint of its private state.
    pub(crate) fn local_state(&self) -> Fingerprint {
        local_state(self.observed, self.slot, self.op)
    }
}

/// The first value that each step observes, so that every step changes the private state.
pub(crate) const STEP_MARKER: u64 = 0x5eed;

/// The value that a thread observes at the beginning of a scope.
pub(crate) const SCOPE_BEGIN: u64 = 0x5c0e;
/// The value that a thread observes at the end of a scope, in place of all values in it.
pub(crate) const SCOPE_END: u64 = 0x5c0f;

/// The observations at the beginning of an operation.
pub(crate) fn operation_start(op: u32) -> Fingerprint {
    u128::from(op)
}

/// The fingerprint of the private state of a thread; see [`Thread::local_state`].
pub(crate) fn local_state(observed: Fingerprint, slot: u32, op: u32) -> Fingerprint {
    append(append(observed, u64::from(slot)), u64::from(op))
}
