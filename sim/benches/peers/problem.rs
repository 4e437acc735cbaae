//! The problem that is given to both: what there is, and what each ring does.

/// Rings that share the ifq.
pub(crate) const RINGS: usize = 3;

/// Buffers of the ifq's area.
pub(crate) const BUFFERS: usize = 6;

/// An operation of a ring; one step, in which nobody else does anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Moves what is in the refill queue to the free list, in order, and takes the buffer that was
    /// put there last; nothing if there is none.
    Receive,
    /// Puts the buffer that was received last at the tail of the refill queue, if there is one.
    GiveBack,
    /// Scrubs: what the ring holds goes to the free list. The last user frees the ifq.
    Exit,
}

/// What each ring does, one after the other. All are users of the ifq from the begin.
pub(crate) const PROGRAM: &[Op] = &[
    Op::Receive,
    Op::Receive,
    Op::GiveBack,
    Op::Receive,
    Op::Receive,
    Op::GiveBack,
    Op::Receive,
    Op::Receive,
    Op::GiveBack,
    Op::Exit,
];

/// The bug that `--planted` asks for: the first ring frees the ifq when it exits, whoever else uses
/// it.
pub(crate) fn frees(ring: usize, users_left: u64, planted: bool) -> bool {
    users_left == 0 || planted && ring == 0
}
