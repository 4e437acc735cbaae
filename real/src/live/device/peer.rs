//! The far end of a connection over the device: it writes the frames itself.

use std::net::{SocketAddrV4, TcpStream};
use std::sync::Arc;

use super::frame::{Kind, Route, answer, segment};
use super::new_connection::NewConnection;
use super::nic::{Arrival, PEER, Placement, RECEIVER, SoftDevice, port_of};
use super::soft_nic::{PEER_NAME, RECEIVER_NAME};
use crate::abi::syscall::packet::PacketSocket;
use crate::abi::syscall::tcp_repair::{Sequence, connected};

/// The first sequence numbers of both directions. Any would do.
const SEQUENCE: Sequence = Sequence { receive: 1_000, send: 2_000_000 };

/// The far end.
#[derive(Debug)]
pub(in crate::live) struct DevicePeer {
    nic: Arc<SoftDevice>,
    queue: u32,
    route: Route,
    next: u32,
    /// Where each packet ends in the stream, and whether it went into the memory of a provider.
    packets: Vec<(u64, bool)>,
    /// Reads what the near end sends. `None`: no step closes the near end.
    answers: Option<PacketSocket>,
    /// All bytes before this number have arrived at the near end, as far as it has said.
    acknowledged: u32,
    /// Whether the near end has reset the connection.
    reset_by_near_end: bool,
}

impl DevicePeer {
    /// Makes a connection whose packets arrive on a queue.
    ///
    /// # Errors
    ///
    /// A message for the user: the connection cannot be made.
    pub(super) fn connect(
        nic: &Arc<SoftDevice>,
        wanted: NewConnection,
    ) -> Result<(Self, TcpStream), String> {
        let NewConnection { socket, queue, receive_buffer, closes } = wanted;
        let near = SocketAddrV4::new(RECEIVER, port_of(socket));
        let far = SocketAddrV4::new(PEER, nic.next_port());
        let stream = connected(near, far, SEQUENCE, receive_buffer)
            .map_err(|error| format!("a TCP connection over {RECEIVER_NAME}: {error}"))?;
        let route = Route {
            from_mac: mac_of(PEER_NAME)?,
            to_mac: mac_of(RECEIVER_NAME)?,
            from: far,
            to: near,
        };
        let answers = if closes { Some(nic.answers()?) } else { None };
        let peer = DevicePeer {
            nic: Arc::clone(nic),
            queue,
            route,
            next: SEQUENCE.receive,
            packets: Vec::new(),
            answers,
            acknowledged: SEQUENCE.receive,
            reset_by_near_end: false,
        };
        Ok((peer, stream))
    }

    /// Sends one packet.
    ///
    /// # Errors
    ///
    /// -EAGAIN if the queue has no buffer, -ENODEV if the device is down or gone, -EIO if the NIC does not
    /// answer. The packet is dropped then and is not sent again.
    pub(in crate::live) fn send(&mut self, payload: &[u8]) -> Result<(), i64> {
        self.send_packets(&[payload.to_vec()], Placement::Pages)
    }

    /// Sends one packet that the NIC writes into `buffers` buffers.
    ///
    /// # Errors
    ///
    /// As [`DevicePeer::send`].
    pub(in crate::live) fn send_in_buffers(
        &mut self,
        payload: &[u8],
        buffers: u32,
    ) -> Result<(), i64> {
        self.send_packets(&[payload.to_vec()], Placement::Buffers(buffers))
    }

    /// Sends packets that the NIC writes into one buffer, all at once.
    ///
    /// # Errors
    ///
    /// As [`DevicePeer::send`]: the first packet is dropped, and the others with it.
    pub(in crate::live) fn send_in_one_buffer(&mut self, payloads: &[Vec<u8>]) -> Result<(), i64> {
        self.send_packets(payloads, Placement::OneBuffer)
    }

    /// Whether the near end has reset the connection.
    pub(in crate::live) fn is_reset(&mut self) -> bool {
        self.hear();
        self.reset_by_near_end
    }

    /// Whether the near end has acknowledged all that was sent.
    pub(in crate::live) fn is_acknowledged(&mut self) -> bool {
        self.hear();
        self.acknowledged == self.next
    }

    /// Reads what the near end has sent.
    fn hear(&mut self) {
        let Some(socket) = &self.answers else { return };
        while let Ok(Some(frame)) = socket.receive_now() {
            let Some(answer) = answer(&self.route, &frame) else { continue };
            self.reset_by_near_end |= answer.reset;
            if let Some(acknowledged) = answer.acknowledged.filter(|_| !answer.reset) {
                self.acknowledged = acknowledged;
            }
        }
    }

    fn send_packets(&mut self, payloads: &[Vec<u8>], placement: Placement) -> Result<(), i64> {
        let mut next = self.next;
        let frames: Result<Vec<_>, String> = payloads
            .iter()
            .map(|payload| {
                let frame = segment(&self.route, Kind::Data, next, SEQUENCE.send, payload);
                next = next.wrapping_add(payload.len() as u32);
                frame
            })
            .collect();
        let arrival = self
            .arrived(frames.and_then(|frames| self.nic.deliver(self.queue, &frames, placement)))?;
        self.next = next;
        for payload in payloads {
            let begin = self.packets.last().map_or(0, |(end, _)| *end);
            self.packets.push((begin + payload.len() as u64, arrival == Arrival::Placed));
        }
        Ok(())
    }

    /// Counts a completion with the bytes from a position of the stream on.
    pub(in crate::live) fn received(&self, position: u64) {
        let packet = self.packets.iter().find(|(end, _)| position < *end);
        self.nic.count_completion(packet.is_some_and(|(_, placed)| *placed));
    }

    /// Ends the stream.
    ///
    /// # Errors
    ///
    /// As [`DevicePeer::send`].
    pub(in crate::live) fn finish(&mut self) -> Result<(), i64> {
        self.control(Kind::Fin)?;
        self.next = self.next.wrapping_add(1);
        Ok(())
    }

    /// Resets the connection.
    ///
    /// # Errors
    ///
    /// As [`DevicePeer::send`].
    pub(in crate::live) fn reset(&mut self) -> Result<(), i64> {
        self.control(Kind::Reset).map(|_| ())
    }

    /// Sends a segment without payload.
    fn control(&self, kind: Kind) -> Result<Arrival, i64> {
        let frame = segment(&self.route, kind, self.next, SEQUENCE.send, &[]);
        self.arrived(
            frame.and_then(|frame| self.nic.deliver(self.queue, &[frame], Placement::Pages)),
        )
    }

    fn arrived(&self, delivered: Result<Arrival, String>) -> Result<Arrival, i64> {
        match delivered {
            Ok(Arrival::NoBuffer) => Err(-i64::from(libc::EAGAIN)),
            Ok(Arrival::NoDevice) => Err(-i64::from(libc::ENODEV)),
            Ok(arrival) => Ok(arrival),
            Err(why) => {
                errln!("ifq: {why}");
                Err(-i64::from(libc::EIO))
            }
        }
    }
}

/// The hardware address of an interface.
fn mac_of(interface: &str) -> Result<[u8; 6], String> {
    let file = format!("/sys/class/net/{interface}/address");
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    parse_mac(text.trim()).ok_or_else(|| format!("{file}: `{}` is no address", text.trim()))
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardware_address_has_six_bytes() {
        assert_eq!(parse_mac("02:00:5e:10:00:ff"), Some([2, 0, 0x5e, 0x10, 0, 0xff]));
        for text in ["", "02:00:5e:10:00", "02:00:5e:10:00:fff", "02-00-5e-10-00-ff"] {
            assert_eq!(parse_mac(text), None, "{text}");
        }
    }
}
