//! Packet sockets (`AF_PACKET`): whole frames go out through one network interface.
#![allow(unsafe_code)]

use std::io::{self, Read};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Bytes of the largest frame.
const LARGEST: usize = 1 << 16;

/// A packet socket on one interface. One that only sends has protocol 0, so the kernel delivers no frame to it.
#[derive(Debug)]
pub struct PacketSocket(Socket);

impl PacketSocket {
    /// Opens a packet socket on the interface with this index.
    ///
    /// # Errors
    ///
    /// Those of `socket(2)` and `bind(2)`: `EPERM` without `CAP_NET_RAW`, `ENODEV` if there is no such interface.
    pub fn open(ifindex: u32) -> io::Result<Self> {
        PacketSocket::with_protocol(ifindex, 0)
    }

    /// Opens a packet socket that also receives each IPv4 packet which arrives at the interface.
    ///
    /// # Errors
    ///
    /// As [`PacketSocket::open`].
    pub fn receiving(ifindex: u32) -> io::Result<Self> {
        PacketSocket::with_protocol(ifindex, libc::ETH_P_IP as u16)
    }

    fn with_protocol(ifindex: u32, protocol: u16) -> io::Result<Self> {
        // 0 until it is bound: it would receive from all interfaces.
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
        bind(&socket, ifindex, protocol)?;
        Ok(PacketSocket(socket))
    }

    /// The next frame that arrives, from its link-layer header on.
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`: `EAGAIN` if none arrives within `limit`.
    pub fn receive(&self, limit: Duration) -> io::Result<Vec<u8>> {
        self.0.set_read_timeout(Some(limit))?;
        let mut frame = vec![0; LARGEST];
        let length = (&self.0).read(&mut frame)?;
        frame.truncate(length);
        Ok(frame)
    }

    /// The next frame that has arrived, from its link-layer header on. `None`: there is none.
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`.
    pub fn receive_now(&self) -> io::Result<Option<Vec<u8>>> {
        self.0.set_nonblocking(true)?;
        let mut frame = vec![0; LARGEST];
        match (&self.0).read(&mut frame) {
            Ok(length) => {
                frame.truncate(length);
                Ok(Some(frame))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a frame, from its link-layer header on.
    ///
    /// # Errors
    ///
    /// Those of `send(2)`: `ENETDOWN` if the interface is down, `ENXIO` if it is gone.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        let sent = self.0.send(frame)?;
        if sent == frame.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}

/// Binds a packet socket to the interface with this index and to a protocol.
pub(super) fn bind(socket: &Socket, ifindex: u32, protocol: u16) -> io::Result<()> {
    // SAFETY: a `sockaddr_ll` fits into the storage and is valid there; all its other fields stay zero.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, len| {
            let link = storage.cast::<libc::sockaddr_ll>();
            (*link).sll_family = libc::AF_PACKET as libc::c_ushort;
            (*link).sll_protocol = protocol.to_be();
            (*link).sll_ifindex = ifindex.cast_signed();
            *len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            Ok(())
        })
    }?;
    socket.bind(&address)
}
