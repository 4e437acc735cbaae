//! What the program on a rig and the program on its peer's host say to each other, as JSON lines of a TCP connection
//! over the link between them. The program on the peer's host makes the connection.

use std::io;
use std::net::SocketAddrV4;

use serde::{Deserialize, Serialize};

/// What the peer's host says first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The largest IP packet of its interface.
    pub mtu: u32,
}

/// What the peer's host is asked for. It answers each order with one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Connect to this address; the answer has the number of the connection.
    Connect(SocketAddrV4),
    /// Send bytes.
    Send(u32, Vec<u8>),
    /// End the stream.
    Shutdown(u32),
    /// Close the connection with a reset.
    Close(u32),
    /// `TCP_INFO` of the connection.
    Info(u32),
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Done {
    /// It is done.
    Ok,
    /// The number of the new connection, and its port.
    Connected(u32, u16),
    /// `TCP_INFO`.
    Info(Vec<u8>),
    /// The positive error number of a system call.
    Failed(i32),
}

/// The answer that an error is.
#[must_use]
pub fn failed(error: &io::Error) -> Done {
    // A write that timed out has no error number of its own.
    Done::Failed(error.raw_os_error().unwrap_or(match error.kind() {
        io::ErrorKind::WriteZero | io::ErrorKind::WouldBlock => libc::EAGAIN,
        _ => libc::EIO,
    }))
}
