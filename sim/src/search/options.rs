//! Search options.

use crate::symmetry::Symmetries;

/// Search options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SearchOptions {
    /// End a path at a visited state.
    pub(crate) remember_states: bool,
    /// Partial-order reduction by persistent sets.
    pub(crate) persistent_sets: bool,
    /// Partial-order reduction by sleep sets.
    pub(crate) sleep_sets: bool,
    /// Symmetry reduction.
    pub(crate) symmetry: Symmetries,
    /// Count the orbits of the visited states under these symmetries.
    pub(crate) count_orbits: Symmetries,
    /// Maximum number of preemptions on a path.
    pub(crate) preemptions: Option<u32>,
}

impl SearchOptions {
    /// A visited set, and no reduction.
    pub(crate) const UNREDUCED: SearchOptions = SearchOptions {
        remember_states: true,
        persistent_sets: false,
        sleep_sets: false,
        symmetry: Symmetries::NONE,
        count_orbits: Symmetries::NONE,
        preemptions: None,
    };
}
