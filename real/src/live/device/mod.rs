//! The network device of a test: the soft NIC of a guest, or the NIC of a hardware rig.
//!
//! Over the soft NIC no packet is a matter of luck. The receiving interface is a NIC with queues. Its peer interface has no IP address: a packet socket writes
//! each frame to it, so that a packet arrives when a step says so, once, and is not sent again if it is
//! dropped.

mod arrivals;
mod far_host;
mod frame;
mod interface;
mod new_connection;
mod nic;
mod peer;
mod rig;
pub mod selftest;
mod soft_device;
mod soft_nic;
mod tap;
mod watch;

use std::sync::Arc;

use crate::rig::Rig;

pub(super) use far_host::FarSocket;
pub(super) use interface::Far;
pub use interface::{Connected, Device, Nic};
pub use new_connection::NewConnection;
pub(super) use peer::DevicePeer;
pub(super) use watch::Watch;

/// The device of this machine: of the rig, or the soft NIC. `None`: there is none.
///
/// # Errors
///
/// A message for the user: it cannot be set up.
pub fn open(rig: Option<&Rig>) -> Result<Option<Arc<Nic>>, String> {
    if let Some(rig) = rig {
        return Ok(Some(Arc::new(rig::RigNic::open(rig)?)));
    }
    Ok(nic::SoftDevice::open()?.map(|device| Arc::new(device) as Arc<Nic>))
}
