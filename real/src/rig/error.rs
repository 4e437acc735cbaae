//! Errors of rig files, with their place.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An error of a rig file.
pub use crate::toml_error::TomlError as RigError;

/// A field of a rig file, or a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Field {
    /// `machine.host`.
    Host,
    /// `nic.interface`.
    Interface,
    /// `nic.queues`.
    Queues,
    /// `nic.address`.
    Address,
    /// `nic.ring`.
    Ring,
    /// `peer.host`.
    PeerHost,
    /// `peer.interface`.
    PeerInterface,
    /// `peer.namespace`.
    Namespace,
    /// `peer.address`.
    PeerAddress,
    /// `limits.first_port`.
    FirstPort,
}

impl Field {
    /// The name as the file has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Field::Host => "machine.host",
            Field::Interface => "nic.interface",
            Field::Queues => "nic.queues",
            Field::Address => "nic.address",
            Field::Ring => "nic.ring",
            Field::PeerHost => "peer.host",
            Field::PeerInterface => "peer.interface",
            Field::Namespace => "peer.namespace",
            Field::PeerAddress => "peer.address",
            Field::FirstPort => "limits.first_port",
        }
    }
}

/// What is wrong about a field, and what to do. The rig finds some of this, and does not know the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complaint {
    /// The field.
    pub field: Field,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub help: String,
}

impl Complaint {
    /// About a field.
    #[must_use]
    pub fn new(field: Field, problem: impl Into<String>, help: impl Into<String>) -> Self {
        Complaint { field, problem: problem.into(), help: help.into() }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.field.name(), self.problem, self.help)
    }
}
