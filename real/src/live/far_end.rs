//! The far end of a connection: a socket of the kernel over loopback, or this program over the device.

use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use ifq_model::net::layout::Layout;

use super::device::{DevicePeer, Watch};
use super::far_socket::Socket;
use super::payload;
use crate::abi::{syscall, uapi};

/// Longest time that bytes may need to arrive.
pub(super) const ARRIVAL: Duration = Duration::from_secs(2);

const POLL: Duration = Duration::from_micros(100);

/// `struct tcp_info`.
type TcpInfo = [u8; 256];

/// The far end.
#[derive(Debug)]
pub(super) struct FarEnd {
    /// The number of the socket in the test.
    number: u8,
    kind: Kind,
    /// What the NIC of a rig does with its packets.
    pub(super) watch: Option<Watch>,
    /// Bytes of the stream that were sent.
    pub(super) sent: u64,
    /// Whether its stream has ended, by a FIN or a reset.
    pub(super) ended: bool,
}

#[derive(Debug)]
enum Kind {
    /// `None`: the peer has closed its socket.
    Tcp(Option<Socket>),
    Device {
        peer: DevicePeer,
        reset: bool,
    },
}

const EPIPE: i64 = -(libc::EPIPE as i64);

impl FarEnd {
    /// A socket of a kernel.
    pub(super) fn over_tcp(number: u8, socket: Socket) -> Self {
        FarEnd::of(number, Kind::Tcp(Some(socket)))
    }

    /// This program, frame by frame.
    pub(super) fn over_device(number: u8, peer: DevicePeer) -> Self {
        FarEnd::of(number, Kind::Device { peer, reset: false })
    }

    fn of(number: u8, kind: Kind) -> Self {
        FarEnd { number, kind, watch: None, sent: 0, ended: false }
    }

    /// Whether it writes frames to the device.
    pub(super) fn is_over_device(&self) -> bool {
        matches!(self.kind, Kind::Device { .. })
    }

    /// Whether another run may use it. A run may have taken the device down.
    pub(super) fn is_reusable(&self) -> bool {
        !self.ended && matches!(self.kind, Kind::Tcp(_))
    }

    /// Counts a completion with the bytes from a position of the stream on.
    pub(super) fn received(&self, position: u64) {
        if let Kind::Device { peer, .. } = &self.kind {
            peer.received(position);
        }
        if let Some(watch) = &self.watch {
            watch.received(position);
        }
    }

    /// Sends the next bytes of the stream and waits until they are in the receive queue: 0 or -errno.
    pub(super) fn send(&mut self, receiver: &Option<TcpStream>, len: u32, layout: Layout) -> i64 {
        if self.is_reset_over_device() {
            return EPIPE;
        }
        let (before, bound) = (self.sent, self.watch.as_ref().is_some_and(Watch::is_bound));
        match &mut self.kind {
            Kind::Tcp(None) => return EPIPE,
            Kind::Tcp(Some(socket)) => {
                let bytes = payload::bytes(self.number, self.sent, len as usize);
                match socket.send(bytes) {
                    Ok(()) => self.sent += u64::from(len),
                    Err(error) => return of_peer(receiver, &error),
                }
            }
            Kind::Device { .. } if self.ended => return EPIPE,
            Kind::Device { peer, .. } => {
                let number = self.number;
                let bytes = |from, len: u32| payload::bytes(number, from, len as usize);
                let sent = match layout {
                    Layout::Pages => layout.parts(len, syscall::PAGE as u32).try_for_each(|part| {
                        peer.send(&bytes(self.sent, part))?;
                        self.sent += u64::from(part);
                        Ok(())
                    }),
                    Layout::Frags(nr) => peer
                        .send_in_buffers(&bytes(self.sent, len), nr)
                        .map(|()| self.sent += u64::from(len)),
                    Layout::Packets(_) => {
                        let parts = layout.parts(len, syscall::PAGE as u32).scan(
                            self.sent,
                            |from, part| {
                                let payload = bytes(*from, part);
                                *from += u64::from(part);
                                Some(payload)
                            },
                        );
                        peer.send_in_one_buffer(&parts.collect::<Vec<_>>())
                            .map(|()| self.sent += u64::from(len))
                    }
                };
                if let Err(errno) = sent {
                    return errno;
                }
            }
        }
        let sent = self.sent;
        let result = match receiver {
            Some(receiver) => status(arrived(receiver, |info| bytes_received(info) >= sent)),
            None => self.acknowledged(0),
        };
        if let Some(watch) = &self.watch {
            watch.arrived(before..sent, bound);
        }
        result
    }

    /// Ends the stream and waits until the receiver has seen it: 0 or -errno.
    pub(super) fn shutdown(&mut self, receiver: &Option<TcpStream>) -> i64 {
        if self.is_reset_over_device() {
            return EPIPE;
        }
        let closed = match &mut self.kind {
            Kind::Tcp(None) => return EPIPE,
            Kind::Tcp(Some(socket)) => socket.shutdown().map_err(|error| of_peer(receiver, &error)),
            // The far end does not send a second FIN.
            Kind::Device { .. } if self.ended => Ok(()),
            Kind::Device { peer, .. } => peer.finish(),
        };
        if matches!(self.kind, Kind::Tcp(_)) || closed.is_ok() {
            self.ended = true;
        }
        match (closed, receiver) {
            (Ok(()), Some(receiver)) => {
                let ended = |info: &TcpInfo| state(info) == uapi::TCP_CLOSE_WAIT;
                status(arrived(receiver, ended))
            }
            (Ok(()), None) => self.acknowledged(uapi::TCP_FIN_WAIT2),
            (Err(errno), _) => errno,
        }
    }

    /// Resets the connection and waits until the receiver has seen it: 0 or -errno.
    pub(super) fn reset(&mut self, receiver: &Option<TcpStream>) -> i64 {
        if self.is_reset_over_device() {
            return EPIPE;
        }
        match &mut self.kind {
            Kind::Tcp(socket) => {
                let is_reset = |socket: &Socket| {
                    socket.info().is_ok_and(|info| state(&info) == uapi::TCP_CLOSE)
                };
                let was_reset = socket.as_ref().is_none_or(is_reset);
                drop(socket.take());
                self.ended = true;
                if was_reset {
                    return EPIPE;
                }
            }
            Kind::Device { peer, reset } => {
                if let Err(errno) = peer.reset() {
                    return errno;
                }
                (*reset, self.ended) = (true, true);
            }
        }
        match receiver {
            Some(receiver) => status(arrived(receiver, |info| state(info) == uapi::TCP_CLOSE)),
            // Over loopback the reset has arrived when close() returns.
            None => 0,
        }
    }

    /// Whether the near end has reset a connection over the device.
    fn is_reset_over_device(&mut self) -> bool {
        match &mut self.kind {
            Kind::Tcp(_) => false,
            Kind::Device { peer, reset } => {
                *reset |= peer.is_reset();
                *reset
            }
        }
    }

    /// Waits until all that the peer has sent is acknowledged, by its own socket, because the near end is
    /// closed, or until the peer is reset: 0. `at_least`: the state that this reaches, or zero.
    ///
    /// The call of the peer has succeeded. Over loopback a reset arrives before the close that sends it returns, so
    /// that it would have failed. A reset that comes now is the end of the request that has received what was sent.
    fn acknowledged(&mut self, at_least: u8) -> i64 {
        let socket = match &mut self.kind {
            Kind::Tcp(Some(socket)) => socket,
            Kind::Tcp(None) => return EPIPE,
            Kind::Device { peer, .. } => {
                let start = Instant::now();
                while !peer.is_acknowledged() && !peer.is_reset() {
                    if start.elapsed() > ARRIVAL {
                        return -i64::from(libc::ETIMEDOUT);
                    }
                    std::thread::sleep(POLL);
                }
                return 0;
            }
        };
        let acknowledged = |info: &TcpInfo| {
            state(info) == uapi::TCP_CLOSE
                || unacknowledged(info) == 0 && (at_least == 0 || state(info) == at_least)
        };
        status(reached(&|| socket.info(), acknowledged))
    }
}

/// Waits for a state of a socket, and returns it.
fn arrived(socket: &TcpStream, is_there: impl Fn(&TcpInfo) -> bool) -> Result<TcpInfo, i64> {
    reached(&|| syscall::tcp_info(socket.as_fd()), is_there)
}

fn reached(
    info: &dyn Fn() -> io::Result<TcpInfo>,
    is_there: impl Fn(&TcpInfo) -> bool,
) -> Result<TcpInfo, i64> {
    let start = Instant::now();
    loop {
        match info() {
            Ok(info) if is_there(&info) => return Ok(info),
            Ok(_) if start.elapsed() > ARRIVAL => return Err(-i64::from(libc::ETIMEDOUT)),
            Ok(_) => std::thread::sleep(POLL),
            Err(error) => return Err(negative(&error)),
        }
    }
}

/// 0 or -errno.
fn status(result: Result<TcpInfo, i64>) -> i64 {
    result.map_or_else(|errno| errno, |_| 0)
}

/// The error of a call of the peer. After the near end is closed, the first call says ECONNRESET, the later
/// ones EPIPE or ENOTCONN: the test language has one word for it.
fn of_peer(receiver: &Option<TcpStream>, error: &io::Error) -> i64 {
    let reset = [libc::ECONNRESET, libc::ENOTCONN];
    match error.raw_os_error() {
        Some(errno) if receiver.is_none() && reset.contains(&errno) => EPIPE,
        _ => negative(error),
    }
}

fn state(info: &TcpInfo) -> u8 {
    info[uapi::TCP_INFO_STATE]
}

/// Segments that are sent and not acknowledged.
fn unacknowledged(info: &TcpInfo) -> u32 {
    let at = uapi::TCP_INFO_UNACKED;
    let mut word = [0; 4];
    word.copy_from_slice(&info[at..at + 4]);
    u32::from_ne_bytes(word)
}

fn bytes_received(info: &TcpInfo) -> u64 {
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
