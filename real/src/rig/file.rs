//! The file that describes a rig.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::description::{Nic, Peer, Reboot, Rig, RigMachine};
use super::error::{Complaint, Field, RigError};
use super::validate::validate;

/// A rig file, read and checked as far as this is possible without the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RigFile {
    path: String,
    text: String,
    places: BTreeMap<Field, Range<usize>>,
    /// How the machine is reached.
    pub machine: RigMachine,
    /// How the peer's host is reached. `None`: the peer is on the machine of the NIC.
    pub peer_machine: Option<RigMachine>,
    /// The NIC and its peer.
    pub rig: Rig,
    /// How a machine that has crashed is rebooted.
    pub reboot: Option<Reboot>,
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    machine: WrittenMachine,
    nic: WrittenNic,
    peer: WrittenPeer,
    #[serde(default)]
    limits: WrittenLimits,
    reboot: Option<Reboot>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenMachine {
    host: Option<Spanned<String>>,
    #[serde(default)]
    ssh: Vec<String>,
    folder: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenNic {
    interface: Spanned<String>,
    queues: Spanned<Vec<u32>>,
    address: Spanned<String>,
    ring: Option<Spanned<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPeer {
    host: Option<Spanned<String>>,
    #[serde(default)]
    ssh: Vec<String>,
    folder: Option<String>,
    interface: Spanned<String>,
    namespace: Option<Spanned<String>>,
    address: Spanned<Ipv4Addr>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenLimits {
    first_port: Option<Spanned<u16>>,
    silence_seconds: Option<u32>,
    reconnect_seconds: Option<u32>,
}

/// The folder on a rig if the file names none. It is kept over a reboot.
const FOLDER: &str = "/var/tmp/ifq";
/// Describes the file.
const DOCUMENT: &str = "docs/RIGS.md";
const NAMESPACE: &str = "ifq-peer";
const FIRST_PORT: u16 = 9000;
const SILENCE_SECONDS: u32 = 30;
const RECONNECT_SECONDS: u32 = 120;

impl RigFile {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// A message for the user with the place in the file: it cannot be read, or is no rig file.
    pub fn load(path: &Path) -> Result<Self, String> {
        let name = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| {
            format!("{name}: {error}; expected a rig file, which docs/RIGS.md describes")
        })?;
        RigFile::parse(&name.to_string(), &text).map_err(|error| error.to_string())
    }

    /// Checks the text of a file with this name.
    ///
    /// # Errors
    ///
    /// [`RigError`].
    pub fn parse(path: &str, text: &str) -> Result<Self, RigError> {
        let written: Written =
            toml::from_str(text).map_err(|error| RigError::parse(path, text, &error, DOCUMENT))?;
        let places = places(&written);
        let file = written.into_file(path, text, places);
        let file = file.map_err(|(places, complaint)| locate(path, text, &places, complaint))?;
        match validate(&file.machine, file.peer_machine.as_ref(), &file.rig) {
            Some(complaint) => Err(file.error(complaint)),
            None => Ok(file),
        }
    }

    /// The file's path, as it was given.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The error that a complaint is, with its place.
    #[must_use]
    pub fn error(&self, complaint: Complaint) -> RigError {
        locate(&self.path, &self.text, &self.places, complaint)
    }
}

fn locate(
    path: &str,
    text: &str,
    places: &BTreeMap<Field, Range<usize>>,
    complaint: Complaint,
) -> RigError {
    // A field with a default value has no place: the first line then.
    let span = places.get(&complaint.field).cloned().unwrap_or(0..0);
    let problem = format!("{}: {}", complaint.field.name(), complaint.problem);
    RigError::new(path, text, span, problem, complaint.help)
}

fn places(written: &Written) -> BTreeMap<Field, Range<usize>> {
    let Written { machine, nic, peer, limits, .. } = written;
    let all = [
        (Field::Host, machine.host.as_ref().map(Spanned::span)),
        (Field::Interface, Some(nic.interface.span())),
        (Field::Queues, Some(nic.queues.span())),
        (Field::Address, Some(nic.address.span())),
        (Field::Ring, nic.ring.as_ref().map(Spanned::span)),
        (Field::PeerHost, peer.host.as_ref().map(Spanned::span)),
        (Field::PeerInterface, Some(peer.interface.span())),
        (Field::Namespace, peer.namespace.as_ref().map(Spanned::span)),
        (Field::PeerAddress, Some(peer.address.span())),
        (Field::FirstPort, limits.first_port.as_ref().map(Spanned::span)),
    ];
    all.into_iter().filter_map(|(field, span)| Some((field, span?))).collect()
}

type Places = BTreeMap<Field, Range<usize>>;

impl Written {
    fn into_file(
        self,
        path: &str,
        text: &str,
        places: Places,
    ) -> Result<RigFile, (Places, Complaint)> {
        let address = self.nic.address.into_inner();
        let parsed = address.split_once('/').and_then(|(address, prefix)| {
            Some((address.parse().ok()?, prefix.parse().ok().filter(|prefix| *prefix <= 30)?))
        });
        let Some((address, prefix)) = parsed else {
            let problem = format!("`{address}` is no address with a prefix");
            let help =
                "expected an IPv4 address and the length of its prefix, such as 192.0.2.1/24";
            return Err((places, Complaint::new(Field::Address, problem, help)));
        };
        let silence_seconds = self.limits.silence_seconds.unwrap_or(SILENCE_SECONDS).max(1);
        let reconnect_seconds = self.limits.reconnect_seconds.unwrap_or(RECONNECT_SECONDS);
        let reached = |host, ssh, folder: Option<String>| RigMachine {
            host,
            ssh,
            folder: folder.unwrap_or_else(|| FOLDER.to_owned()),
            silence_seconds,
            reconnect_seconds,
        };
        let peer_host = self.peer.host.map(Spanned::into_inner);
        let elsewhere = peer_host.is_some();
        Ok(RigFile {
            path: path.to_owned(),
            text: text.to_owned(),
            places,
            machine: reached(
                self.machine.host.map(Spanned::into_inner),
                self.machine.ssh,
                self.machine.folder,
            ),
            peer_machine: peer_host
                .map(|host| reached(Some(host), self.peer.ssh, self.peer.folder)),
            rig: Rig {
                nic: Nic {
                    interface: self.nic.interface.into_inner(),
                    queues: self.nic.queues.into_inner(),
                    address,
                    prefix,
                    ring: self.nic.ring.map(Spanned::into_inner),
                },
                peer: Peer {
                    interface: self.peer.interface.into_inner(),
                    namespace: self
                        .peer
                        .namespace
                        .map_or_else(|| NAMESPACE.to_owned(), Spanned::into_inner),
                    address: self.peer.address.into_inner(),
                    elsewhere,
                },
                first_port: self.limits.first_port.map_or(FIRST_PORT, Spanned::into_inner),
                silence_seconds,
            },
            reboot: self.reboot,
        })
    }
}
