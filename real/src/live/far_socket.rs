//! The socket of a far end: on this host, or on the host of a rig's peer.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;

use super::device::FarSocket;
use super::sender::Sender;
use crate::abi::syscall;

/// The socket. Dropping it resets the connection.
#[derive(Debug)]
pub(super) enum Socket {
    /// On this host.
    Here { stream: Arc<TcpStream>, sender: Arc<Sender> },
    /// On the host of the peer.
    There(FarSocket),
}

impl Socket {
    /// Sends bytes.
    pub(super) fn send(&self, bytes: Vec<u8>) -> io::Result<()> {
        match self {
            Socket::Here { stream, sender } => sender.send(stream, bytes),
            Socket::There(socket) => socket.send(bytes),
        }
    }

    /// Ends the stream.
    pub(super) fn shutdown(&self) -> io::Result<()> {
        match self {
            Socket::Here { stream, .. } => stream.shutdown(Shutdown::Write),
            Socket::There(socket) => socket.shutdown(),
        }
    }

    /// `struct tcp_info`.
    pub(super) fn info(&self) -> io::Result<[u8; 256]> {
        match self {
            Socket::Here { stream, .. } => syscall::tcp_info(stream.as_fd()),
            Socket::There(socket) => socket.info(),
        }
    }
}
