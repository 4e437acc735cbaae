//! The far ends of connections on another host than the NIC of a rig.

use std::fmt;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use crate::rig::far_end::{Done, Hello, Order};

/// Time in which the peer's host has to connect.
const MEETING: Duration = Duration::from_secs(60);
/// Longest time of an answer: a handshake, and a write.
const ANSWER: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// The connection to the program on the peer's host.
#[derive(Debug)]
pub(super) struct FarHost {
    stream: Mutex<BufReader<TcpStream>>,
    /// The largest IP packet of the peer's interface.
    pub(super) mtu: u32,
    lost: AtomicBool,
}

impl FarHost {
    /// Waits for the connection of the peer.
    pub(super) fn meet(listener: &TcpListener, peer: Ipv4Addr) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let start = Instant::now();
        loop {
            match listener.accept() {
                Ok((stream, from)) if from.ip() == IpAddr::V4(peer) => {
                    stream.set_nonblocking(false)?;
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(ANSWER))?;
                    stream.set_write_timeout(Some(ANSWER))?;
                    let mut stream = BufReader::new(stream);
                    let Hello { mtu } = line(&mut stream)?;
                    let lost = AtomicBool::new(false);
                    return Ok(FarHost { stream: Mutex::new(stream), mtu, lost });
                }
                // Not the peer.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if start.elapsed() > MEETING {
                        return Err(io::Error::other(format!(
                            "the peer's host did not connect within {} s",
                            MEETING.as_secs()
                        )));
                    }
                    std::thread::sleep(POLL);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether an order had no answer.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// The peer connects to an address: the far end, and its port.
    pub(super) fn connect(self: &Arc<Self>, near: SocketAddrV4) -> io::Result<(FarSocket, u16)> {
        match self.order(&Order::Connect(near))? {
            Done::Connected(number, port) => {
                Ok((FarSocket { host: Arc::clone(self), number }, port))
            }
            other => Err(unexpected(&other)),
        }
    }

    fn order(&self, order: &Order) -> io::Result<Done> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = serde_json::to_vec(order)?;
        text.push(b'\n');
        let written = stream.get_mut().write_all(&text);
        match written.and_then(|()| line(&mut stream)) {
            Ok(Done::Failed(errno)) => Err(io::Error::from_raw_os_error(errno)),
            Ok(done) => Ok(done),
            Err(error) => {
                self.lost.store(true, Ordering::Relaxed);
                Err(error)
            }
        }
    }
}

fn line<T: DeserializeOwned>(stream: &mut BufReader<TcpStream>) -> io::Result<T> {
    let mut text = String::new();
    stream.read_line(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

fn unexpected(done: &Done) -> io::Error {
    io::Error::other(format!("the peer's host answered {done:?}"))
}

/// A socket on the peer's host. Dropping it resets the connection.
pub(in crate::live) struct FarSocket {
    host: Arc<FarHost>,
    number: u32,
}

impl fmt::Debug for FarSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FarSocket({})", self.number)
    }
}

impl FarSocket {
    /// Sends bytes.
    pub(in crate::live) fn send(&self, bytes: Vec<u8>) -> io::Result<()> {
        self.host.order(&Order::Send(self.number, bytes)).map(drop)
    }

    /// Ends the stream.
    pub(in crate::live) fn shutdown(&self) -> io::Result<()> {
        self.host.order(&Order::Shutdown(self.number)).map(drop)
    }

    /// `TCP_INFO`.
    pub(in crate::live) fn info(&self) -> io::Result<[u8; 256]> {
        match self.host.order(&Order::Info(self.number))? {
            Done::Info(info) => info.try_into().map_err(|_| io::ErrorKind::InvalidData.into()),
            other => Err(unexpected(&other)),
        }
    }
}

impl Drop for FarSocket {
    fn drop(&mut self) {
        // A connection that is lost has no sockets any more.
        let _ = self.host.order(&Order::Close(self.number));
    }
}
