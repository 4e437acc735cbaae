//! What the NIC of a rig does with the packets of one connection.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::arrivals::Ports;
use super::tap::Tap;

/// A connection over the NIC of a rig.
pub(in crate::live) struct Watch {
    tap: Arc<Tap>,
    queue: u32,
    ports: Ports,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Watch {{ queue: {}, ports: {:?} }}", self.queue, self.ports)
    }
}

impl Watch {
    /// Of the connection with these ports, whose packets arrive at a queue.
    pub(super) fn new(tap: &Arc<Tap>, queue: u32, ports: Ports) -> Self {
        Watch { tap: Arc::clone(tap), queue, ports }
    }

    /// Whether a memory provider is bound to the queue.
    pub(in crate::live) fn is_bound(&self) -> bool {
        self.tap.is_bound(self.queue).unwrap_or(false)
    }

    /// These bytes of the stream have arrived. `bound`: a memory provider was bound before they were sent.
    pub(in crate::live) fn arrived(&self, bytes: Range<u64>, bound: bool) {
        if bound && self.is_bound() {
            self.tap.with_arrivals(|arrivals| arrivals.arrived_while_bound(self.ports, bytes));
        }
    }

    /// Counts a completion with the bytes from a position of the stream on.
    pub(in crate::live) fn received(&self, position: u64) {
        self.tap.with_arrivals(|arrivals| arrivals.completed(self.ports, position));
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tap.with_arrivals(|arrivals| arrivals.forget(self.ports));
    }
}
