//! What a rig is: the machine, the NIC and its peer.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// How the machine is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RigMachine {
    /// What ssh takes as its destination. `None`: this machine.
    pub host: Option<String>,
    /// More arguments of ssh.
    pub ssh: Vec<String>,
    /// The folder for the program and for results on a machine that is reached through ssh.
    pub folder: String,
    /// Seconds until a machine that does not answer counts as lost.
    pub silence_seconds: u32,
    /// Seconds in which a lost machine may come back by itself.
    pub reconnect_seconds: u32,
}

/// The NIC and its peer: what the machine has to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rig {
    /// The NIC.
    pub nic: Nic,
    /// The far end of the connections.
    pub peer: Peer,
    /// The port for queue 0 of a test; the others follow.
    pub first_port: u16,
    /// Seconds without a sign of life from the tool until the rig is restored.
    pub silence_seconds: u32,
}

/// The interface under test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// Its name.
    pub interface: String,
    /// The receive queues that tests may use, queue 0 of a test first.
    pub queues: Vec<u32>,
    /// Its address in the tests.
    pub address: Ipv4Addr,
    /// The length of the prefix of both addresses.
    pub prefix: u8,
    /// The size of its receive rings. `None`: as it is.
    pub ring: Option<u32>,
}

/// The interface at the other end of the link. It is moved into a network namespace of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its name.
    pub interface: String,
    /// The name of the namespace, which must not exist.
    pub namespace: String,
    /// Its address in the tests.
    pub address: Ipv4Addr,
    /// Whether it belongs to another host than the NIC.
    #[serde(default)]
    pub elsewhere: bool,
}

/// The ports of the connections, from the first one on: a queue each.
pub(super) const PORTS: u16 = 64;

impl Rig {
    /// The port at which the rig waits for the peer's host. No flow rule leads its packets to a test queue.
    #[must_use]
    pub fn control_port(&self) -> u16 {
        self.first_port.saturating_add(PORTS - 1)
    }

    /// The port of the connections whose packets arrive at a queue of a test.
    #[must_use]
    pub fn port_of(&self, queue: u32) -> u16 {
        self.first_port.saturating_add(queue as u16)
    }
}

/// How a machine that has crashed is rebooted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reboot {
    /// A command of the shell of this machine.
    pub command: String,
    /// A command of the shell of this machine that prints the end of the rig's console.
    pub log: Option<String>,
    /// Seconds that the reboot may take.
    #[serde(default = "reboot_seconds")]
    pub seconds: u32,
    /// How many times the machine is rebooted for one job.
    #[serde(default = "reboots")]
    pub most: u32,
}

fn reboot_seconds() -> u32 {
    600
}

fn reboots() -> u32 {
    5
}
