//! How much the objects of a run must be able to hold.
//!
//! The kernel's lists grow as long as there is memory. Here each list has a fixed number of slots, because
//! words cannot be added to an object that exists. The slots are an upper bound of what the run can store,
//! so that no list is ever full; [`crate::test::capacities`] derives them from the test. Limits that the
//! kernel itself has are constants of the kernel code under the kernel's names.

use std::collections::BTreeMap;

/// What one ring must be able to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingCapacity {
    /// Ids of ifqs.
    pub ids: usize,
    /// Requests at a time.
    pub requests: usize,
    /// Events that are sent in the whole run.
    pub events: usize,
}

/// What one connection must be able to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SockCapacity {
    /// Fragments in the receive queue.
    pub fragments: usize,
    /// Requests on the wait queue.
    pub waiters: usize,
    /// Whether a packet may have several fragments, or a buffer several packets.
    pub layouts: bool,
    /// Whether a step closes the descriptor.
    pub closes: bool,
}

/// What one ifq must be able to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IfqCapacity {
    /// Areas.
    pub areas: usize,
    /// Buffers of all areas together.
    pub buffers: usize,
}

/// What all objects of a run must be able to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capacities {
    /// Descriptors that are open before anything runs.
    pub open_fds: usize,
    /// Descriptors that the run opens.
    pub exports: usize,
    /// Tasks that give up their rings before the run ends, by their number.
    pub tctxs: Vec<u32>,
    /// By the number of the ring.
    pub rings: Vec<RingCapacity>,
    /// By the number of the connection.
    pub socks: Vec<SockCapacity>,
    /// By the number of the ifq. Proxies have no areas and are not in the map.
    pub ifqs: BTreeMap<u32, IfqCapacity>,
}

impl Capacities {
    /// What a ring must be able to hold.
    #[must_use]
    pub fn ring(&self, number: u32) -> RingCapacity {
        self.rings.get(number as usize).copied().unwrap_or_default()
    }

    /// What an ifq must be able to hold that may be any of the run's.
    #[must_use]
    pub fn largest_ifq(&self) -> IfqCapacity {
        let largest = |of: fn(&IfqCapacity) -> usize| self.ifqs.values().map(of).max();
        IfqCapacity {
            areas: largest(|ifq| ifq.areas).unwrap_or_default(),
            buffers: largest(|ifq| ifq.buffers).unwrap_or_default(),
        }
    }

    /// What an ifq must be able to hold.
    #[must_use]
    pub fn ifq(&self, number: u32) -> IfqCapacity {
        self.ifqs.get(&number).copied().unwrap_or_default()
    }
}

/// The slot of a position in a queue that reuses its slots.
///
/// # Panics
/// If the queue has no slots, see [`exceeded`].
pub fn slot<'s, T>(slots: &'s [T], position: u64, what: &str) -> &'s T {
    match position.checked_rem(slots.len() as u64) {
        Some(index) => &slots[index as usize],
        None => exceeded(what),
    }
}

/// A list is full that must have room for everything.
///
/// # Panics
/// Always: the capacity that was derived for the run is too small. That is a mistake in the derivation and
/// no behaviour of the kernel, so it must not become a result.
#[track_caller]
pub fn exceeded(what: &str) -> ! {
    panic!("the model has no room for {what}: the capacity derived from the test is too small")
}
