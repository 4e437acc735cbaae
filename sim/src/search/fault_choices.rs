//! The choices at the fault points of a step.

/// Maximum number of fault points in one step; no step of the model has as many.
pub(crate) const MAX_CHOICES: usize = 64;

/// The choices at the fault points of one step.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultChoices {
    taken: Vec<bool>,
    position: usize,
}

impl FaultChoices {
    /// Selects the first alternative: nothing fails.
    pub(crate) fn reset(&mut self) {
        self.taken.clear();
    }

    /// Sets the first choices of the next step.
    pub(crate) fn preset(&mut self, choices: impl Iterator<Item = bool>) {
        self.taken.clear();
        self.taken.extend(choices);
    }

    /// Number of choices that the last step consumed.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// Rewinds to the first choice of a step.
    pub(super) fn rewind(&mut self) {
        self.position = 0;
    }

    /// The choice at the next fault point of the step; a new one is "succeeds".
    pub(super) fn next(&mut self) -> bool {
        self.position += 1;
        if self.position > self.taken.len() {
            self.taken.push(false);
        }
        self.taken[self.position - 1]
    }

    /// The choices of the last step.
    pub(crate) fn taken(&self) -> &[bool] {
        &self.taken
    }

    /// Selects the next alternative in depth-first order; `false` if there is none.
    pub(crate) fn advance(&mut self) -> bool {
        while let Some(fails) = self.taken.pop() {
            if !fails {
                self.taken.push(true);
                return true;
            }
        }
        false
    }
}
