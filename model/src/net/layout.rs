//! How a peer's bytes lie in packets and buffers: what the driver of the device decides.

use serde::{Deserialize, Serialize};

/// How the bytes of a send lie in packets and buffers. Only on a connection whose packets arrive on a device
/// queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// One packet for each page, in a buffer of its own.
    #[default]
    Pages,
    /// One packet, in so many buffers.
    Frags(u32),
    /// So many packets, in one buffer.
    Packets(u32),
}

impl Layout {
    /// Whether it is the default.
    #[must_use]
    pub fn is_pages(&self) -> bool {
        *self == Layout::Pages
    }

    /// The sizes of the parts that `len` bytes are cut into: pages, or parts of equal size, of which the first
    /// ones have the bytes that are left.
    pub fn parts(self, len: u32, page: u32) -> impl Iterator<Item = u32> {
        let nr = match self {
            Layout::Pages => len.div_ceil(page),
            Layout::Frags(nr) | Layout::Packets(nr) => nr.max(1),
        };
        (0..nr).map(move |i| match self {
            Layout::Pages => page.min(len - i * page),
            _ => len / nr + u32::from(i < len % nr),
        })
    }
}
