//! The self-test of the soft NIC: sends frames, and compares what arrives and what the NIC has counted with
//! what its description says (`real/softnic/README.md`).

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::frame::{Kind, Route, segment};
use super::soft_nic::{RECEIVER_NAME, SoftNic};
use crate::abi::netlink::{LinkChange, change_link};
use crate::abi::syscall::packet::PacketSocket;
use crate::abi::syscall::ring::{Ring, Setup};
use crate::abi::syscall::{PAGE, SharedMem, ethtool};
use crate::live::kernel_log::KernelLogWatch;

/// A queue with a flow rule, and the port that the rule names.
const QUEUE: u32 = 3;
const PORT: u16 = 9003;
/// A port that no rule names.
const OTHER_PORT: u16 = 9;
/// The counters of the NIC that a frame changes.
const COUNTERS: [&str; 8] = [
    "placed_packets",
    "placed_bytes",
    "kernel_packets",
    "header_only_packets",
    "dropped_no_buffer",
    "dropped_fault",
    "dropped_down",
    "received",
];
/// Longest time for a frame to arrive.
const ARRIVAL: Duration = Duration::from_secs(2);
/// Time in which a frame that must not arrive would have.
const NO_ARRIVAL: Duration = Duration::from_millis(100);
/// Entries of a refill ring.
const ENTRIES: u32 = 8;

/// What the self-test has found: the claims, and why each does not hold.
pub type Results = Vec<(&'static str, Result<(), String>)>;

/// A claim about the NIC.
type Claim = fn(&Bench) -> Result<(), String>;

/// All claims, in the order in which they are checked.
const CLAIMS: [(&str, Claim); 14] = [
    ("a frame goes to the queue of its flow rule, and to queue 0 without one", steering),
    ("a segment without payload is counted as such", header_only),
    ("held frames arrive later, in their order", hold),
    ("a dropped frame does not arrive", drop_fault),
    ("a corrupted frame differs in the first byte of its payload", corrupt),
    ("frames are reversed", reverse),
    ("two payloads share a buffer", share),
    ("a restart can fail, and the queue runs on", restart),
    ("nothing arrives while the interface is down", down),
    ("the interface is unregistered and comes back", register),
    ("the payload is placed in a memory provider's buffers, as many as it needs", provider),
    ("a memory provider's queue posts buffers ahead of packets", prefill),
    (
        "a queue with a memory provider is restarted, goes down and up, and can fail to",
        provider_restart,
    ),
    ("an interface with a memory provider is unregistered", provider_unregister),
];

/// Checks the NIC of this machine.
///
/// # Errors
///
/// A message for the user: there is no soft NIC here.
pub fn run() -> Result<Results, String> {
    let bench = Bench::new()?;
    let mut log = KernelLogWatch::start();
    let mut results: Results = CLAIMS
        .iter()
        .map(|(name, claim)| {
            let result = bench.prepare().and_then(|()| claim(&bench));
            let warnings = log.new_warnings(&[]);
            let quiet = if warnings.is_empty() { Ok(()) } else { Err(warnings.join("\n")) };
            (*name, result.and(quiet))
        })
        .collect();
    results.push(("the self-test leaves the interface registered", bench.prepare()));
    Ok(results)
}

/// The NIC, and a sender.
struct Bench {
    nic: SoftNic,
    peer: PacketSocket,
    sequence: AtomicU32,
}

/// The change of each counter.
type Change = [u64; COUNTERS.len()];

impl Bench {
    fn new() -> Result<Self, String> {
        let nic = SoftNic::find().ok_or("the module softnic is not loaded")?;
        let peer = nic.peer_index().map_err(text)?;
        change_link(peer, &LinkChange { up: Some(true), ..LinkChange::default() }).map_err(text)?;
        let peer = PacketSocket::open(peer).map_err(text)?;
        Ok(Bench { nic, peer, sequence: AtomicU32::new(1) })
    }

    /// Without faults, registered, up, and with the flow rule.
    fn prepare(&self) -> Result<(), String> {
        self.nic.set_file("reset", 1).map_err(text)?;
        self.nic.set_registered(true).map_err(text)?;
        self.set_up(true)?;
        ethtool::steer_port(RECEIVER_NAME, 0, PORT, QUEUE).map_err(text)
    }

    fn set_up(&self, up: bool) -> Result<(), String> {
        let index = self.nic.receiver_index().map_err(text)?;
        change_link(index, &LinkChange { up: Some(up), ..LinkChange::default() }).map_err(text)
    }

    fn set(&self, name: &str, value: u32) -> Result<(), String> {
        self.nic.set_queue_file(QUEUE, name, value).map_err(|error| format!("{name}: {error}"))
    }

    fn get(&self, name: &str) -> Result<u64, String> {
        self.nic.queue_file(QUEUE, name).map_err(text)
    }

    fn counters(&self, queue: u32) -> Result<Change, String> {
        let mut all = Change::default();
        for (to, name) in all.iter_mut().zip(COUNTERS) {
            *to = self.nic.queue_file(queue, name).map_err(text)?;
        }
        Ok(all)
    }

    /// A socket that receives what arrives at the interface.
    fn receiver(&self) -> Result<PacketSocket, String> {
        PacketSocket::receiving(self.nic.receiver_index().map_err(text)?).map_err(text)
    }

    fn send(&self, port: u16, kind: Kind, payload: &[u8]) -> Result<(), String> {
        let route = Route {
            from_mac: [2, 0, 0, 0, 0, 2],
            to_mac: [2, 0, 0, 0, 0, 1],
            from: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 2), 4000),
            to: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), port),
        };
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let frame = segment(&route, kind, sequence, 1, payload)?;
        self.peer.send(&frame).map_err(|error| format!("sending a frame: {error}"))
    }

    /// Sends payloads to the queue. `expected`: what that changes of its counters.
    fn counts(&self, payloads: &[&[u8]], expected: &[(&str, u64)]) -> Result<(), String> {
        self.change(QUEUE, expected, || {
            payloads.iter().try_for_each(|payload| self.send(PORT, Kind::Data, payload))
        })
    }

    /// Calls a function. `expected`: what that changes of the counters of a queue, all others stay.
    fn change(
        &self,
        queue: u32,
        expected: &[(&str, u64)],
        call: impl FnOnce() -> Result<(), String>,
    ) -> Result<(), String> {
        let before = self.counters(queue)?;
        call()?;
        let after = self.counters(queue)?;
        let of = |name: &str| {
            expected.iter().find_map(|(other, by)| (*other == name).then_some(*by)).unwrap_or(0)
        };
        for (at, name) in COUNTERS.iter().enumerate() {
            let by = after[at] - before[at];
            if by != of(name) {
                return Err(format!(
                    "{name} of queue {queue} changed by {by} and not {}",
                    of(name)
                ));
            }
        }
        Ok(())
    }
}

fn text(error: io::Error) -> String {
    error.to_string()
}

fn check(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// The payloads of the next frames that arrive, which have as many bytes as `expected`.
fn arrive(receiver: &PacketSocket, expected: &[&[u8]]) -> Result<(), String> {
    for (number, payload) in expected.iter().enumerate() {
        let frame = receiver
            .receive(ARRIVAL)
            .map_err(|error| format!("frame {number} did not arrive: {error}"))?;
        let at = frame.len().saturating_sub(payload.len());
        check(frame[at..] == **payload, &format!("frame {number} has other bytes"))?;
    }
    match receiver.receive(NO_ARRIVAL) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(text(error)),
        Ok(_) => Err("one more frame arrived".into()),
    }
}

/// Bytes that differ from frame to frame.
fn payload(number: u8, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at as u8).wrapping_mul(7).wrapping_add(number)).collect()
}

fn steering(bench: &Bench) -> Result<(), String> {
    let ordinary = [("kernel_packets", 1), ("received", 1)];
    bench.change(0, &[], || bench.counts(&[b"to the queue"], &ordinary))?;
    bench.change(QUEUE, &[], || {
        bench.change(0, &ordinary, || bench.send(OTHER_PORT, Kind::Data, b"to another port"))
    })
}

fn header_only(bench: &Bench) -> Result<(), String> {
    let expected = [("header_only_packets", 1), ("received", 1)];
    bench.change(QUEUE, &expected, || bench.send(PORT, Kind::Fin, &[]))
}

fn hold(bench: &Bench) -> Result<(), String> {
    let (first, second) = (payload(1, 300), payload(2, 5000));
    let receiver = bench.receiver()?;
    bench.set("hold", 1)?;
    bench.counts(&[&first, &second], &[])?;
    check(bench.get("held")? == 2, "the frames are not held")?;
    arrive(&receiver, &[])?;
    let expected = [("kernel_packets", 2), ("received", 2)];
    bench.change(QUEUE, &expected, || bench.set("hold", 0))?;
    arrive(&receiver, &[&first, &second])
}

fn drop_fault(bench: &Bench) -> Result<(), String> {
    let (first, second) = (payload(1, 100), payload(2, 100));
    let receiver = bench.receiver()?;
    bench.set("drop_next", 1)?;
    let expected = [("dropped_fault", 1), ("kernel_packets", 1), ("received", 2)];
    bench.counts(&[&first, &second], &expected)?;
    arrive(&receiver, &[&second])
}

fn corrupt(bench: &Bench) -> Result<(), String> {
    let sent = payload(1, 5000);
    let receiver = bench.receiver()?;
    bench.set("corrupt_next", 1)?;
    bench.counts(&[&sent, &sent], &[("kernel_packets", 2), ("received", 2)])?;
    let mut corrupted = sent.clone();
    corrupted[0] ^= 0xff;
    arrive(&receiver, &[&corrupted, &sent])
}

fn reverse(bench: &Bench) -> Result<(), String> {
    let frames = [payload(1, 100), payload(2, 200), payload(3, 300), payload(4, 400)];
    let sent = frames.each_ref().map(Vec::as_slice);
    let receiver = bench.receiver()?;
    bench.set("reverse_next", 3)?;
    bench.counts(&sent[..2], &[])?;
    check(bench.get("held")? == 2, "the first two frames do not wait for the third")?;
    bench.counts(&sent[2..], &[("kernel_packets", 4), ("received", 4)])?;
    arrive(&receiver, &[sent[2], sent[1], sent[0], sent[3]])
}

/// While the NIC keeps a reference on its only buffer, another frame has room only behind the first one.
fn share(bench: &Bench) -> Result<(), String> {
    let ordinary = [payload(1, 1000), payload(2, 2000)];
    let sent = ordinary.each_ref().map(Vec::as_slice);
    let receiver = bench.receiver()?;
    bench.set("share_next", 1)?;
    bench.counts(&sent, &[("kernel_packets", 2), ("received", 2)])?;
    arrive(&receiver, &sent)?;
    check(bench.get("share_next")? == 0, "the fault is still to come")?;
    drop(receiver);
    let provider = Provider::register(bench, 1)?;
    bench.set("keep_last", 1)?;
    placed(bench, sent[0])?;
    bench.counts(&[sent[1]], &[("dropped_no_buffer", 1), ("received", 1)])?;
    bench.set("share_next", 1)?;
    placed(bench, sent[1])?;
    bench.set("keep_last", 0)?;
    placed(bench, sent[1])?;
    provider.end(bench)
}

fn restart(bench: &Bench) -> Result<(), String> {
    let works = || bench.counts(&[b"works"], &[("kernel_packets", 1), ("received", 1)]);
    for (fault, errno) in
        [("fail_alloc", libc::ENOMEM), ("fail_start", libc::EIO), ("fail_stop", libc::EIO)]
    {
        bench.set(fault, 1)?;
        let error = bench.nic.restart(QUEUE).err().and_then(|error| error.raw_os_error());
        check(error == Some(errno), &format!("{fault}: the restart returned {error:?}"))?;
        works()?;
        bench.nic.restart(QUEUE).map_err(|error| format!("after {fault}: {error}"))?;
        works()?;
    }
    bench.set("fail_bound_alloc", 1)?;
    bench.nic.restart(QUEUE).map_err(|error| format!("no provider is bound: {error}"))?;
    bench.set("fail_bound_alloc", 0)?;
    bench.set("fail_unbound_alloc", 1)?;
    let error = bench.nic.restart(QUEUE).err().and_then(|error| error.raw_os_error());
    check(error == Some(libc::ENOMEM), &format!("fail_unbound_alloc: {error:?}"))?;
    works()?;
    bench.set("fail_start", 1)?;
    let error = Provider::register(bench, 2).err().unwrap_or_default();
    check(error.ends_with(&format!("-{}", libc::EIO)), "an ifq was registered all the same")?;
    check(!bench.nic.bound(QUEUE).map_err(text)?, "the queue is bound all the same")?;
    works()
}

fn down(bench: &Bench) -> Result<(), String> {
    bench.set_up(false)?;
    bench.counts(&[b"down"], &[("dropped_down", 1), ("received", 1)])?;
    bench.set_up(true)?;
    bench.counts(&[b"up"], &[("kernel_packets", 1), ("received", 1)])
}

/// With a socket that holds a reference to the interface.
fn register(bench: &Bench) -> Result<(), String> {
    let _receiver = bench.receiver()?;
    bench.nic.set_registered(false).map_err(text)?;
    check(bench.nic.receiver_index().map_err(text)? == 0, "it still has an index")?;
    bench.counts(&[b"gone"], &[("dropped_down", 1), ("received", 1)])?;
    bench.nic.set_registered(true).map_err(text)?;
    bench.counts(&[b"down"], &[("dropped_down", 1), ("received", 1)])?;
    bench.set_up(true)?;
    bench.counts(&[b"up"], &[("kernel_packets", 1), ("received", 1)])
}

/// An ifq on the queue, whose buffers nobody but the kernel uses.
struct Provider {
    ring: Ring,
    _area: SharedMem,
    _region: SharedMem,
}

impl Provider {
    /// With so many buffers of one page.
    fn register(bench: &Bench, buffers: usize) -> Result<Self, String> {
        let ring = Ring::new(Setup::default()).map_err(text)?;
        let area = SharedMem::new(buffers * PAGE).map_err(text)?;
        let region = SharedMem::new(2 * PAGE).map_err(text)?;
        let queue = (bench.nic.receiver_index().map_err(text)?, QUEUE);
        ring.register_queue(&area, &region, ENTRIES, queue)
            .map_err(|errno| format!("registering an ifq: {errno}"))?;
        check(bench.nic.bound(QUEUE).map_err(text)?, "the queue is not bound")?;
        Ok(Provider { ring, _area: area, _region: region })
    }

    /// Closes the ring, and waits until the queue has no memory provider any more.
    fn end(self, bench: &Bench) -> Result<(), String> {
        drop(self.ring);
        let start = std::time::Instant::now();
        while bench.nic.bound(QUEUE).map_err(text)? {
            check(start.elapsed() < 10 * ARRIVAL, "the queue is still bound")?;
            std::thread::sleep(NO_ARRIVAL);
        }
        Ok(())
    }
}

/// A frame that goes into buffers of a memory provider.
fn placed(bench: &Bench, payload: &[u8]) -> Result<(), String> {
    let bytes = payload.len() as u64;
    bench.counts(&[payload], &[("placed_packets", 1), ("placed_bytes", bytes), ("received", 1)])
}

fn provider(bench: &Bench) -> Result<(), String> {
    let no_buffer = [("dropped_no_buffer", 1), ("received", 1)];
    let provider = Provider::register(bench, 2)?;
    placed(bench, &payload(1, PAGE))?;
    placed(bench, &payload(2, PAGE + 1))?;
    bench.counts(&[&payload(3, 2 * PAGE + 1)], &no_buffer)?;
    placed(bench, &payload(4, 2 * PAGE))?;
    bench.set("frags_next", 3)?;
    bench.counts(&[b"in three buffers"], &no_buffer)?;
    bench.set("frags_next", 2)?;
    placed(bench, b"in two buffers")?;
    bench.nic.set_file("frag_size", 10).map_err(text)?;
    bench.counts(&[&payload(5, 21)], &no_buffer)?;
    placed(bench, &payload(6, 20))?;
    let header_only = [("header_only_packets", 1), ("received", 1)];
    bench.change(QUEUE, &header_only, || bench.send(PORT, Kind::Fin, &[]))?;
    provider.end(bench)?;
    bench.counts(&[b"ordinary again"], &[("kernel_packets", 1), ("received", 1)])
}

/// Two buffers: both are posted when the queue starts, and none is left for a second packet.
fn prefill(bench: &Bench) -> Result<(), String> {
    bench.nic.set_file("prefill", 2).map_err(text)?;
    let provider = Provider::register(bench, 2)?;
    for number in 0..5 {
        placed(bench, &payload(number, PAGE + 1))?;
    }
    let no_buffer = [("dropped_no_buffer", 1), ("received", 1)];
    bench.counts(&[&payload(9, 2 * PAGE + 1)], &no_buffer)?;
    placed(bench, &payload(1, PAGE + 1))?;
    provider.end(bench)
}

fn provider_restart(bench: &Bench) -> Result<(), String> {
    let provider = Provider::register(bench, 2)?;
    placed(bench, b"first")?;
    bench.set("fail_unbound_alloc", 1)?;
    bench.nic.restart(QUEUE).map_err(|error| format!("restart: {error}"))?;
    bench.set("fail_unbound_alloc", 0)?;
    placed(bench, b"restarted")?;
    bench.set("fail_bound_alloc", 1)?;
    let error = bench.nic.restart(QUEUE).err().and_then(|error| error.raw_os_error());
    check(error == Some(libc::ENOMEM), &format!("fail_bound_alloc: {error:?}"))?;
    placed(bench, b"still there")?;
    bench.set_up(false)?;
    bench.counts(&[b"down"], &[("dropped_down", 1), ("received", 1)])?;
    bench.set("fail_bound_alloc", 1)?;
    check(bench.set_up(true).is_err(), "it came up without memory")?;
    bench.set_up(true)?;
    placed(bench, b"up again")?;
    provider.end(bench)
}

fn provider_unregister(bench: &Bench) -> Result<(), String> {
    let provider = Provider::register(bench, 2)?;
    placed(bench, b"first")?;
    bench.nic.set_registered(false).map_err(text)?;
    check(!bench.nic.bound(QUEUE).map_err(text)?, "the queue is still bound")?;
    bench.counts(&[b"gone"], &[("dropped_down", 1), ("received", 1)])?;
    provider.end(bench)?;
    bench.prepare()?;
    bench.counts(&[b"new"], &[("kernel_packets", 1), ("received", 1)])?;
    let provider = Provider::register(bench, 2)?;
    placed(bench, b"new provider")?;
    provider.end(bench)
}
