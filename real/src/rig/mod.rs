//! Hardware rigs: machines with a NIC, local or reached through ssh, which a file describes.
//!
//! `docs/RIGS.md` describes the file and the safety rules.

#[cfg(target_os = "linux")]
pub mod agent;
mod description;
mod error;
#[cfg(target_os = "linux")]
pub mod far_end;
mod file;
#[cfg(target_os = "linux")]
pub mod journal;
#[cfg(target_os = "linux")]
pub mod refusal;
#[cfg(target_os = "linux")]
pub mod setup;
#[cfg(target_os = "linux")]
pub mod state;
mod validate;

pub use description::{Nic, Peer, Reboot, Rig, RigMachine};
pub use error::{Complaint, Field, RigError};
pub use file::RigFile;
