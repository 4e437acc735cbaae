//! Checks of a rig file that need no machine.

use super::description::{PORTS, Rig, RigMachine};
use super::error::{Complaint, Field};

/// `IFNAMSIZ - 1`.
const NAME_MAX: usize = 15;
/// A bound for the numbers of receive queues.
const QUEUES_MAX: u32 = 4096;

/// The first thing that is wrong.
pub(super) fn validate(
    machine: &RigMachine,
    peer: Option<&RigMachine>,
    rig: &Rig,
) -> Option<Complaint> {
    let bad = |machine: &RigMachine| {
        let host = machine.host.as_ref();
        host.filter(|host| host.starts_with('-') || host.is_empty()).cloned()
    };
    let hosts = [(Field::Host, bad(machine)), (Field::PeerHost, peer.and_then(bad))];
    for (field, host) in hosts {
        let Some(host) = host else { continue };
        let help =
            "expected a destination of ssh, such as root@rig1; leave it out for this machine";
        return Some(Complaint::new(field, format!("`{host}` is no destination"), help));
    }
    let names = [
        (Field::Interface, &rig.nic.interface),
        (Field::PeerInterface, &rig.peer.interface),
        (Field::Namespace, &rig.peer.namespace),
    ];
    names
        .into_iter()
        .find_map(|(field, name)| bad_name(field, name))
        .or_else(|| queues(&rig.nic.queues))
        .or_else(|| addresses(rig))
        .or_else(|| ports(rig.first_port))
        .or_else(|| {
            (rig.nic.ring == Some(0)).then(|| {
                Complaint::new(Field::Ring, "a ring has no 0 entries", "expected 1 or more")
            })
        })
}

fn bad_name(field: Field, name: &str) -> Option<Complaint> {
    let plain = |c: char| c.is_ascii_graphic() && !"/\\'\"$`;&|<>*?".contains(c);
    let bad = name.is_empty() || name.starts_with(['.', '-']) || !name.chars().all(plain);
    let long = field != Field::Namespace && name.len() > NAME_MAX;
    (bad || long).then(|| {
        let what = if field == Field::Namespace { "a network namespace" } else { "an interface" };
        Complaint::new(
            field,
            format!("`{name}` is no name of {what}"),
            "expected a name as `ip link` and `ip netns` print it",
        )
    })
}

fn queues(queues: &[u32]) -> Option<Complaint> {
    let complaint =
        |problem: String, help: &str| Some(Complaint::new(Field::Queues, problem, help));
    if queues.is_empty() {
        return complaint(
            "there is no queue".into(),
            "expected the receive queues that tests may use, such as [2, 3]",
        );
    }
    // The last port is that of the peer's host.
    if queues.len() >= usize::from(PORTS) {
        return complaint(format!("{} queues are too many", queues.len()), "expected 63 at most");
    }
    if let Some(queue) = queues.iter().find(|queue| **queue >= QUEUES_MAX) {
        return complaint(
            format!("queue {queue} is out of range"),
            "`ethtool -l INTERFACE` prints how many queues there are",
        );
    }
    let repeated = queues.iter().enumerate().find(|(at, queue)| queues[..*at].contains(queue));
    if let Some((_, queue)) = repeated {
        return complaint(format!("queue {queue} is named twice"), "name each queue once");
    }
    None
}

fn addresses(rig: &Rig) -> Option<Complaint> {
    let (near, far) = (rig.nic.address, rig.peer.address);
    let mask = u32::MAX.checked_shl(32 - u32::from(rig.nic.prefix)).unwrap_or(0);
    let near_bits = u32::from(near);
    if near.is_loopback() || near.is_unspecified() || near.is_multicast() || near.is_broadcast() {
        return Some(Complaint::new(
            Field::Address,
            format!("{near} cannot be the address of an interface"),
            "expected an address that nothing else uses, such as 192.0.2.1/24",
        ));
    }
    if near == far {
        return Some(Complaint::new(
            Field::PeerAddress,
            format!("{far} is also nic.address"),
            "expected another address of the same network",
        ));
    }
    if near_bits & mask != u32::from(far) & mask {
        return Some(Complaint::new(
            Field::PeerAddress,
            format!("{far} is not in the network of nic.address, {near}/{}", rig.nic.prefix),
            "expected another address of the same network",
        ));
    }
    if rig.peer.interface == rig.nic.interface && !rig.peer.elsewhere {
        return Some(Complaint::new(
            Field::PeerInterface,
            format!("`{}` is also nic.interface", rig.peer.interface),
            "expected the interface at the other end of the link",
        ));
    }
    None
}

fn ports(first: u16) -> Option<Complaint> {
    (!(1024..=u16::MAX - PORTS).contains(&first)).then(|| {
        Complaint::new(
            Field::FirstPort,
            format!("the ports from {first} on cannot be used"),
            format!("expected 1024 to {}", u16::MAX - PORTS),
        )
    })
}
