//! The network device of a test: the soft NIC of a guest.
//!
//! The receiving interface is a NIC with queues. Its peer interface has no IP address: a packet socket writes
//! each frame to it, so that a packet arrives when a step says so, once, and is not sent again if it is
//! dropped.

mod frame;
mod nic;
mod peer;
mod rig;
pub mod selftest;
mod soft_nic;

use std::fmt;
use std::net::TcpStream;
use std::sync::Arc;

use ifq_model::test::Test;

use crate::job::DevicePackets;
use crate::kernels::supported::Equipment;
use crate::rig::Rig;

pub(super) use peer::DevicePeer;

/// The network device of a machine.
pub type Nic = dyn Device;

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

/// The far end of a connection over a device.
#[derive(Debug)]
pub(super) enum Far {
    /// Its frames are written one by one.
    Frames(DevicePeer),
    /// A socket of the kernel.
    Socket(TcpStream),
}

/// A network device with queues for tests. Queues and sockets are numbered as in the test.
pub trait Device: fmt::Debug + Send + Sync {
    /// What it can do.
    fn equipment(&self) -> Equipment;

    /// Prepares a run of a test: all queues are free, the device is up, and the packets of each socket go to its
    /// queue.
    ///
    /// # Errors
    ///
    /// A message for the user: a queue is still bound, or the device cannot be set up.
    fn prepare(&self, test: &Test) -> Result<(), String>;

    /// Waits until no queue of a test is bound.
    ///
    /// # Errors
    ///
    /// A message for the user: a queue stays bound although all rings are closed.
    fn wait_until_unbound(&self, queues: u32) -> Result<(), String>;

    /// Waits until no queue of a test is bound, or for a time in which background work would have ended.
    fn settle(&self, queues: u32);

    /// The index of the device at the start of the run.
    fn index(&self) -> u32;

    /// The number of a queue of a test in the kernel. A queue that the test's device does not have is one that
    /// the NIC does not have.
    fn queue_of(&self, test: &Test, queue: u32) -> u32;

    /// Takes the device down or up: 0 or -errno.
    fn set_running(&self, up: bool) -> i64;

    /// Unregisters the device: 0 or -errno. Does nothing the second time.
    fn unregister(&self) -> i64;

    /// Restarts a queue: 0 or -errno.
    fn restart(&self, queue: u32) -> i64;

    /// The packets with payload since the last call. `None`: the device does not count them.
    fn take_packets(&self) -> Option<DevicePackets>;

    /// Makes a connection whose packets arrive on a queue.
    ///
    /// # Errors
    ///
    /// A message for the user: the connection cannot be made.
    #[doc(hidden)]
    fn connect(self: Arc<Self>, connection: NewConnection) -> Result<Connected, String>;
}

/// The connection that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct NewConnection {
    /// The number of the socket in the test.
    pub(super) socket: usize,
    /// The queue.
    pub(super) queue: u32,
    /// Size of the receive buffer in bytes.
    pub(super) receive_buffer: usize,
}

/// A connection: its far end and its near end.
#[derive(Debug)]
pub struct Connected {
    pub(super) far: Far,
    pub(super) near: TcpStream,
}
