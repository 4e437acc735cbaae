//! A packet socket whose received packets the kernel copies into a ring (`PACKET_RX_RING`).
//!
//! It copies what it can read of a packet while the packet passes, and keeps no reference to it. Of a packet in the
//! memory of a provider it can read the headers only.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::Ordering;

use socket2::{Domain, Protocol, Socket, Type};

use super::SharedMem;
use super::packet::bind;

/// `PACKET_RX_RING`, `PACKET_VERSION` and `TPACKET_V2` (`linux/if_packet.h`).
const PACKET_RX_RING: libc::c_int = 5;
const PACKET_VERSION: libc::c_int = 10;
const TPACKET_V2: libc::c_int = 1;
/// The frame belongs to user space.
const TP_STATUS_USER: u32 = 1;
/// Offsets in `struct tpacket2_hdr`: status, length of the packet, bytes that were copied, and the offsets of the
/// link-layer header and the IP header, 16 bits each.
const STATUS: usize = 0;
const LENGTH: usize = 4;
const COPIED: usize = 8;
const OFFSETS: usize = 12;

/// Bytes of a frame of the ring: headers, and some bytes of the payload.
const FRAME: usize = 256;
const BLOCK: usize = 1 << 16;
const BLOCKS: usize = 8;
const FRAMES: usize = BLOCK * BLOCKS / FRAME;

/// `struct tpacket_req`.
#[repr(C)]
struct Request {
    block_size: u32,
    block_nr: u32,
    frame_size: u32,
    frame_nr: u32,
}

/// An IP packet that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// The length of the packet.
    pub length: usize,
    /// The first bytes, as far as the kernel could read them and the ring has room.
    pub bytes: Vec<u8>,
}

/// The socket and its ring.
#[derive(Debug)]
pub struct PacketRing {
    ring: SharedMem,
    next: usize,
    _socket: Socket,
}

impl PacketRing {
    /// Receives from now on each IPv4 packet that arrives at the interface with this index.
    ///
    /// # Errors
    ///
    /// Those of `socket(2)`, `setsockopt(2)`, `mmap(2)` and `bind(2)`: `EPERM` without `CAP_NET_RAW`,
    /// `EAFNOSUPPORT` if the kernel has no packet sockets.
    pub fn open(ifindex: u32) -> io::Result<Self> {
        // From the IP header on. 0 until it is bound: it would receive from all interfaces.
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(0)))?;
        set(&socket, PACKET_VERSION, &TPACKET_V2)?;
        let request = Request {
            block_size: BLOCK as u32,
            block_nr: BLOCKS as u32,
            frame_size: FRAME as u32,
            frame_nr: FRAMES as u32,
        };
        set(&socket, PACKET_RX_RING, &request)?;
        let ring = SharedMem::of_ring(socket.as_raw_fd(), 0, FRAMES * FRAME)?;
        bind(&socket, ifindex, libc::ETH_P_IP as u16)?;
        Ok(PacketRing { ring, next: 0, _socket: socket })
    }

    /// The next packet that has arrived. `None`: there is none.
    pub fn take(&mut self) -> Option<Captured> {
        let at = self.next * FRAME;
        let word = |offset: usize| self.ring.atomic_u32(at + offset);
        if word(STATUS).load(Ordering::Acquire) & TP_STATUS_USER == 0 {
            return None;
        }
        let read = |offset| word(offset).load(Ordering::Relaxed);
        // On x86 the second of two 16-bit words is the upper half.
        let network = (read(OFFSETS) >> 16) as usize;
        let copied = (read(COPIED) as usize).min(FRAME.saturating_sub(network));
        let bytes = self.ring.read(at + network, copied).unwrap_or_default();
        let captured = Captured { length: read(LENGTH) as usize, bytes };
        word(STATUS).store(0, Ordering::Release);
        self.next = (self.next + 1) % FRAMES;
        Some(captured)
    }
}

fn set<T>(socket: &Socket, option: libc::c_int, value: &T) -> io::Result<()> {
    // SAFETY: the kernel reads one `T`, which is made of integers only.
    let ret = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            option,
            std::ptr::from_ref(value).cast(),
            size_of::<T>() as libc::socklen_t,
        )
    };
    if ret == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn packets_of_the_interface_are_copied_with_their_length_more_often_than_the_ring_has_frames() {
        let mut ring = match PacketRing::open(1) {
            Ok(ring) => ring,
            Err(error) => {
                // Only without the privilege.
                assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
                return;
            }
        };
        let to = UdpSocket::bind("127.0.0.1:0").unwrap();
        let from = UdpSocket::bind("127.0.0.1:0").unwrap();
        let headers = 20 + 8;
        let mut payload = vec![7; 1000];
        for number in 0..FRAMES as u32 + 10 {
            payload[..4].copy_from_slice(&number.to_ne_bytes());
            from.send_to(&payload, to.local_addr().unwrap()).unwrap();
            // Other processes use the loopback interface, too.
            let ours = std::iter::from_fn(|| ring.take()).find(|captured| {
                captured.length == headers + payload.len()
                    && captured.bytes.get(headers..headers + 5) == Some(&payload[..5])
            });
            let captured = ours.unwrap_or_else(|| panic!("packet {number} is missing"));
            assert!(captured.bytes.len() > headers + 100, "{captured:?}");
        }
    }
}
