//! Queries of the state, for generators that choose the next operation.

use super::Spec;
use crate::test::{Event, RingId, SocketId, VarId};

impl Spec {
    /// Whether a ring is open.
    #[must_use]
    pub fn ring_open(&self, ring: RingId) -> bool {
        self.rings[usize::from(ring)].open
    }

    /// Whether a ring is disabled.
    #[must_use]
    pub fn ring_disabled(&self, ring: RingId) -> bool {
        self.rings[usize::from(ring)].disabled
    }

    /// Whether a ring has a completion, or pending task work that may post one.
    #[must_use]
    pub fn ready(&self, ring: RingId) -> bool {
        self.rings[usize::from(ring)].ready()
    }

    /// Whether the ifq that a variable refers to still has users.
    #[must_use]
    pub fn in_use(&self, var: VarId) -> bool {
        let bound = self.var(var);
        bound.result >= 0 && bound.origin.is_some_and(|ifq| self.ifqs[ifq].users > 0)
    }

    /// The last raised event of a variable's ifq that was not armed again.
    #[must_use]
    pub fn fired(&self, var: VarId) -> Option<Event> {
        let ifq = self.var(var).origin?;
        self.ifqs[ifq].fired.last().copied()
    }

    /// Whether user space holds the buffer of a completion that it has reaped.
    #[must_use]
    pub fn holds(&self, var: VarId) -> bool {
        self.var(var).buffer.is_some_and(|buffer| self.ifqs[buffer.ifq].holds(buffer))
    }

    /// Whether the buffer of a reaped completion belongs to an ifq.
    #[must_use]
    pub fn belongs(&self, cqe: VarId, ifq: VarId) -> bool {
        self.var(cqe).buffer.is_some_and(|buffer| self.var(ifq).origin == Some(buffer.ifq))
    }

    /// Whether an exported descriptor is open.
    #[must_use]
    pub fn fd_open(&self, var: VarId) -> bool {
        let file = usize::try_from(self.var(var).result).ok();
        let file = file.and_then(|fd| fd.checked_sub(self.rings.len()));
        file.and_then(|file| self.boxes.get(file)).is_some_and(Option::is_some)
    }

    /// The number of requests of all rings that wait for a socket.
    #[must_use]
    pub fn waiters(&self, socket: SocketId) -> usize {
        self.socks[usize::from(socket)].waiters.len()
    }

    /// Whether the peer of a socket has ended its stream.
    #[must_use]
    pub fn shut_down(&self, socket: SocketId) -> bool {
        self.socks[usize::from(socket)].shutdown
    }

    /// Whether user space has returned a buffer that it still holds through another completion. The
    /// kernel may overwrite that buffer, so the specification predicts nothing any more.
    #[must_use]
    pub fn misused(&self) -> bool {
        self.misused
    }

    /// Whether a page pool was destroyed while buffers of it were in use. Nobody knows when they are free
    /// again, so the specification predicts nothing any more.
    #[must_use]
    pub fn late_buffers(&self) -> bool {
        self.late_buffers
    }
}
