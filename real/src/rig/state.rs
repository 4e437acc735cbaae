//! The complete state of an interface, as far as a rig could change it: to compare it before and after.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::description::Rig;
use crate::abi::ethtool::{Channels, Ethtool, Feature, Rings, Rss};
use crate::abi::netlink::{self, Link};
use crate::abi::syscall::{ethtool, namespace};

/// The state of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceState {
    /// Its name.
    pub interface: String,
    /// What describes every interface.
    #[serde(flatten)]
    pub link: Link,
    /// Its addresses with their prefixes.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Its features.
    pub features: BTreeMap<String, Feature>,
    /// Ring sizes and header split.
    pub rings: Rings,
    /// Numbers of queues.
    pub channels: Channels,
    /// Receive side scaling.
    pub rss: Rss,
    /// Its flow rules: location, queue, and what the driver says about it.
    pub rules: Vec<(u32, u64, Vec<u8>)>,
}

/// The state of a rig.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RigState {
    /// The NIC, or why it cannot be read.
    pub nic: Result<InterfaceState, String>,
    /// The peer, if it is in the namespace of this process.
    pub peer: Result<InterfaceState, String>,
    /// Whether the peer's namespace exists.
    pub namespace: bool,
}

impl InterfaceState {
    /// Reads the state of an interface in the namespace of this thread.
    ///
    /// # Errors
    ///
    /// Those of the kernel: `ENODEV` if there is none with this name.
    pub fn read(interface: &str) -> io::Result<Self> {
        let link = netlink::link(interface)?;
        let settings = Ethtool::of(interface)?;
        let rules = ethtool::rules(interface)?.unwrap_or_default();
        Ok(InterfaceState {
            interface: interface.to_owned(),
            addresses: netlink::addresses(link.index)?,
            link,
            features: settings.features()?,
            rings: settings.rings()?,
            channels: settings.channels()?,
            rss: settings.rss()?,
            rules: rules.into_iter().map(|rule| (rule.location, rule.queue, rule.bytes)).collect(),
        })
    }
}

impl RigState {
    /// Reads the state of both interfaces of a rig.
    #[must_use]
    pub fn read(rig: &Rig) -> Self {
        let read = |name| InterfaceState::read(name).map_err(|error| format!("{name}: {error}"));
        RigState {
            nic: read(&rig.nic.interface),
            peer: match rig.peer.elsewhere {
                true => Err("it is on another host".to_owned()),
                false => read(&rig.peer.interface),
            },
            namespace: namespace::exists(&rig.peer.namespace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_an_interface_is_the_same_when_nothing_changed_and_survives_json() {
        let state = InterfaceState::read("lo").unwrap();
        assert_eq!(state, InterfaceState::read("lo").unwrap());
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<InterfaceState>(&text).unwrap(), state);
        assert!(state.features.len() > 3 && state.link.mtu > 1000, "{state:?}");
        assert!(InterfaceState::read("no-such-if").is_err());
    }
}
