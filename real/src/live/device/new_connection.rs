//! What is wanted of a connection to a device.

/// The connection that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct NewConnection {
    /// The number of the socket in the test.
    pub(in crate::live) socket: usize,
    /// The queue.
    pub(in crate::live) queue: u32,
    /// Size of the receive buffer in bytes.
    pub(in crate::live) receive_buffer: usize,
    /// Whether a step closes its near end.
    pub(in crate::live) closes: bool,
}
