//! The network device of a test: the soft NIC of a guest.
//!
//! The receiving interface is a NIC with queues. Its peer interface has no IP address: a packet socket writes
//! each frame to it, so that a packet arrives when a step says so, once, and is not sent again if it is
//! dropped.

mod frame;
mod nic;
mod peer;
pub mod selftest;
mod soft_nic;

pub use nic::Nic;
pub(super) use peer::DevicePeer;
