//! The accesses of the last step of a path.

/// The plain accesses and the releases of a step, for the data-race check; see [`crate::executor::race`].
#[derive(Clone, Debug, Default)]
pub(crate) struct PlainAccesses {
    /// Word, is write; in program order.
    pub(super) accesses: Vec<(u32, bool)>,
    /// Word, and number of accesses before the release.
    pub(super) releases: Vec<(u32, usize)>,
}

impl PlainAccesses {
    /// Begins a step.
    pub(super) fn clear(&mut self) {
        self.accesses.clear();
        self.releases.clear();
    }

    /// Whether the step has plain accesses.
    pub(crate) fn can_race(&self) -> bool {
        !self.accesses.is_empty()
    }

    /// Whether `next`, which begins by acquiring `acquired`, races with this step.
    pub(crate) fn race(&self, next: &PlainAccesses, acquired: Option<u32>) -> bool {
        let ordered = acquired
            .and_then(|word| self.releases.iter().rev().find(|(w, _)| *w == word))
            .map_or(0, |(_, accesses)| *accesses);
        let open = &self.accesses[ordered..];
        open.iter().any(|(word, write)| {
            next.accesses.iter().any(|(w, next_write)| w == word && (*write || *next_write))
        })
    }
}

/// The accesses of a step.
#[derive(Clone, Debug, Default)]
pub(crate) struct StepAccesses {
    /// Words, and whether the step writes them.
    pub(crate) accesses: Vec<(u32, bool)>,
    /// Words that the step adds to without reading.
    pub(crate) counter_updates: Vec<u32>,
}
