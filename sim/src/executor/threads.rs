//! Threads of the deterministic machine.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use super::fingerprint::{Fingerprint, append};

pub(crate) type ThreadFuture = Pin<Box<dyn Future<Output = ()>>>;

/// What a thread does when it runs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    /// Begins.
    Start,
    /// Reads or changes a word.
    Access { word: u32, write: bool, acquire: bool },
    /// Takes a lock.
    Lock { word: u32 },
    /// Goes on when a word is at least `min`; with `quiesce` also when nothing else can run.
    WaitUntil { word: u32, min: u64, quiesce: bool },
    /// Nothing, it has ended.
    Done,
}

impl Pending {
    /// The word whose value decides when it goes on.
    pub(crate) fn waits_for(self) -> Option<u32> {
        match self {
            Pending::WaitUntil { word, .. } => Some(word),
            _ => None,
        }
    }

    /// The word it begins with, if that is an acquire operation.
    pub(crate) fn acquires(self) -> Option<u32> {
        match self {
            Pending::Access { word, acquire: true, .. }
            | Pending::Lock { word }
            | Pending::WaitUntil { word, .. } => Some(word),
            Pending::Access { .. } | Pending::Start | Pending::Done => None,
        }
    }
}

/// One thread.
pub(crate) struct Thread {
    /// Its name that does not depend on the order of starts; see `Work::slot`.
    pub(crate) slot: u32,
    /// What it works on.
    pub(crate) key: u64,
    pub(crate) future: Option<ThreadFuture>,
    pub(crate) pending: Pending,
    /// What it has observed since its current operation began: its private state is a function of
    /// that.
    pub(crate) observed: Fingerprint,
    /// Operations ended; names of what it allocates start anew with each.
    pub(crate) op: u32,
    pub(crate) words: u32,
    /// Objects it made: key within the thread, index of the object. Ascending keys.
    pub(crate) objects: Vec<(u32, u32)>,
    pub(crate) objects_in_op: u32,
    /// The locks it holds, in the order in which it took them.
    pub(crate) locks: Vec<u32>,
    pub(crate) functions: Vec<&'static str>,
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
            observed: append(0, key),
            op: 0,
            words: 0,
            objects: Vec::new(),
            objects_in_op: 0,
            locks: Vec::new(),
            functions: Vec::new(),
        }
    }
    /// [`Thread::local_state`] of one that starts.
    pub(crate) fn initial_state(slot: u32, key: u64) -> Fingerprint {
        local_state(append(0, key), slot, 0)
    }

    /// What its private state adds to a state's fingerprint.
    pub(crate) fn local_state(&self) -> Fingerprint {
        local_state(self.observed, self.slot, self.op)
    }
}

/// What a step observes before all else: that it happens.
pub(crate) const STEP: u64 = 0x5eed;

/// What was observed when an operation begins.
pub(crate) fn operation(op: u32) -> Fingerprint {
    u128::from(op)
}

/// See [`Thread::local_state`].
pub(crate) fn local_state(observed: Fingerprint, slot: u32, op: u32) -> Fingerprint {
    append(append(observed, u64::from(slot)), u64::from(op))
}
