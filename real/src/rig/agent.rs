//! What the tool and the program on a rig say to each other: a request on the first line of standard input,
//! answers as JSON lines on standard output. An empty line is a sign of life of the tool.

use serde::{Deserialize, Serialize};

use super::description::Rig;
use super::error::Complaint;

/// The hidden subcommand of `ifq` that runs on the rig.
pub const AGENT: &str = "rig-agent";
/// Seconds between two signs of life.
pub const BEAT_SECONDS: u64 = 1;

/// What the program on the rig is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request<J> {
    /// The rig.
    pub rig: Rig,
    /// What to do.
    pub action: Action<J>,
}

/// What to do on a rig. `J`: a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action<J> {
    /// Say what is there and what is missing.
    Check,
    /// Print the state of the interfaces.
    State,
    /// Undo the changes of a run that did not.
    Restore,
    /// Set the rig up, and restore it at the end of the input.
    Hold,
    /// Set the rig up, run a job, and restore it. The results are kept in a file.
    Run {
        /// The job.
        job: J,
        /// The file for the results.
        results: String,
    },
    /// Print the results in a file.
    Results {
        /// The file.
        results: String,
    },
    /// On the peer's host: what concerns the peer.
    Peer(PeerAction),
}

/// What to do on the host of a rig's peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerAction {
    /// Say whether the peer can be used.
    Check,
    /// Undo the changes of a run that did not.
    Restore,
    /// Set the peer up, be the far end of the rig's connections, and restore it at the end of the input.
    Serve,
}

/// A line of an answer other than that of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "rig", rename_all = "kebab-case")]
pub enum Answer {
    /// One line of a check.
    Item(Item),
    /// The state of the interfaces.
    State {
        /// The state.
        state: Box<super::state::RigState>,
    },
    /// The rig is set up.
    Ready,
    /// Something that the user should know.
    Note {
        /// What.
        text: String,
    },
    /// The rig is restored.
    Restored {
        /// How many changes were undone, if any.
        changes: usize,
    },
    /// The rig file is wrong, or the rig is.
    Refused {
        /// Why.
        complaint: Box<Complaint>,
    },
    /// It did not work.
    Failed {
        /// Why.
        why: String,
    },
}

/// One line of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What was looked at.
    pub what: String,
    /// Whether it is there.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// A command that would help, if it is missing.
    pub help: Option<String>,
}

/// The status of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It is there.
    There,
    /// It is not there, but tests run without it, or the set-up makes it.
    Optional,
    /// It is missing.
    Missing,
    /// It could not be found out.
    Unknown,
}
