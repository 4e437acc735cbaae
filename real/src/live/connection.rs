//! A TCP connection over loopback or over the device: one socket receives through zcrx, its far end sends.

use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use ifq_model::net::layout::Layout;
use socket2::SockRef;

use super::device::{DevicePeer, Watch};
use super::far_end::{ARRIVAL, FarEnd};
use super::far_socket::Socket;
use super::payload;
use super::sender::Sender;
use crate::abi::syscall;

/// Size of the receive buffer in bytes; more than any test leaves unread.
pub(super) const RECEIVE_BUFFER: usize = 4 << 20;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    number: u8,
    /// `None`: the test has closed the near end.
    receiver: RwLock<Option<TcpStream>>,
    far_end: Mutex<FarEnd>,
    received: Mutex<Received>,
}

/// The parts of the stream that were received.
#[derive(Debug)]
struct Received {
    /// Whether a single ring receives, so that parts arrive in order.
    in_order: bool,
    /// The position at which the stream of this run starts.
    begin: u64,
    /// The parts, in the order of arrival.
    parts: Vec<Part>,
}

/// The bytes of one completion.
#[derive(Clone, Debug)]
struct Part {
    /// Candidate positions in the stream: a short part can match at several positions.
    positions: Vec<u64>,
    len: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens the listening socket.
///
/// # Errors
///
/// Those of `socket(2)`, `bind(2)` and `listen(2)`.
pub(super) fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    // Set before the handshake, so that the window can grow to it. Without the privilege for this size
    // the default is enough for most tests.
    let _ = SockRef::from(&listener).set_recv_buffer_size(RECEIVE_BUFFER);
    Ok(listener)
}

impl Connection {
    /// Connects. `in_order`: a single ring will receive.
    pub(super) fn new(
        number: u8,
        in_order: bool,
        listener: &TcpListener,
        sender: &Arc<Sender>,
    ) -> io::Result<Self> {
        let peer = TcpStream::connect(listener.local_addr()?)?;
        let (receiver, _) = listener.accept()?;
        Connection::of_sockets(number, in_order, peer, receiver, sender)
    }

    /// A connection between two sockets of the kernel. `in_order`: a single ring will receive.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    pub(super) fn of_sockets(
        number: u8,
        in_order: bool,
        peer: TcpStream,
        receiver: TcpStream,
        sender: &Arc<Sender>,
    ) -> io::Result<Self> {
        peer.set_nodelay(true)?;
        peer.set_write_timeout(Some(ARRIVAL))?;
        // Closing sends a reset, so that thousands of repetitions leave no port in TIME_WAIT.
        SockRef::from(&peer).set_linger(Some(Duration::ZERO))?;
        let (stream, sender) = (Arc::new(peer), Arc::clone(sender));
        Connection::with_far_socket(number, in_order, Socket::Here { stream, sender }, receiver)
    }

    /// A connection to a socket that is prepared.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    pub(super) fn with_far_socket(
        number: u8,
        in_order: bool,
        far: Socket,
        receiver: TcpStream,
    ) -> io::Result<Self> {
        SockRef::from(&receiver).set_linger(Some(Duration::ZERO))?;
        Ok(Connection::of(number, in_order, receiver, FarEnd::over_tcp(number, far)))
    }

    /// A connection over the device.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    pub(super) fn over_device(
        number: u8,
        in_order: bool,
        peer: DevicePeer,
        receiver: TcpStream,
    ) -> io::Result<Self> {
        // Closing leaves no connection that tries to end in order.
        SockRef::from(&receiver).set_linger(Some(Duration::ZERO))?;
        Ok(Connection::of(number, in_order, receiver, FarEnd::over_device(number, peer)))
    }

    /// The same connection, over the NIC of a rig.
    pub(super) fn watched(self, watch: Watch) -> Self {
        lock(&self.far_end).watch = Some(watch);
        self
    }

    fn of(number: u8, in_order: bool, receiver: TcpStream, far_end: FarEnd) -> Self {
        Connection {
            number,
            receiver: RwLock::new(Some(receiver)),
            far_end: Mutex::new(far_end),
            received: Mutex::new(Received { in_order, begin: 0, parts: Vec::new() }),
        }
    }

    /// The number of the socket in the test.
    pub(super) fn number(&self) -> u8 {
        self.number
    }

    /// Whether its far end writes frames to the device. It serves one run.
    pub(super) fn is_over_device(&self) -> bool {
        lock(&self.far_end).is_over_device()
    }

    /// The connection for another run; unread bytes are discarded. `None`: its stream has ended or is
    /// inconsistent, or it is one over the device. No ring may have a request on it.
    pub(super) fn recycled(self) -> Option<Self> {
        let sent = {
            let far_end = lock(&self.far_end);
            if !far_end.is_reusable() {
                return None;
            }
            far_end.sent
        };
        let mut received = lock(&self.received);
        let taken: u64 = received.parts.iter().map(|part| part.len).sum();
        let mut left = sent.checked_sub(received.begin + taken)?;
        let guard = self.receiver();
        let mut receiver = guard.as_ref()?;
        receiver.set_nonblocking(true).ok()?;
        let mut bytes = [0; 4096];
        while left > 0 {
            // The data of completions that were never reaped is gone.
            match receiver.read(&mut bytes) {
                Ok(0) => return None,
                Ok(read) => left = left.checked_sub(read as u64)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return None,
            }
        }
        received.begin = sent;
        received.parts.clear();
        drop(received);
        drop(guard);
        Some(self)
    }

    /// The receiving socket, which stays open while the guard lives. `None`: it is closed.
    pub(super) fn receiver(&self) -> RwLockReadGuard<'_, Option<TcpStream>> {
        self.receiver.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the descriptor of the receiving socket: 0 or -EBADF.
    pub(super) fn close_receiver(&self) -> i64 {
        match self.receiver.write().unwrap_or_else(PoisonError::into_inner).take() {
            Some(_) => 0,
            None => -i64::from(libc::EBADF),
        }
    }

    /// Sends the next bytes of the stream and waits until they are in the receive queue: 0 or -errno.
    /// `layout`: over the device, how they lie in packets and buffers. `before` is called with the number of each
    /// packet that is about to be written to the device.
    pub(super) fn send(&self, len: u32, layout: Layout, before: &dyn Fn(u64)) -> i64 {
        if !layout.is_pages() || !self.is_over_device() {
            return lock(&self.far_end).send(&self.receiver(), len, layout);
        }
        // Another thread may end the stream between two packets.
        for (number, part) in (0..).zip(layout.parts(len, syscall::PAGE as u32)) {
            before(number);
            let sent = lock(&self.far_end).send(&self.receiver(), part, layout);
            if sent != 0 {
                return sent;
            }
        }
        0
    }

    /// Ends the stream and waits until the receiver has seen it: 0 or -errno.
    pub(super) fn shutdown(&self) -> i64 {
        let mut far_end = lock(&self.far_end);
        far_end.shutdown(&self.receiver())
    }

    /// Resets the connection and waits until the receiver has seen it: 0 or -errno.
    pub(super) fn reset(&self) -> i64 {
        let mut far_end = lock(&self.far_end);
        far_end.reset(&self.receiver())
    }

    /// Finds the position of received bytes in the stream and records them. `None`: they were not sent, or
    /// were received before.
    pub(super) fn accept(&self, bytes: &[u8]) -> Option<u64> {
        let far_end = lock(&self.far_end);
        let mut received = lock(&self.received);
        let part = received.place(self.number, bytes, far_end.sent)?;
        let position = part.positions.first().copied();
        if let Some(position) = position {
            far_end.received(position);
        }
        received.parts.push(part);
        position
    }
}

impl Received {
    fn place(&self, socket: u8, bytes: &[u8], sent: u64) -> Option<Part> {
        let len = bytes.len() as u64;
        let fits = |position: u64| {
            position + len <= sent
                && bytes.iter().zip(position..).all(|(byte, at)| *byte == payload::byte(socket, at))
        };
        if self.in_order {
            let next = self.begin + self.parts.iter().map(|part| part.len).sum::<u64>();
            return fits(next).then(|| Part { positions: vec![next], len });
        }
        // Several rings receive from the socket, and their completions are reaped in any order.
        let positions = (self.begin..=sent.saturating_sub(len)).filter(|at| fits(*at)).collect();
        let part = Part { positions, len };
        let mut all: Vec<&Part> = self.parts.iter().chain([&part]).collect();
        // Parts with few candidates first, to backtrack early.
        all.sort_by_key(|part| part.positions.len());
        have_disjoint_positions(&all, &mut Vec::new()).then_some(part)
    }
}

/// Whether each part can be placed without overlapping another part or a taken range.
fn have_disjoint_positions(parts: &[&Part], taken: &mut Vec<(u64, u64)>) -> bool {
    let Some((part, rest)) = parts.split_first() else { return true };
    part.positions.iter().any(|begin| {
        let end = begin + part.len;
        let free = taken.iter().all(|(other, other_end)| end <= *other || *other_end <= *begin);
        if !free {
            return false;
        }
        taken.push((*begin, end));
        let fit = have_disjoint_positions(rest, taken);
        taken.pop();
        fit
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect(number: u8, in_order: bool) -> Connection {
        let sender = Arc::new(Sender::default());
        Connection::new(number, in_order, &listen().unwrap(), &sender).unwrap()
    }

    #[test]
    fn sent_bytes_are_in_the_receive_queue_when_send_returns() {
        let connection = connect(0, true);
        assert_eq!(connection.send(100, Layout::Pages, &|_| {}), 0);
        assert_eq!(connection.send(5000, Layout::Pages, &|_| {}), 0);
        let guard = connection.receiver();
        let mut receiver = guard.as_ref().unwrap();
        receiver.set_nonblocking(true).unwrap();
        let mut bytes = vec![0; 5100];
        receiver.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, payload::bytes(0, 0, 5100));
        assert_eq!(connection.shutdown(), 0);
        assert_eq!(receiver.read(&mut bytes).unwrap(), 0, "the end of the stream");
        assert_eq!(connection.send(1, Layout::Pages, &|_| {}), -i64::from(libc::EPIPE));
    }

    #[test]
    fn the_peer_is_reset_when_the_near_end_is_closed() {
        let epipe = -i64::from(libc::EPIPE);
        for last in [
            |c: &Connection| c.send(1, Layout::Pages, &|_| {}),
            |c: &Connection| c.shutdown(),
            |c: &Connection| c.reset(),
        ] {
            let connection = connect(0, true);
            assert_eq!(connection.send(100, Layout::Pages, &|_| {}), 0);
            let held = connection.receiver().as_ref().unwrap().try_clone().unwrap();
            assert_eq!(connection.close_receiver(), 0);
            assert_eq!(connection.close_receiver(), -i64::from(libc::EBADF));
            assert_eq!(connection.send(100, Layout::Pages, &|_| {}), 0, "a reference is left");
            drop(held);
            assert_eq!(
                (last(&connection), connection.send(1, Layout::Pages, &|_| {})),
                (epipe, epipe)
            );
            assert!(connection.recycled().is_none(), "its near end is closed");
        }
    }

    #[test]
    fn a_single_receiver_must_get_the_stream_in_order() {
        let connection = connect(2, true);
        assert_eq!(connection.send(64, Layout::Pages, &|_| {}), 0);
        assert_eq!(connection.accept(&payload::bytes(2, 0, 10)), Some(0));
        assert_eq!(connection.accept(&payload::bytes(2, 20, 10)), None, "ten bytes are missing");
        assert_eq!(connection.accept(&payload::bytes(2, 10, 10)), Some(10));
        assert_eq!(connection.accept(&payload::bytes(2, 10, 10)), None, "received before");
        assert_eq!(connection.accept(&payload::bytes(2, 20, 60)), None, "more than was sent");
        assert_eq!(connection.accept(&payload::bytes(1, 20, 10)), None, "another connection's");
    }

    #[test]
    fn several_receivers_may_get_parts_in_any_order_but_no_part_twice() {
        let connection = connect(1, false);
        assert_eq!(connection.send(64, Layout::Pages, &|_| {}), 0);
        assert_eq!(connection.accept(&payload::bytes(1, 32, 32)), Some(32));
        assert_eq!(connection.accept(&payload::bytes(1, 0, 32)), Some(0));
        assert_eq!(connection.accept(&payload::bytes(1, 32, 32)), None);
    }

    #[test]
    fn a_byte_that_also_matches_earlier_does_not_occupy_the_earlier_position() {
        let of_socket = |at| payload::byte(1, at);
        let repeats = |at: &u64| (0..*at).any(|earlier| of_socket(earlier) == of_socket(*at));
        let later = (32..4096).find(repeats).expect("a byte value repeats");
        let connection = connect(1, false);
        assert_eq!(connection.send(4096, Layout::Pages, &|_| {}), 0);
        assert!(connection.accept(&payload::bytes(1, later, 1)).is_some());
        assert_eq!(connection.accept(&payload::bytes(1, 0, later as usize)), Some(0));
        assert_eq!(
            connection.accept(&payload::bytes(1, 0, later as usize)),
            None,
            "received before"
        );
    }

    #[test]
    fn a_recycled_connection_starts_where_the_last_run_ended() {
        let connection = connect(0, true);
        assert_eq!(connection.send(100, Layout::Pages, &|_| {}), 0);
        assert_eq!(
            connection.receiver().as_ref().unwrap().read(&mut [0; 40]).unwrap(),
            40,
            "as a ring would"
        );
        assert_eq!(connection.accept(&payload::bytes(0, 0, 40)), Some(0));
        let connection = connection.recycled().expect("it can be used again");
        assert_eq!(connection.accept(&payload::bytes(0, 40, 60)), None, "discarded");
        assert_eq!(connection.send(50, Layout::Pages, &|_| {}), 0);
        assert_eq!(connection.accept(&payload::bytes(0, 100, 50)), Some(100));
        assert_eq!(connection.shutdown(), 0);
        assert!(connection.recycled().is_none(), "its stream has ended");
    }
}
