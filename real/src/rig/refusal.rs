//! Why a rig is not touched: what would harm the machine, and what tests could not use.

use std::net::IpAddr;

use super::description::Rig;
use super::error::{Complaint, Field};
use crate::abi::ethtool::Ethtool;
use crate::abi::netdev::{Netdev, QueueUser};
use crate::abi::netlink;
use crate::abi::syscall::ring::{Ring, Setup};
use crate::abi::syscall::{PAGE, SharedMem, ethtool, namespace};

/// Why this rig is not touched. `None`: it may be set up.
#[must_use]
pub fn refusal(rig: &Rig) -> Option<Complaint> {
    let here = !rig.peer.elsewhere;
    interface(Field::Interface, &rig.nic.interface)
        .or_else(|| interface(Field::PeerInterface, &rig.peer.interface).filter(|_| here))
        .or_else(|| in_use(Field::Interface, &rig.nic.interface))
        .or_else(|| refusal_of_peer(rig).filter(|_| here))
        .or_else(|| queue_api(rig))
        .or_else(|| queues(rig))
        .or_else(|| foreign_rules(rig))
}

/// Why the peer, which is on this machine, is not touched. `None`: it may be set up.
#[must_use]
pub fn refusal_of_peer(rig: &Rig) -> Option<Complaint> {
    interface(Field::PeerInterface, &rig.peer.interface)
        .or_else(|| in_use(Field::PeerInterface, &rig.peer.interface))
        .or_else(|| peer_addresses(rig))
        .or_else(|| peer_namespace(rig))
}

/// The interfaces of this machine.
fn interfaces() -> String {
    let entries = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names.join(", ")
}

fn interface(field: Field, name: &str) -> Option<Complaint> {
    netlink::link(name).err().map(|error| {
        Complaint::new(
            field,
            format!("there is no interface `{name}` on the rig ({error})"),
            format!("the interfaces there are {}", interfaces()),
        )
    })
}

/// An interface that the machine itself needs.
fn in_use(field: Field, name: &str) -> Option<Complaint> {
    let link = netlink::link(name).ok()?;
    let addresses = netlink::addresses(link.index).unwrap_or_default();
    let default = netlink::default_routes().is_ok_and(|routes| routes.contains(&link.index));
    // "client port server port"
    let ssh = std::env::var("SSH_CONNECTION").unwrap_or_default();
    let server = ssh.split(' ').nth(2).and_then(|address| address.parse::<IpAddr>().ok());
    let over = server.is_some_and(|server| addresses.iter().any(|(ip, _)| *ip == server));
    let why = match (default, over) {
        (true, _) => "the default route leads over it",
        (_, true) => "the ssh connection to the rig leads over it",
        _ if link.flags & libc::IFF_LOOPBACK as u32 != 0 => "it is the loopback interface",
        _ => return None,
    };
    Some(Complaint::new(
        field,
        format!("`{name}` is not touched: {why}"),
        "use an interface that the machine does not need",
    ))
}

/// Addresses would be lost when the interface is moved.
fn peer_addresses(rig: &Rig) -> Option<Complaint> {
    let name = &rig.peer.interface;
    let index = netlink::link(name).ok()?.index;
    let link_local = |ip: &IpAddr| matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    let addresses = netlink::addresses(index).ok()?;
    let (address, prefix) = addresses.into_iter().find(|(ip, _)| !link_local(ip))?;
    Some(Complaint::new(
        Field::PeerInterface,
        format!("`{name}` has the address {address}/{prefix} and could lose routes"),
        format!("`ip addr del {address}/{prefix} dev {name}`, or use another interface"),
    ))
}

fn peer_namespace(rig: &Rig) -> Option<Complaint> {
    let name = &rig.peer.namespace;
    namespace::exists(name).then(|| {
        Complaint::new(
            Field::Namespace,
            format!("there is a network namespace `{name}` already"),
            format!("name another one, or remove it: `ip netns delete {name}`"),
        )
    })
}

/// A queue that no interface has.
const NO_QUEUE: u32 = 0xffff;

/// Whether the driver has the queue API. The kernel is asked for an ifq on a queue that is not there: it looks for the
/// queue API first, and changes nothing.
///
/// # Errors
///
/// What the kernel answered, if that says nothing about it.
pub fn has_queue_api(index: u32) -> Result<bool, String> {
    let memory = |pages| SharedMem::new(pages * PAGE).map_err(|error| error.to_string());
    let ring = Ring::new(Setup::default()).map_err(|error| error.to_string())?;
    match ring.register_queue(&memory(4)?, &memory(2)?, 8, (index, NO_QUEUE)) {
        Err(errno) if errno == -i64::from(libc::ERANGE) => Ok(true),
        Err(errno) if errno == -i64::from(libc::EOPNOTSUPP) => Ok(false),
        Err(errno) => Err(format!("the kernel answered {errno}")),
        Ok(_) => Err(format!("it has a queue {NO_QUEUE}")),
    }
}

fn queue_api(rig: &Rig) -> Option<Complaint> {
    let name = &rig.nic.interface;
    let index = netlink::link(name).ok()?.index;
    (has_queue_api(index) == Ok(false)).then(|| {
        Complaint::new(
            Field::Interface,
            format!("the driver of `{name}` has no queue API (queue_mgmt_ops)"),
            "use a NIC and a kernel of the table in docs/RIGS.md",
        )
    })
}

fn queues(rig: &Rig) -> Option<Complaint> {
    let name = &rig.nic.interface;
    let settings = Ethtool::of(name).ok()?;
    let channels = settings.channels().ok()?;
    let count = channels.combined.unwrap_or(0) + channels.rx.unwrap_or(0);
    let count = if count == 0 { rx_queues(name) } else { count };
    if let Some(queue) = rig.nic.queues.iter().find(|queue| **queue >= count) {
        return Some(Complaint::new(
            Field::Queues,
            format!(
                "`{name}` has no receive queue {queue}: its queues are 0 to {}",
                count.max(1) - 1
            ),
            format!("name queues that it has, or `ethtool -L {name} combined {}`", queue + 1),
        ));
    }
    let index = netlink::link(name).ok()?.index;
    let netdev = Netdev::open().ok()?;
    rig.nic.queues.iter().find_map(|queue| {
        let user = match netdev.user_of(index, *queue).ok()? {
            QueueUser::None => return None,
            QueueUser::IoUring => "an ifq of io_uring",
            QueueUser::DmaBuf => "a dma-buf",
            QueueUser::Xsk => "an AF_XDP socket",
        };
        Some(Complaint::new(
            Field::Queues,
            format!("queue {queue} of `{name}` is bound by {user}"),
            "end the process that uses it, or name other queues",
        ))
    })
}

/// The receive queues that the kernel knows.
fn rx_queues(name: &str) -> u32 {
    let entries = std::fs::read_dir(format!("/sys/class/net/{name}/queues"));
    let names = entries.into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter(|name| name.to_string_lossy().starts_with("rx-")).count() as u32
}

/// Rules that are not ours, for a queue or a port of the tests.
fn foreign_rules(rig: &Rig) -> Option<Complaint> {
    let name = &rig.nic.interface;
    let rules = match ethtool::rules(name) {
        Ok(Some(rules)) => rules,
        Ok(None) => {
            return Some(Complaint::new(
                Field::Interface,
                format!("the driver of `{name}` has no flow rules"),
                "use a NIC whose driver has them (docs/RIGS.md)",
            ));
        }
        Err(_) => return None,
    };
    let ports: Vec<u16> = (0..rig.nic.queues.len()).map(|at| rig.port_of(at as u32)).collect();
    rules.into_iter().find_map(|rule| {
        let location = rule.location;
        let delete = format!("`ethtool -N {name} delete {location}`");
        if let Some(port) = rule.port.filter(|port| ports.contains(port)) {
            return Some(Complaint::new(
                Field::FirstPort,
                format!(
                    "the flow rule {location} of `{name}`, which is not ours, is about port {port}"
                ),
                format!("choose other ports, or {delete}"),
            ));
        }
        let queue = rig.nic.queues.iter().find(|queue| u64::from(**queue) == rule.queue)?;
        Some(Complaint::new(
            Field::Queues,
            format!(
                "the flow rule {location} of `{name}`, which is not ours, leads to queue {queue}"
            ),
            format!("name other queues, or {delete}"),
        ))
    })
}
