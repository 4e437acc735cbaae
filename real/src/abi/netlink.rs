//! Set-up of network interfaces through rtnetlink.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{RouteAttribute, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use serde::{Deserialize, Serialize};

/// What to change of an interface. `None`: leave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkChange {
    /// `IFF_UP`.
    pub up: Option<bool>,
    /// `IFF_NOARP`: neighbours need no resolution.
    pub no_arp: Option<bool>,
    /// The largest IP packet in bytes.
    pub mtu: Option<u32>,
}

/// Changes an interface.
///
/// # Errors
///
/// Those of the kernel's answer: `ENODEV` if there is no interface with this index, `EPERM` without
/// `CAP_NET_ADMIN`, and those of the driver.
pub fn change_link(ifindex: u32, change: &LinkChange) -> io::Result<()> {
    let mut link = LinkMessage::default();
    link.header.index = ifindex;
    for (flag, wanted) in [(LinkFlags::Up, change.up), (LinkFlags::Noarp, change.no_arp)] {
        if let Some(on) = wanted {
            link.header.change_mask |= flag;
            link.header.flags.set(flag, on);
        }
    }
    link.attributes.extend(change.mtu.map(LinkAttribute::Mtu));
    request(RouteNetlinkMessage::SetLink(link), 0)
}

/// Gives an interface an IPv4 address. One that it has already stays.
///
/// # Errors
///
/// Those of the kernel's answer, as [`change_link`].
pub fn add_address(ifindex: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = prefix;
    message.header.index = ifindex;
    message.attributes = vec![
        AddressAttribute::Local(IpAddr::V4(address)),
        AddressAttribute::Address(IpAddr::V4(address)),
    ];
    request(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE)
}

/// Takes an IPv4 address from an interface.
///
/// # Errors
///
/// Those of the kernel's answer: `EADDRNOTAVAIL` if it does not have it.
pub fn delete_address(ifindex: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = prefix;
    message.header.index = ifindex;
    message.attributes = vec![AddressAttribute::Local(IpAddr::V4(address))];
    request(RouteNetlinkMessage::DelAddress(message), 0)
}

/// Moves an interface to another network namespace. It loses its addresses and goes down.
///
/// # Errors
///
/// Those of the kernel's answer, as [`change_link`].
pub fn move_to_namespace(ifindex: u32, namespace: BorrowedFd<'_>) -> io::Result<()> {
    let mut link = LinkMessage::default();
    link.header.index = ifindex;
    link.attributes.push(LinkAttribute::NetNsFd(namespace.as_raw_fd()));
    request(RouteNetlinkMessage::SetLink(link), 0)
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// `IFF_*`, those that describe the state of the carrier left out.
    pub flags: u32,
    /// The largest IP packet in bytes.
    pub mtu: u32,
    /// Its hardware address.
    pub mac: Vec<u8>,
    /// The name of its queueing discipline.
    pub qdisc: String,
    /// The length of its transmit queue.
    pub queue_len: u32,
}

/// Flags that follow the carrier.
const CARRIER: u32 = (libc::IFF_RUNNING | 0x1_0000 | 0x2_0000) as u32;

/// An interface of the namespace of this thread.
///
/// # Errors
///
/// Those of the kernel's answer: `ENODEV` if there is none with this name.
pub fn link(name: &str) -> io::Result<Link> {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    let answers = get(RouteNetlinkMessage::GetLink(message), 0)?;
    let found = answers.into_iter().find_map(|answer| match answer {
        RouteNetlinkMessage::NewLink(link) => Some(link),
        _ => None,
    });
    let found = found.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?;
    let mut link = Link {
        index: found.header.index,
        flags: found.header.flags.bits() & !CARRIER,
        ..Link::default()
    };
    for attribute in found.attributes {
        match attribute {
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::Address(mac) => link.mac = mac,
            LinkAttribute::Qdisc(name) => link.qdisc = name,
            LinkAttribute::TxQueueLen(len) => link.queue_len = len,
            _ => {}
        }
    }
    Ok(link)
}

/// The addresses of an interface, with their prefixes, in order.
///
/// # Errors
///
/// Those of the kernel's answer.
pub fn addresses(ifindex: u32) -> io::Result<Vec<(IpAddr, u8)>> {
    let answers = get(RouteNetlinkMessage::GetAddress(AddressMessage::default()), NLM_F_DUMP)?;
    let mut found: Vec<(IpAddr, u8)> = answers
        .into_iter()
        .filter_map(|answer| match answer {
            RouteNetlinkMessage::NewAddress(message) if message.header.index == ifindex => {
                let mut address = None;
                for attribute in &message.attributes {
                    match attribute {
                        AddressAttribute::Local(ip) => address = Some(*ip),
                        AddressAttribute::Address(ip) => _ = address.get_or_insert(*ip),
                        _ => {}
                    }
                }
                Some((address?, message.header.prefix_len))
            }
            _ => None,
        })
        .collect();
    found.sort_unstable();
    Ok(found)
}

/// The interfaces that IPv4 default routes lead to.
///
/// # Errors
///
/// Those of the kernel's answer.
pub fn default_routes() -> io::Result<Vec<u32>> {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    let answers = get(RouteNetlinkMessage::GetRoute(message), NLM_F_DUMP)?;
    Ok(answers
        .into_iter()
        .filter_map(|answer| match answer {
            RouteNetlinkMessage::NewRoute(route) if route.header.destination_prefix_length == 0 => {
                route.attributes.iter().find_map(|attribute| match attribute {
                    RouteAttribute::Oif(index) => Some(*index),
                    _ => None,
                })
            }
            _ => None,
        })
        .collect())
}

/// The answers to a question.
fn get(message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | flags;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let mut found = Vec::new();
    loop {
        let (datagram, _) = socket.recv_from_full()?;
        let mut rest = &datagram[..];
        while !rest.is_empty() {
            let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            let len = (answer.header.length as usize).next_multiple_of(4);
            rest = rest.get(len..).filter(|_| len > 0).unwrap_or_default();
            match answer.payload {
                NetlinkPayload::InnerMessage(message) => found.push(message),
                NetlinkPayload::Error(error) if error.code.is_some() => return Err(error.to_io()),
                _ => return Ok(found),
            }
        }
        if flags & NLM_F_DUMP == 0 {
            return Ok(found);
        }
    }
}

fn request(message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    socket.send(&bytes, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
    match answer.payload {
        NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
        NetlinkPayload::Error(_) => Ok(()),
        other => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("an answer of rtnetlink that is no acknowledgement: {other:?}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_error_is_returned() {
        let none = 0x7fff_fff0;
        let error = change_link(none, &LinkChange { up: Some(true), ..LinkChange::default() });
        let errno = error.unwrap_err().raw_os_error();
        assert!(errno == Some(libc::ENODEV) || errno == Some(libc::EPERM), "{errno:?}");
        assert!(add_address(none, Ipv4Addr::new(192, 0, 2, 1), 24).is_err());
    }

    #[test]
    fn the_loopback_interface_has_its_address() {
        let lo = link("lo").unwrap();
        assert_eq!((lo.index, lo.flags & 8), (1, 8), "IFF_LOOPBACK");
        let localhost = (IpAddr::V4(Ipv4Addr::LOCALHOST), 8);
        // The host may have its loopback interface down.
        assert!(addresses(1).unwrap().contains(&localhost) || lo.flags & 1 == 0);
        assert_eq!(link("no-such-if").unwrap_err().raw_os_error(), Some(libc::ENODEV));
        assert!(!default_routes().unwrap().contains(&1));
    }
}
