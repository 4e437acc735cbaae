//! Packet sockets (`AF_PACKET`): whole frames go out through one network interface.
#![allow(unsafe_code)]

use std::io;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// A packet socket that only sends. Its protocol is 0, so the kernel delivers no frame to it.
#[derive(Debug)]
pub struct PacketSocket(Socket);

impl PacketSocket {
    /// Opens a packet socket on the interface with this index.
    ///
    /// # Errors
    ///
    /// Those of `socket(2)` and `bind(2)`: `EPERM` without `CAP_NET_RAW`, `ENODEV` if there is no such interface.
    pub fn open(ifindex: u32) -> io::Result<Self> {
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
        // SAFETY: a `sockaddr_ll` fits into the storage and is valid there; all its other fields stay zero.
        let ((), address) = unsafe {
            SockAddr::try_init(|storage, len| {
                let link = storage.cast::<libc::sockaddr_ll>();
                (*link).sll_family = libc::AF_PACKET as libc::c_ushort;
                (*link).sll_ifindex = ifindex.cast_signed();
                *len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
                Ok(())
            })
        }?;
        socket.bind(&address)?;
        Ok(PacketSocket(socket))
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
