//! Contributions of words to the fingerprint of a state and to the signatures of its buffers.

use super::fingerprint::Fingerprint;

/// The contribution of a word with its value to a fingerprint, and to which one: the top byte is zero for
/// the state's own fingerprint, or else the buffer's index plus one. Small, because each write moves some.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contribution(Fingerprint);

/// Number of bits below the top byte.
const OWNER_SHIFT: u32 = Fingerprint::BITS - 8;

impl Contribution {
    pub(crate) const NONE: Contribution = Contribution(0);

    /// Maximum number of symmetric buffers.
    pub(crate) const MAX_BUFFERS: u32 = u8::MAX as u32;

    /// A contribution to the state's own fingerprint.
    pub(crate) fn of_state(hash: Fingerprint) -> Self {
        Contribution(hash & ((1 << OWNER_SHIFT) - 1))
    }

    /// A contribution to the signature of a buffer, below [`Contribution::MAX_BUFFERS`].
    pub(crate) fn of_buffer(buffer: u32, hash: Fingerprint) -> Self {
        Contribution(Contribution::of_state(hash).0 | Fingerprint::from(buffer + 1) << OWNER_SHIFT)
    }

    pub(crate) fn hash(self) -> Fingerprint {
        Contribution::of_state(self.0).0
    }

    /// The buffer; `None` for the state's own fingerprint.
    #[inline]
    pub(crate) fn buffer(self) -> Option<u32> {
        ((self.0 >> OWNER_SHIFT) as u32).checked_sub(1)
    }
}
