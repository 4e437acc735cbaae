//! What differs by name only: states that differ in nothing else are one.
//!
//! Buffers ([`Symmetry`]) are told apart by what their words hold; rings, with their connections and the
//! threads that drive them, by the [renamings] that leave a test as it is.

pub(crate) mod buffers;
pub(crate) mod renaming;
pub(crate) mod rings;

pub use buffers::Symmetry;
pub use rings::renamings;

/// What is taken for one that differs by name only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Symmetries {
    /// Rings, with the connections and threads that are theirs. Exact.
    pub rings: bool,
    /// Buffers. Not exact where a loop goes over all of them in order, as `io_zcrx_scrub` does; see
    /// [`Symmetry`].
    pub buffers: bool,
}

impl Symmetries {
    /// Everything goes by its name.
    pub const NONE: Symmetries = Symmetries { rings: false, buffers: false };
    /// Rings only.
    pub const RINGS: Symmetries = Symmetries { rings: true, buffers: false };
    /// Buffers only.
    pub const BUFFERS: Symmetries = Symmetries { rings: false, buffers: true };
    /// Both.
    pub const BOTH: Symmetries = Symmetries { rings: true, buffers: true };
}
