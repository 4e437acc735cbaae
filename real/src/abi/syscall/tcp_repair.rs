//! Connections in repair mode (`TCP_REPAIR`, `net/ipv4/tcp.c`): a socket is established without a handshake,
//! so that its peer can be a program that writes every segment itself.
#![allow(unsafe_code)]

use std::io;
use std::net::{SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

use socket2::{Domain, SockAddr, Socket, Type};

/// `TCP_REPAIR_ON` and `TCP_REPAIR_OFF_NO_WP`, off without a window probe.
const REPAIR_ON: libc::c_int = 1;
const REPAIR_OFF_NO_WP: libc::c_int = -1;
/// `TCP_RECV_QUEUE`, `TCP_SEND_QUEUE`.
const RECV_QUEUE: libc::c_int = 1;
const SEND_QUEUE: libc::c_int = 2;

/// The next sequence numbers of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Of the bytes that the socket receives.
    pub receive: u32,
    /// Of the bytes that the socket sends.
    pub send: u32,
}

/// An established connection from `local` to `peer`. No packet is sent. `receive_buffer`: bytes, above the
/// system's limit, too.
///
/// # Errors
///
/// Those of `socket(2)`, `setsockopt(2)`, `bind(2)`, `connect(2)`: `EPERM` without `CAP_NET_ADMIN`, `ENETUNREACH`
/// without a route to the peer.
pub fn connected(
    local: SocketAddrV4,
    peer: SocketAddrV4,
    sequence: Sequence,
    receive_buffer: usize,
) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let fd = socket.as_raw_fd();
    let bytes = libc::c_int::try_from(receive_buffer).unwrap_or(libc::c_int::MAX);
    set(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, bytes)?;
    set(fd, libc::IPPROTO_TCP, libc::TCP_REPAIR, REPAIR_ON)?;
    for (queue, next) in [(RECV_QUEUE, sequence.receive), (SEND_QUEUE, sequence.send)] {
        set(fd, libc::IPPROTO_TCP, libc::TCP_REPAIR_QUEUE, queue)?;
        set(fd, libc::IPPROTO_TCP, libc::TCP_QUEUE_SEQ, next.cast_signed())?;
    }
    socket.bind(&SockAddr::from(local))?;
    socket.connect(&SockAddr::from(peer))?;
    set(fd, libc::IPPROTO_TCP, libc::TCP_REPAIR, REPAIR_OFF_NO_WP)?;
    Ok(socket.into())
}

fn set(fd: RawFd, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the kernel reads one `int`.
    let ret = unsafe {
        libc::setsockopt(
            fd,
            level,
            option,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if ret == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_repaired_connection_is_established_without_a_packet() {
        let at = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        // Nobody listens at the peer's port: a handshake would fail.
        match connected(at(40_001), at(40_002), Sequence { receive: 7, send: 9 }, 1 << 20) {
            Ok(stream) => assert_eq!(stream.peer_addr().unwrap().port(), 40_002),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EPERM), "{error}"),
        }
    }
}
