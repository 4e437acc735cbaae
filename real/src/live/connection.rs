//! A TCP connection over loopback or over the device: one socket receives through zcrx, its peer sends.

use std::io::{self, Read};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::device::DevicePeer;
use super::payload;
use super::sender::Sender;
use crate::abi::{syscall, uapi};

/// Longest time that bytes may need to arrive.
const ARRIVAL: Duration = Duration::from_secs(2);
/// Size of the receive buffer in bytes; more than any test leaves unread.
pub(super) const RECEIVE_BUFFER: usize = 4 << 20;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    number: u8,
    receiver: TcpStream,
    peer: Mutex<PeerSocket>,
    received: Mutex<Received>,
}

#[derive(Debug)]
struct PeerSocket {
    end: FarEnd,
    sent: u64,
    /// Whether its stream has ended, by a FIN or a reset.
    ended: bool,
    reset: bool,
}

/// What sends.
#[derive(Debug)]
enum FarEnd {
    /// A socket of the kernel, over loopback. `None`: it is closed.
    Loopback { stream: Option<Arc<TcpStream>>, sender: Arc<Sender> },
    /// This program, frame by frame.
    Device(DevicePeer),
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
        peer.set_nodelay(true)?;
        peer.set_write_timeout(Some(ARRIVAL))?;
        for end in [&peer, &receiver] {
            // Closing sends a reset, so that thousands of repetitions leave no port in TIME_WAIT.
            SockRef::from(end).set_linger(Some(Duration::ZERO))?;
        }
        let end = FarEnd::Loopback { stream: Some(Arc::new(peer)), sender: Arc::clone(sender) };
        Ok(Connection::of(number, in_order, receiver, end))
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
        Ok(Connection::of(number, in_order, receiver, FarEnd::Device(peer)))
    }

    fn of(number: u8, in_order: bool, receiver: TcpStream, end: FarEnd) -> Self {
        Connection {
            number,
            receiver,
            peer: Mutex::new(PeerSocket { end, sent: 0, ended: false, reset: false }),
            received: Mutex::new(Received { in_order, begin: 0, parts: Vec::new() }),
        }
    }

    /// The number of the socket in the test.
    pub(super) fn number(&self) -> u8 {
        self.number
    }

    /// The connection for another run; unread bytes are discarded. `None`: its stream has ended or is
    /// inconsistent, or it is one over the device, which a run may have taken down. No ring may have a request
    /// on it.
    pub(super) fn recycled(self) -> Option<Self> {
        let (ended, sent) = {
            let peer = lock(&self.peer);
            if matches!(peer.end, FarEnd::Device(_)) {
                return None;
            }
            (peer.ended, peer.sent)
        };
        let mut received = lock(&self.received);
        let taken: u64 = received.parts.iter().map(|part| part.len).sum();
        let mut left = sent.checked_sub(received.begin + taken)?;
        self.receiver.set_nonblocking(true).ok()?;
        let mut bytes = [0; 4096];
        while left > 0 {
            // The data of completions that were never reaped is gone.
            match (&self.receiver).read(&mut bytes) {
                Ok(0) => return None,
                Ok(read) => left = left.checked_sub(read as u64)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return None,
            }
        }
        received.begin = sent;
        received.parts.clear();
        drop(received);
        (!ended).then_some(self)
    }

    /// The descriptor of the receiving socket.
    pub(super) fn receiver_fd(&self) -> RawFd {
        self.receiver.as_raw_fd()
    }

    /// Sends the next bytes of the stream and waits until they are in the receive queue: 0 or -errno. Over the
    /// device each packet has at most one page of payload.
    pub(super) fn send(&self, len: u32) -> i64 {
        let mut peer = lock(&self.peer);
        let PeerSocket { end, sent, ended, .. } = &mut *peer;
        match end {
            FarEnd::Loopback { stream: None, .. } => return -i64::from(libc::EPIPE),
            FarEnd::Loopback { stream: Some(stream), sender } => {
                let bytes = payload::bytes(self.number, *sent, len as usize);
                match sender.send(stream, bytes) {
                    Ok(()) => *sent += u64::from(len),
                    Err(error) => return negative(&error),
                }
            }
            FarEnd::Device(_) if *ended => return -i64::from(libc::EPIPE),
            FarEnd::Device(peer) => {
                let mut left = len as usize;
                while left > 0 {
                    let chunk = left.min(syscall::PAGE);
                    if let Err(errno) = peer.send(&payload::bytes(self.number, *sent, chunk)) {
                        return errno;
                    }
                    (*sent, left) = (*sent + chunk as u64, left - chunk);
                }
            }
        }
        let sent = *sent;
        self.arrived(|info| bytes_received(info) >= sent)
    }

    /// Ends the stream and waits until the receiver has seen it: 0 or -errno.
    pub(super) fn shutdown(&self) -> i64 {
        let mut peer = lock(&self.peer);
        let PeerSocket { end, reset, ended, .. } = &mut *peer;
        if *reset {
            return -i64::from(libc::EPIPE);
        }
        let closed = match end {
            FarEnd::Loopback { stream: None, .. } => return -i64::from(libc::EPIPE),
            FarEnd::Loopback { stream: Some(stream), .. } => {
                stream.shutdown(Shutdown::Write).map_err(|error| negative(&error))
            }
            // A second FIN would be out of the window.
            FarEnd::Device(_) if *ended => Ok(()),
            FarEnd::Device(peer) => peer.finish(),
        };
        if let Err(errno) = closed {
            return errno;
        }
        *ended = true;
        self.arrived(|info| info[uapi::TCP_INFO_STATE] == uapi::TCP_CLOSE_WAIT)
    }

    /// Closes the peer's socket, which sends a reset, and waits until the receiver has seen it: 0 or
    /// -errno.
    pub(super) fn reset(&self) -> i64 {
        let mut peer = lock(&self.peer);
        let PeerSocket { end, reset, ended, .. } = &mut *peer;
        if *reset {
            return -i64::from(libc::EPIPE);
        }
        match end {
            FarEnd::Loopback { stream, .. } => drop(stream.take()),
            FarEnd::Device(peer) => {
                if let Err(errno) = peer.reset() {
                    return errno;
                }
            }
        }
        (*reset, *ended) = (true, true);
        self.arrived(|info| info[uapi::TCP_INFO_STATE] == uapi::TCP_CLOSE)
    }

    fn arrived(&self, is_there: impl Fn(&[u8; 256]) -> bool) -> i64 {
        let start = Instant::now();
        loop {
            match syscall::tcp_info(self.receiver.as_fd()) {
                Ok(info) if is_there(&info) => return 0,
                Ok(_) if start.elapsed() > ARRIVAL => return -i64::from(libc::ETIMEDOUT),
                Ok(_) => std::thread::sleep(Duration::from_micros(100)),
                Err(error) => return negative(&error),
            }
        }
    }

    /// Finds the position of received bytes in the stream and records them. `None`: they were not sent, or
    /// were received before.
    pub(super) fn accept(&self, bytes: &[u8]) -> Option<u64> {
        let peer = lock(&self.peer);
        let mut received = lock(&self.received);
        let part = received.place(self.number, bytes, peer.sent)?;
        let position = part.positions.first().copied();
        if let (FarEnd::Device(peer), Some(position)) = (&peer.end, position) {
            peer.received(position);
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

fn bytes_received(info: &[u8; 256]) -> u64 {
    let at = uapi::TCP_INFO_BYTES_RECEIVED;
    let mut word = [0; 8];
    word.copy_from_slice(&info[at..at + 8]);
    u64::from_ne_bytes(word)
}

fn negative(error: &io::Error) -> i64 {
    let errno = match (error.raw_os_error(), error.kind()) {
        (Some(errno), _) => errno,
        (None, io::ErrorKind::WriteZero) => libc::EAGAIN,
        (None, _) => libc::EIO,
    };
    -i64::from(errno)
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
        assert_eq!(connection.send(100), 0);
        assert_eq!(connection.send(5000), 0);
        connection.receiver.set_nonblocking(true).unwrap();
        let mut bytes = vec![0; 5100];
        (&connection.receiver).read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, payload::bytes(0, 0, 5100));
        assert_eq!(connection.shutdown(), 0);
        assert_eq!((&connection.receiver).read(&mut bytes).unwrap(), 0, "the end of the stream");
        assert_eq!(connection.send(1), -i64::from(libc::EPIPE));
    }

    #[test]
    fn a_single_receiver_must_get_the_stream_in_order() {
        let connection = connect(2, true);
        assert_eq!(connection.send(64), 0);
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
        assert_eq!(connection.send(64), 0);
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
        assert_eq!(connection.send(4096), 0);
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
        assert_eq!(connection.send(100), 0);
        assert_eq!((&connection.receiver).read(&mut [0; 40]).unwrap(), 40, "as a ring would");
        assert_eq!(connection.accept(&payload::bytes(0, 0, 40)), Some(0));
        let connection = connection.recycled().expect("it can be used again");
        assert_eq!(connection.accept(&payload::bytes(0, 40, 60)), None, "discarded");
        assert_eq!(connection.send(50), 0);
        assert_eq!(connection.accept(&payload::bytes(0, 100, 50)), Some(100));
        assert_eq!(connection.shutdown(), 0);
        assert!(connection.recycled().is_none(), "its stream has ended");
    }
}
