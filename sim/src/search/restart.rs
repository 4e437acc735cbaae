//! Abandons a pass that must be repeated anyway.

use super::options::SearchOptions;

/// Decides when a pass that has recorded unknown steps is abandoned, because it must be repeated anyway: when
/// the number of states has doubled since the last recorded step.
#[derive(Clone, Copy, Debug)]
pub(super) struct RestartHeuristic {
    /// Number of states at the last recorded path, and number of recorded paths then.
    last: Option<(u64, usize)>,
    /// Whether a pass must be repeated at all: only if persistent sets depend on the table.
    repeats: bool,
    /// Number of states below which a pass is not abandoned.
    margin: u64,
}

impl RestartHeuristic {
    pub(super) fn new(options: SearchOptions, margin: u64) -> Self {
        RestartHeuristic { last: None, repeats: options.persistent_sets, margin }
    }

    /// Whether to abandon the pass.
    pub(super) fn should_restart(&mut self, states: u64, recorded_paths: usize) -> bool {
        if recorded_paths > self.last.map_or(0, |(_, before)| before) && self.repeats {
            self.last = Some((states, recorded_paths));
        }
        self.last.is_some_and(|(since, _)| states > 2 * since + self.margin)
    }
}
