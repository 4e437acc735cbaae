//! Symmetry reduction: merges states that are equal up to a permutation of interchangeable objects.
//!
//! The core idea is to search one representative of each orbit (Clarke, Enders, Filkorn, Jha, "Exploiting
//! Symmetry in Temporal Logic Model Checking", Formal Methods in System Design 9, 1996). Rings, with
//! their connections and threads, are permuted explicitly. [Buffers](BufferSymmetry) have a canonical form
//! that needs no enumeration of permutations.

pub(crate) mod rings;

pub use crate::executor::buffer_symmetry::BufferSymmetry;
pub use rings::permutation_count;

/// The symmetry reductions that a search uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Symmetries {
    /// Permutations of rings, with their connections and threads. Exact.
    pub rings: bool,
    /// Permutations of buffers. Not exact if a loop visits all buffers in order, as `io_zcrx_scrub` does; see
    /// [`BufferSymmetry`].
    pub buffers: bool,
}

impl Symmetries {
    /// No symmetry reduction.
    pub const NONE: Symmetries = Symmetries { rings: false, buffers: false };
    /// Rings only.
    pub const RINGS: Symmetries = Symmetries { rings: true, buffers: false };
    /// Buffers only.
    pub const BUFFERS: Symmetries = Symmetries { rings: false, buffers: true };
    /// Both.
    pub const BOTH: Symmetries = Symmetries { rings: true, buffers: true };
}
