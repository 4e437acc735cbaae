//! The soft NIC as a device of tests.

use std::sync::Arc;

use ifq_model::test::Test;

use super::interface::{Connected, Device, Far};
use super::new_connection::NewConnection;
use super::nic::SoftDevice;
use super::peer::DevicePeer;
use crate::job::DevicePackets;
use crate::kernels::supported::Equipment;

impl Device for SoftDevice {
    fn equipment(&self) -> Equipment {
        self.equipment()
    }

    fn prepare(&self, test: &Test) -> Result<(), String> {
        self.prepare(test)
    }

    fn wait_until_unbound(&self, queues: u32) -> Result<(), String> {
        self.wait_until_unbound(queues)
    }

    fn settle(&self, queues: u32) {
        self.settle(queues)
    }

    fn index(&self) -> u32 {
        self.index()
    }

    fn queue_of(&self, test: &Test, queue: u32) -> u32 {
        self.queue_of(test, queue)
    }

    fn set_running(&self, up: bool) -> i64 {
        self.set_running(up)
    }

    fn unregister(&self) -> i64 {
        self.unregister()
    }

    fn restart(&self, queue: u32) -> i64 {
        self.restart(queue)
    }

    fn fail_allocation(&self, queue: u32, bound: bool) -> Result<(), String> {
        self.fail_allocation(queue, bound)
    }

    fn end_failures(&self) -> Result<(), String> {
        self.end_failures()
    }

    fn take_packets(&self) -> Option<DevicePackets> {
        self.take_packets()
    }

    fn connect(self: Arc<Self>, wanted: NewConnection) -> Result<Connected, String> {
        let (peer, near) = DevicePeer::connect(&self, wanted)?;
        Ok(Connected { far: Far::Frames(peer), near })
    }
}
