//! Set-up of network interfaces through rtnetlink.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

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
}
