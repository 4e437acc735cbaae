//! Buffers as an application finds them: by the offset in a completion.

use crate::io_uring::cq::Cqe;
use crate::io_uring::uapi::{IORING_ZCRX_AREA_MASK, NIOV_SHIFT};
use crate::platform::Platform;
use crate::run_state::{ModelRun, Receive};

/// Bits of an offset that lie inside a buffer.
const BUFFER_OFFSET_MASK: u64 = (1 << NIOV_SHIFT) - 1;

/// The bytes that a completion points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundBytes {
    /// The step that made the area.
    pub area: usize,
    /// The connection that the bytes came from.
    pub stream: u32,
    /// The position in the stream of the first byte of the buffer.
    pub seq: u64,
}

/// The offset inside a buffer.
#[must_use]
pub fn buffer_offset(off: u64) -> u64 {
    off & BUFFER_OFFSET_MASK
}

/// The offset of the first byte of the buffer.
#[must_use]
pub fn buffer_start(off: u64) -> u64 {
    off & !BUFFER_OFFSET_MASK
}

/// The index of the buffer in its area.
#[must_use]
pub fn buffer_index(off: u64) -> Option<u32> {
    u32::try_from((off & !IORING_ZCRX_AREA_MASK) >> NIOV_SHIFT).ok()
}

impl<P: Platform> ModelRun<P> {
    /// The bytes that a completion of a request points to, if there are any.
    #[must_use]
    pub fn find_bytes(&self, receive: &Receive<P>, cqe: &Cqe) -> Option<FoundBytes> {
        let area = self.area_of(receive, cqe.off)?;
        let (stream, seq) = self.read_buffer(area, cqe.off)?;
        Some(FoundBytes { area, stream, seq })
    }

    /// The step whose area an offset points into, by the token that the kernel wrote. After a
    /// failed `add-area` the kernel may have written the same token for another area; memory that
    /// is not pinned is no area.
    fn area_of(&self, receive: &Receive<P>, off: u64) -> Option<usize> {
        let mem = |step: usize| self.regions[step].as_ref().map(|region| &region.area);
        let matches = |step: &usize| {
            mem(*step).is_some_and(|mem| mem.token() == Some(off & IORING_ZCRX_AREA_MASK))
        };
        let pinned = |step: &usize| mem(*step).is_some_and(|mem| mem.pins.count() != 0);
        let mut candidates = receive.areas.iter().copied().filter(matches);
        candidates.clone().find(pinned).or_else(|| candidates.next())
    }

    /// Connection and stream position of the bytes in a buffer of an area.
    #[must_use]
    pub fn read_buffer(&self, area: usize, off: u64) -> Option<(u32, u64)> {
        let mem = &self.regions.get(area)?.as_ref()?.area;
        mem.read(buffer_index(off)?)
    }
}
