//! What the last step of a run has done, in the terms of a schedule in words. Recorded on demand.

use ifq_model::platform::{Kind, Rmw};
use ifq_model::test::schedule::AccessKind;

/// The object of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accessed {
    /// A word of the memory.
    Word(u32),
    /// A whole object: its kind and number.
    Object(Kind, u32),
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// The thread has accessed an object.
    Access(AccessKind, Accessed),
    /// The thread has entered the function.
    Enter,
    /// The thread has returned from the function.
    Return,
}

/// One event of a step, and the innermost kernel function at that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoggedEvent {
    pub(crate) function: Option<&'static str>,
    pub(crate) happened: Happened,
}

/// The kind of an atomic read-modify-write.
pub(crate) fn kind_of_rmw(op: Rmw) -> AccessKind {
    match op {
        Rmw::Add(_) => AccessKind::Inc,
        Rmw::Sub(_) => AccessKind::Dec,
        Rmw::Xchg(_) => AccessKind::Xchg,
        Rmw::Or(_) => AccessKind::Or,
        Rmw::And(_) => AccessKind::And,
        Rmw::CmpXchg { .. } => AccessKind::CmpXchg,
        Rmw::AddUnless { .. } => AccessKind::IncUnless,
    }
}
