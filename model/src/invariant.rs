//! The invariants I1 to I11 that every run must satisfy.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What must hold in every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Invariant {
    /// Nothing freed is touched.
    I1,
    /// Nothing is freed twice; no count passes below zero or rises from zero.
    I2,
    /// Once everything is closed nothing is left, and the queue can be registered again.
    I3,
    /// No deadlock, locks in order; every teardown ends.
    I4,
    /// A hardware queue has at most one ifq; it is open exactly while a user may receive.
    I5,
    /// Each niov is in exactly one place.
    I6,
    /// A buffer that user space holds is never overwritten; data reaches only the ring that asked.
    I7,
    /// No data race on plain memory.
    I8,
    /// Each operation returns what the revision's specification says.
    I9,
    /// Each request completes exactly once; no byte of a stream is lost, doubled or out of order.
    I10,
    /// Whatever user space writes into shared memory, the kernel side stays safe.
    I11,
}

impl Invariant {
    /// All invariants, in order.
    pub const ALL: [Invariant; 11] = [
        Invariant::I1,
        Invariant::I2,
        Invariant::I3,
        Invariant::I4,
        Invariant::I5,
        Invariant::I6,
        Invariant::I7,
        Invariant::I8,
        Invariant::I9,
        Invariant::I10,
        Invariant::I11,
    ];
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A violation of an invariant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Which invariant.
    pub invariant: Invariant,
    /// What happened, as a sentence for people.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.what)
    }
}
