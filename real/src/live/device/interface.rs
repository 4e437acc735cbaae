//! What tests need of a network device.

use std::fmt;
use std::net::TcpStream;
use std::sync::Arc;

use ifq_model::test::Test;

use super::far_host::FarSocket;
use super::new_connection::NewConnection;
use super::peer::DevicePeer;
use super::watch::Watch;
use crate::job::DevicePackets;
use crate::kernels::supported::Equipment;

/// The network device of a machine.
pub type Nic = dyn Device;

/// The far end of a connection over a device.
#[derive(Debug)]
pub(in crate::live) enum Far {
    /// Its frames are written one by one.
    Frames(DevicePeer),
    /// A socket of the kernel.
    Socket(TcpStream, Watch),
    /// A socket of the kernel of the peer's host.
    OnHost(FarSocket, Watch),
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

    /// Lets the next allocation of a queue's memory fail that is made while a memory provider is bound to the
    /// queue (`bound`), or while none is.
    ///
    /// # Errors
    ///
    /// A message for the user: the device cannot do this.
    fn fail_allocation(&self, queue: u32, bound: bool) -> Result<(), String>;

    /// From now on no allocation fails. A queue that kept its old memory, because its restart failed, is
    /// restarted.
    ///
    /// # Errors
    ///
    /// A message for the user: the device cannot be restored.
    fn end_failures(&self) -> Result<(), String>;

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

/// A connection: its far end and its near end.
#[derive(Debug)]
pub struct Connected {
    pub(in crate::live) far: Far,
    pub(in crate::live) near: TcpStream,
}
