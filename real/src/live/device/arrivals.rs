//! Where the packets of a connection went: into the memory of a provider, or into ordinary pages.
//!
//! A packet socket at the NIC sees each packet before TCP does. The kernel cannot read payload in the memory of a
//! provider (`skb_frags_readable`), so that it copies the headers alone into the ring of the socket. This holds for
//! each driver, with and without counters.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::Range;

use etherparse::{LaxNetSlice, LaxSlicedPacket, TransportSlice};

use crate::abi::syscall::packet_ring::Captured;
use crate::job::DevicePackets;

/// A connection: the port of the far end and the port of the near end.
pub(super) type Ports = (u16, u16);

/// A packet with payload.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Packet {
    /// Its bytes of the stream.
    bytes: Range<u64>,
    placed: bool,
}

/// The packets of a connection.
#[derive(Debug, Default)]
struct Stream {
    /// The sequence number of the first byte. `None`: the handshake was not seen.
    first: Option<u32>,
    packets: Vec<Packet>,
}

/// The packets of all connections to an address.
#[derive(Debug)]
pub(super) struct Arrivals {
    near: Ipv4Addr,
    streams: BTreeMap<Ports, Stream>,
    packets: DevicePackets,
}

impl Arrivals {
    /// Those to the address of the near end.
    pub(super) fn of(near: Ipv4Addr) -> Self {
        Arrivals { near, streams: BTreeMap::new(), packets: DevicePackets::default() }
    }

    /// Notes a packet that has arrived.
    pub(super) fn note(&mut self, captured: &Captured) {
        let Ok(packet) = LaxSlicedPacket::from_ip(&captured.bytes) else { return };
        let (Some(LaxNetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) =
            (packet.net, packet.transport)
        else {
            return;
        };
        if ip.header().destination_addr() != self.near {
            return;
        }
        let headers = usize::from(ip.header().ihl()) * 4 + usize::from(tcp.data_offset()) * 4;
        let stream = self.streams.entry((tcp.source_port(), tcp.destination_port())).or_default();
        if tcp.syn() {
            let first = Some(tcp.sequence_number().wrapping_add(1));
            *stream = Stream { first, packets: Vec::new() };
            return;
        }
        // A short frame has padding.
        let length = match usize::from(ip.header().total_len()) {
            0 => captured.length,
            total => captured.length.min(total),
        };
        let payload = length.saturating_sub(headers) as u64;
        let Some(first) = stream.first.filter(|_| payload > 0) else { return };
        let begin = u64::from(tcp.sequence_number().wrapping_sub(first));
        let placed = captured.bytes.len() <= headers;
        let counter = if placed { &mut self.packets.placed } else { &mut self.packets.ordinary };
        *counter += 1;
        stream.packets.push(Packet { bytes: begin..begin + payload, placed });
    }

    /// Bytes of a connection have arrived that were sent while a memory provider was bound to its queue.
    pub(super) fn arrived_while_bound(&mut self, ports: Ports, bytes: Range<u64>) {
        let packets = self.streams.get(&ports).into_iter().flat_map(|stream| &stream.packets);
        let missed = packets.filter(|packet| !packet.placed && bytes.contains(&packet.bytes.start));
        self.packets.misplaced += missed.count() as u64;
    }

    /// Counts a completion with the bytes of a connection from a position of the stream on.
    pub(super) fn completed(&mut self, ports: Ports, position: u64) {
        let stream = self.streams.get(&ports);
        let packet = stream.and_then(|stream| {
            stream.packets.iter().find(|packet| packet.bytes.contains(&position))
        });
        *match packet {
            Some(Packet { placed: true, .. }) => &mut self.packets.zero_copy,
            Some(_) => &mut self.packets.copied,
            None => &mut self.packets.unproven,
        } += 1;
    }

    /// Forgets a connection.
    pub(super) fn forget(&mut self, ports: Ports) {
        self.streams.remove(&ports);
    }

    /// The packets and completions since the last call.
    pub(super) fn take(&mut self) -> DevicePackets {
        std::mem::take(&mut self.packets)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddrV4;

    use super::super::frame::{Kind, Route, segment};
    use super::*;

    const NEAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const PORTS: Ports = (4000, 9000);
    /// Headers of IPv4 and TCP without options.
    const HEADERS: usize = 40;
    const LINK: usize = 14;

    /// A packet, of which the kernel can read so many bytes of the payload.
    fn packet(sequence: u32, payload: usize, readable: usize) -> Captured {
        let route = Route {
            from_mac: [0; 6],
            to_mac: [0; 6],
            from: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 2), PORTS.0),
            to: SocketAddrV4::new(NEAR, PORTS.1),
        };
        let frame = segment(&route, Kind::Data, sequence, 1, &vec![0; payload]).unwrap();
        let bytes = frame[LINK..LINK + HEADERS + readable].to_vec();
        Captured { length: HEADERS + payload, bytes }
    }

    fn syn(sequence: u32) -> Captured {
        let mut captured = packet(sequence, 0, 0);
        captured.bytes[20 + 13] = 0x02;
        captured
    }

    #[test]
    fn payload_that_the_kernel_cannot_read_was_placed_and_its_completion_is_without_a_copy() {
        let mut arrivals = Arrivals::of(NEAR);
        // The first byte has the last sequence number before the wrap.
        arrivals.note(&syn(u32::MAX - 1));
        arrivals.note(&packet(u32::MAX, 100, 0));
        arrivals.note(&packet(99, 50, 50));
        arrivals.note(&packet(149, 10, 4));
        arrivals.note(&packet(159, 0, 0));
        for position in [0, 40, 100, 155, 160] {
            arrivals.completed(PORTS, position);
        }
        arrivals.completed((PORTS.0 + 1, PORTS.1), 0);
        let taken = arrivals.take();
        assert_eq!((taken.placed, taken.ordinary), (1, 2));
        assert_eq!((taken.zero_copy, taken.copied, taken.unproven), (2, 2, 2));
        assert_eq!(arrivals.take(), DevicePackets::default());
    }

    #[test]
    fn the_padding_of_a_short_frame_is_no_payload() {
        let mut arrivals = Arrivals::of(NEAR);
        arrivals.note(&syn(0));
        let mut padded = packet(1, 0, 0);
        padded.bytes.extend([0; 6]);
        padded.length += 6;
        arrivals.note(&padded);
        assert_eq!(arrivals.take(), DevicePackets::default());
    }

    #[test]
    fn an_ordinary_packet_is_misplaced_only_if_its_queue_was_bound() {
        let mut arrivals = Arrivals::of(NEAR);
        arrivals.note(&syn(0));
        arrivals.note(&packet(1, 10, 10));
        arrivals.note(&packet(11, 10, 10));
        arrivals.note(&packet(21, 10, 0));
        arrivals.arrived_while_bound(PORTS, 10..30);
        assert_eq!(arrivals.take().misplaced, 1);
    }

    #[test]
    fn packets_without_a_handshake_and_of_other_addresses_prove_nothing() {
        let mut arrivals = Arrivals::of(NEAR);
        arrivals.note(&packet(1, 10, 0));
        arrivals.note(&Captured { length: 9, bytes: vec![1; 9] });
        arrivals.completed(PORTS, 0);
        let taken = arrivals.take();
        assert_eq!((taken.placed, taken.unproven), (0, 1));
        let mut others = Arrivals::of(Ipv4Addr::new(192, 0, 2, 7));
        others.note(&syn(0));
        others.note(&packet(1, 10, 0));
        assert_eq!(others.take(), DevicePackets::default());
    }

    #[test]
    fn a_new_handshake_begins_a_new_stream_and_a_forgotten_one_is_unknown() {
        let mut arrivals = Arrivals::of(NEAR);
        arrivals.note(&syn(0));
        arrivals.note(&packet(1, 10, 10));
        arrivals.note(&syn(1000));
        arrivals.note(&packet(1001, 10, 0));
        arrivals.completed(PORTS, 0);
        arrivals.forget(PORTS);
        arrivals.completed(PORTS, 0);
        let taken = arrivals.take();
        assert_eq!((taken.zero_copy, taken.copied, taken.unproven), (1, 0, 1));
    }
}
