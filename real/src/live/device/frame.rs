//! TCP segments in Ethernet frames.

use std::net::SocketAddrV4;

use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice};

/// The addresses of a connection, as its far end sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// Hardware addresses of the far and the near end.
    pub(super) from_mac: [u8; 6],
    pub(super) to_mac: [u8; 6],
    /// The far and the near end.
    pub(super) from: SocketAddrV4,
    pub(super) to: SocketAddrV4,
}

/// What a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Data follows.
    Data,
    /// The end of the stream.
    Fin,
    /// A reset.
    Reset,
}

/// The window of the far end in bytes; the near end sends nothing.
const WINDOW: u16 = 65_535;
const TTL: u8 = 64;

/// A frame with one segment.
///
/// # Errors
///
/// A message: the payload is too long for an IPv4 packet.
pub(super) fn segment(
    route: &Route,
    kind: Kind,
    sequence: u32,
    acknowledged: u32,
    payload: &[u8],
) -> Result<Vec<u8>, String> {
    let tcp = PacketBuilder::ethernet2(route.from_mac, route.to_mac)
        .ipv4(route.from.ip().octets(), route.to.ip().octets(), TTL)
        .tcp(route.from.port(), route.to.port(), sequence, WINDOW)
        .ack(acknowledged);
    let tcp = match kind {
        Kind::Data => tcp.psh(),
        Kind::Fin => tcp.fin(),
        Kind::Reset => tcp.rst(),
    };
    let mut frame = Vec::with_capacity(tcp.size(payload.len()));
    tcp.write(&mut frame, payload).map_err(|error| format!("a TCP segment: {error}"))?;
    Ok(frame)
}

/// What a segment of the near end says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// All bytes before this number have arrived. `None`: it says nothing about it.
    pub(super) acknowledged: Option<u32>,
    /// It resets the connection.
    pub(super) reset: bool,
}

/// The segment in a frame. `None`: it does not belong to the connection.
pub(super) fn answer(route: &Route, frame: &[u8]) -> Option<Answer> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) = (packet.net, packet.transport)
    else {
        return None;
    };
    let (from, to) = (ip.header().source_addr(), ip.header().destination_addr());
    let is_ours = SocketAddrV4::new(from, tcp.source_port()) == route.to
        && SocketAddrV4::new(to, tcp.destination_port()) == route.from;
    let acknowledged = tcp.ack().then(|| tcp.acknowledgment_number());
    is_ours.then(|| Answer { acknowledged, reset: tcp.rst() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const ROUTE: Route = Route {
        from_mac: [2, 0, 0, 0, 0, 2],
        to_mac: [2, 0, 0, 0, 0, 1],
        from: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 2), 4000),
        to: SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 9000),
    };

    #[test]
    fn a_segment_has_its_addresses_its_numbers_and_right_checksums() {
        let frame = segment(&ROUTE, Kind::Data, 17, 23, b"payload").unwrap();
        let packet = SlicedPacket::from_ethernet(&frame).unwrap();
        let Some(NetSlice::Ipv4(ip)) = &packet.net else { panic!("no IPv4: {packet:?}") };
        let Some(TransportSlice::Tcp(tcp)) = &packet.transport else { panic!("no TCP") };
        let header = ip.header().to_header();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        assert_eq!(ip.header().destination_addr(), *ROUTE.to.ip());
        assert_eq!((tcp.source_port(), tcp.destination_port()), (4000, 9000));
        assert_eq!((tcp.sequence_number(), tcp.acknowledgment_number()), (17, 23));
        assert_eq!(tcp.payload(), b"payload");
        let sum = tcp.to_header().calc_checksum_ipv4(&header, tcp.payload()).unwrap();
        assert_eq!(tcp.checksum(), sum);
    }

    #[test]
    fn the_end_and_the_reset_of_a_stream_are_flags() {
        for (kind, fin, rst) in [(Kind::Fin, true, false), (Kind::Reset, false, true)] {
            let frame = segment(&ROUTE, kind, 1, 1, &[]).unwrap();
            let packet = SlicedPacket::from_ethernet(&frame).unwrap();
            let Some(TransportSlice::Tcp(tcp)) = packet.transport else { panic!("no TCP") };
            assert_eq!((tcp.fin(), tcp.rst(), tcp.ack()), (fin, rst, true));
        }
    }

    #[test]
    fn an_answer_is_a_segment_in_the_other_direction_of_the_same_connection() {
        let back = Route { from: ROUTE.to, to: ROUTE.from, ..ROUTE };
        let data = segment(&back, Kind::Data, 1, 77, b"x").unwrap();
        assert_eq!(answer(&ROUTE, &data), Some(Answer { acknowledged: Some(77), reset: false }));
        let reset = segment(&back, Kind::Reset, 1, 77, &[]).unwrap();
        assert!(answer(&ROUTE, &reset).is_some_and(|answer| answer.reset));
        let other = Route { from: SocketAddrV4::new(*back.from.ip(), 9001), ..back };
        for frame in [&segment(&other, Kind::Reset, 1, 1, &[]).unwrap()[..], &[0; 20], &data[..30]]
        {
            assert_eq!(answer(&ROUTE, frame), None);
        }
        assert_eq!(answer(&back, &data), None);
    }
}
