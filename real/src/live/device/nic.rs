//! The NIC of a guest: set-up, operations on the device, and packets that arrive at a queue.

use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ifq_model::test::Test;

use super::soft_nic::{Counters, PEER_NAME, RECEIVER_NAME, SoftNic};
use crate::abi::netlink::{LinkChange, add_address, change_link};
use crate::abi::syscall::ethtool;
use crate::abi::syscall::packet::PacketSocket;
use crate::job::DevicePackets;
use crate::kernels::supported::Equipment;

/// Addresses of the receiver and of the peer, in a network for documentation (RFC 5737).
pub(super) const RECEIVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub(super) const PEER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const PREFIX: u8 = 24;
/// Bytes of the largest IP packet: the longest `send` and its headers.
const MTU: u32 = 40_000;
/// The port of the near end of socket 0 of a test; the others follow. The flow rules name it.
const FIRST_PORT: u16 = 9000;
/// Longest time that a frame may need to the far side of the NIC.
const ARRIVAL: Duration = Duration::from_secs(2);
/// Longest time until the queues are unbound after a run: a ring ends after an RCU grace period, and its exit
/// work runs every few seconds.
const UNBOUND: Duration = Duration::from_secs(30);
/// Time in which the background work of a ring's exit ends unless something holds it: an RCU grace period, and some
/// rounds of its exit work.
const BACKGROUND: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_micros(100);

/// The NIC, set up.
#[derive(Debug)]
pub(super) struct SoftDevice {
    soft: SoftNic,
    queues: u32,
    peer: PacketSocket,
    /// Whether the device must be set up before the next run.
    changed: AtomicBool,
    index: Mutex<u32>,
    /// The flow rules: port and queue.
    rules: Mutex<Vec<(u16, u32)>>,
    /// One packet at a time, so that the counters belong to it.
    sending: Mutex<()>,
    next_port: AtomicU16,
    placed: AtomicU64,
    ordinary: AtomicU64,
    misplaced: AtomicU64,
    zero_copy: AtomicU64,
    copied: AtomicU64,
    /// The queues whose next allocation fails, and whether that is while a memory provider is bound.
    failing: Mutex<Vec<(u32, bool)>>,
    failed: AtomicU64,
}

/// How the NIC writes packets into buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// Each packet in a buffer of its own.
    Pages,
    /// One packet in so many buffers.
    Buffers(u32),
    /// All packets in one buffer.
    OneBuffer,
}

/// Where a packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Into buffers of a memory provider.
    Placed,
    /// Into ordinary pages.
    Ordinary,
    /// It has no payload.
    Empty,
    /// The queue had no buffer.
    NoBuffer,
    /// The device is down or gone.
    NoDevice,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SoftDevice {
    /// The NIC of this machine, set up. `None`: there is none.
    ///
    /// # Errors
    ///
    /// A message for the user: it cannot be set up.
    pub(super) fn open() -> Result<Option<SoftDevice>, String> {
        let Some(soft) = SoftNic::find() else { return Ok(None) };
        let context = |error: io::Error| format!("the soft NIC: {error}");
        let peer_index = soft.peer_index().map_err(context)?;
        let peer = LinkChange { up: Some(true), no_arp: Some(true), mtu: Some(MTU) };
        change_link(peer_index, &peer)
            .map_err(|error| format!("the interface {PEER_NAME}: {error}"))?;
        let nic = SoftDevice {
            queues: soft.queues().map_err(context)?,
            peer: PacketSocket::open(peer_index).map_err(context)?,
            changed: AtomicBool::new(true),
            index: Mutex::new(0),
            rules: Mutex::default(),
            sending: Mutex::new(()),
            next_port: AtomicU16::new(0),
            placed: AtomicU64::new(0),
            ordinary: AtomicU64::new(0),
            misplaced: AtomicU64::new(0),
            zero_copy: AtomicU64::new(0),
            copied: AtomicU64::new(0),
            failing: Mutex::default(),
            failed: AtomicU64::new(0),
            soft,
        };
        nic.set_up()?;
        Ok(Some(nic))
    }

    /// Registers the device if need be, gives it its address, brings it up.
    fn set_up(&self) -> Result<(), String> {
        let context = |error: io::Error| format!("the interface {RECEIVER_NAME}: {error}");
        if !self.soft.registered().map_err(context)? {
            self.soft.set_registered(true).map_err(context)?;
        }
        let index = self.soft.receiver_index().map_err(context)?;
        let change = LinkChange { up: Some(true), no_arp: Some(true), mtu: Some(MTU) };
        change_link(index, &change).map_err(context)?;
        add_address(index, RECEIVER, PREFIX).map_err(context)?;
        *lock(&self.index) = index;
        lock(&self.rules).clear();
        self.changed.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Counts a completion with bytes of a packet.
    pub(super) fn count_completion(&self, zero_copy: bool) {
        let counter = if zero_copy { &self.zero_copy } else { &self.copied };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// A port of the far end that no earlier connection had lately.
    pub(super) fn next_port(&self) -> u16 {
        1024 + self.next_port.fetch_add(1, Ordering::Relaxed) % 60_000
    }

    /// A socket that reads the frames of near ends.
    pub(super) fn answers(&self) -> Result<PacketSocket, String> {
        let index = self.soft.peer_index();
        index
            .and_then(PacketSocket::receiving)
            .map_err(|error| format!("the interface {PEER_NAME}: {error}"))
    }

    /// Sends frames to the device and waits until the NIC has processed them: where the first went. If it was
    /// dropped, so were the others.
    ///
    /// # Errors
    ///
    /// A message: the NIC did not process a frame, or its counters cannot be read.
    pub(super) fn deliver(
        &self,
        queue: u32,
        frames: &[Vec<u8>],
        placement: Placement,
    ) -> Result<Arrival, String> {
        let _alone = lock(&self.sending);
        let context = |error: io::Error| format!("a knob of queue {queue}: {error}");
        match placement {
            Placement::Pages => {}
            Placement::Buffers(buffers) => {
                self.soft.set_buffers_of_next(queue, buffers).map_err(context)?;
            }
            // The NIC keeps a reference to the buffer from the first packet to the last.
            Placement::OneBuffer => {
                self.soft.share_next(queue, frames.len() as u32 - 1).map_err(context)?;
            }
        }
        let mut first = None;
        for frame in frames {
            let arrival = self.deliver_one(queue, frame)?;
            let first = *first.get_or_insert(arrival);
            if matches!(first, Arrival::NoBuffer | Arrival::NoDevice) {
                break;
            }
            if arrival != first {
                return Err(format!("{RECEIVER_NAME} placed packets of one buffer differently"));
            }
        }
        if placement != Placement::Pages {
            self.soft.reset_placement(queue).map_err(context)?;
        }
        Ok(first.unwrap_or(Arrival::Empty))
    }

    fn deliver_one(&self, queue: u32, frame: &[u8]) -> Result<Arrival, String> {
        let counters = || self.soft.counters(queue).map_err(|error| error.to_string());
        let before = counters()?;
        let bound = || self.soft.bound(queue).map_err(|error| error.to_string());
        let bound_before = bound()?;
        match self.peer.send(frame) {
            Ok(()) => {}
            Err(error) if is_down(&error) => return Ok(Arrival::NoDevice),
            Err(error) => return Err(format!("a frame through {PEER_NAME}: {error}")),
        }
        let start = Instant::now();
        loop {
            if let Some(arrival) = arrival(&before, &counters()?) {
                match arrival {
                    Arrival::Placed => _ = self.placed.fetch_add(1, Ordering::Relaxed),
                    // The queue may be bound or unbound meanwhile.
                    Arrival::Ordinary if bound_before && bound()? => {
                        self.misplaced.fetch_add(1, Ordering::Relaxed);
                    }
                    Arrival::Ordinary => _ = self.ordinary.fetch_add(1, Ordering::Relaxed),
                    Arrival::Empty | Arrival::NoBuffer | Arrival::NoDevice => {}
                }
                return Ok(arrival);
            }
            // A device that is gone counts nothing.
            if !self.soft.registered().map_err(|error| error.to_string())? {
                return Ok(Arrival::NoDevice);
            }
            if start.elapsed() > ARRIVAL {
                return Err(format!("{RECEIVER_NAME} did not process a frame for queue {queue}"));
            }
            std::thread::sleep(POLL);
        }
    }
}

/// What [`Device`](super::interface::Device) describes.
impl SoftDevice {
    pub(super) fn equipment(&self) -> Equipment {
        Equipment { queues: self.queues, ..Equipment::default() }
    }

    pub(super) fn prepare(&self, test: &Test) -> Result<(), String> {
        self.wait_until_unbound(test.queues)?;
        if self.changed.load(Ordering::Relaxed) {
            self.set_up()?;
        }
        let mut rules = lock(&self.rules);
        for (number, socket) in test.sockets.iter().enumerate() {
            let Some(queue) = socket.queue else { continue };
            let rule = (port_of(number), queue);
            if rules.contains(&rule) {
                continue;
            }
            rules.retain(|(port, _)| *port != rule.0);
            ethtool::steer_port(RECEIVER_NAME, number as u32, rule.0, queue)
                .map_err(|error| format!("a flow rule of {RECEIVER_NAME}: {error}"))?;
            rules.push(rule);
        }
        Ok(())
    }

    pub(super) fn wait_until_unbound(&self, queues: u32) -> Result<(), String> {
        let start = Instant::now();
        for queue in 0..queues.min(self.queues) {
            while self.soft.bound(queue).map_err(|error| error.to_string())? {
                if start.elapsed() > UNBOUND {
                    return Err(format!(
                        "queue {queue} of {RECEIVER_NAME} is still bound {} s after all rings were closed",
                        UNBOUND.as_secs()
                    ));
                }
                std::thread::sleep(10 * POLL);
            }
        }
        Ok(())
    }

    pub(super) fn settle(&self, queues: u32) {
        let start = Instant::now();
        let bound = || (0..queues.min(self.queues)).any(|q| self.soft.bound(q).unwrap_or(false));
        while bound() && start.elapsed() < BACKGROUND {
            std::thread::sleep(10 * POLL);
        }
    }

    pub(super) fn index(&self) -> u32 {
        *lock(&self.index)
    }

    pub(super) fn queue_of(&self, test: &Test, queue: u32) -> u32 {
        if queue < test.queues { queue } else { queue.max(self.queues) }
    }

    pub(super) fn set_running(&self, up: bool) -> i64 {
        self.changed.store(true, Ordering::Relaxed);
        match self.soft.registered() {
            Ok(true) => {
                let change = LinkChange { up: Some(up), ..LinkChange::default() };
                status(change_link(self.index(), &change))
            }
            Ok(false) => -i64::from(libc::ENODEV),
            Err(error) => negative(&error),
        }
    }

    pub(super) fn unregister(&self) -> i64 {
        self.changed.store(true, Ordering::Relaxed);
        status(self.soft.set_registered(false))
    }

    pub(super) fn restart(&self, queue: u32) -> i64 {
        status(self.soft.restart(queue))
    }

    pub(super) fn fail_allocation(&self, queue: u32, bound: bool) -> Result<(), String> {
        self.soft.fail_allocations(queue, bound, 1).map_err(|error| error.to_string())?;
        lock(&self.failing).push((queue, bound));
        Ok(())
    }

    pub(super) fn end_failures(&self) -> Result<(), String> {
        let context = |error: io::Error| format!("a failure of {RECEIVER_NAME}: {error}");
        for (queue, bound) in lock(&self.failing).drain(..) {
            let left = self.soft.failing_allocations(queue, bound).map_err(context)?;
            self.soft.fail_allocations(queue, bound, 0).map_err(context)?;
            if left > 0 {
                continue;
            }
            self.failed.fetch_add(1, Ordering::Relaxed);
            // A device that is gone has no queue any more.
            if !bound && self.soft.registered().map_err(context)? {
                self.soft.restart(queue).map_err(context)?;
            }
        }
        Ok(())
    }

    pub(super) fn take_packets(&self) -> Option<DevicePackets> {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        Some(DevicePackets {
            placed: take(&self.placed),
            ordinary: take(&self.ordinary),
            misplaced: take(&self.misplaced),
            zero_copy: take(&self.zero_copy),
            copied: take(&self.copied),
            unproven: 0,
            failed: take(&self.failed),
        })
    }
}

/// The port of the near end of a socket.
pub(super) fn port_of(socket: usize) -> u16 {
    FIRST_PORT + socket as u16
}

fn arrival(before: &Counters, after: &Counters) -> Option<Arrival> {
    if after.placed > before.placed {
        Some(Arrival::Placed)
    } else if after.kernel > before.kernel {
        Some(Arrival::Ordinary)
    } else if after.header_only > before.header_only {
        Some(Arrival::Empty)
    } else if after.no_buffer > before.no_buffer {
        Some(Arrival::NoBuffer)
    } else if after.down > before.down {
        Some(Arrival::NoDevice)
    } else {
        None
    }
}

/// The link has no peer that is up.
fn is_down(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENETDOWN | libc::ENXIO | libc::ENOBUFS))
}

fn negative(error: &io::Error) -> i64 {
    -i64::from(error.raw_os_error().unwrap_or(libc::EIO))
}

fn status(result: io::Result<()>) -> i64 {
    result.map_or_else(|error| negative(&error), |()| 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_that_moved_says_where_a_packet_went() {
        let before = Counters { placed: 3, kernel: 2, header_only: 7, no_buffer: 1, down: 1 };
        assert_eq!(arrival(&before, &before), None);
        for (after, went) in [
            (Counters { placed: 4, ..before }, Arrival::Placed),
            (Counters { kernel: 3, ..before }, Arrival::Ordinary),
            (Counters { header_only: 8, ..before }, Arrival::Empty),
            (Counters { no_buffer: 2, ..before }, Arrival::NoBuffer),
            (Counters { down: 2, ..before }, Arrival::NoDevice),
        ] {
            assert_eq!(arrival(&before, &after), Some(went));
        }
    }
}
