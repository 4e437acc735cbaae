//! What arrives at the NIC of a rig.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::arrivals::Arrivals;
use crate::abi::netdev::{Netdev, QueueUser};
use crate::abi::syscall::packet_ring::PacketRing;
use crate::rig::Rig;

/// The packets of the NIC.
#[derive(Debug)]
pub(super) struct Tap {
    index: u32,
    /// Where packets went.
    arrivals: Mutex<Arrivals>,
    /// What the kernel can read of them. `None`: it cannot be asked, so that nothing is known.
    ring: Option<Mutex<PacketRing>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tap {
    /// The packets from now on of a rig's NIC, whose interface has this index.
    pub(super) fn new(rig: &Rig, index: u32) -> Self {
        let ring = PacketRing::open(index).map(Mutex::new).ok();
        Tap { index, arrivals: Mutex::new(Arrivals::of(rig.nic.address)), ring }
    }

    /// Calls a function with all packets that have arrived.
    pub(super) fn with_arrivals<T>(&self, f: impl FnOnce(&mut Arrivals) -> T) -> T {
        let mut arrivals = lock(&self.arrivals);
        if let Some(ring) = &self.ring {
            let mut ring = lock(ring);
            while let Some(captured) = ring.take() {
                arrivals.note(&captured);
            }
        }
        f(&mut arrivals)
    }

    /// Whether a queue has a memory provider.
    pub(super) fn is_bound(&self, queue: u32) -> io::Result<bool> {
        Ok(Netdev::open()?.user_of(self.index, queue)? != QueueUser::None)
    }
}
