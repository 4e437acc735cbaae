//! The problem that both checkers solve: objects, and the program of each ring.

/// Rings that share the ifq.
pub(crate) const RINGS: usize = 3;

/// Buffers of the ifq's area.
pub(crate) const BUFFERS: usize = 6;

/// An operation of a ring, atomic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Moves the refill queue to the end of the free list, in order, and takes the last buffer of that list,
    /// if there is one.
    Receive,
    /// Puts the buffer that was received last at the tail of the refill queue, if there is one.
    Return,
    /// Moves the ring's buffers to the free list. The last user frees the ifq.
    Exit,
}

/// The program of each ring. All rings use the ifq from the beginning.
pub(crate) const PROGRAM: &[Op] = &[
    Op::Receive,
    Op::Receive,
    Op::Return,
    Op::Receive,
    Op::Receive,
    Op::Return,
    Op::Receive,
    Op::Receive,
    Op::Return,
    Op::Exit,
];

/// The bug that `--planted` asks for: the first ring frees the ifq when it exits, even if others use it.
pub(crate) fn frees(ring: usize, users_left: u64, planted: bool) -> bool {
    users_left == 0 || planted && ring == 0
}
