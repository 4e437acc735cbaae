//! The decisions of the current run of a stateless search, and backtracking.

/// One decision: the alternative that is taken.
#[derive(Debug)]
enum Decision {
    /// Index into the enabled threads, and their number.
    Pick { taken: usize, of: usize },
    /// Whether the fault point fails; success comes first.
    Fault(bool),
}

/// A path in the tree of decisions, in depth-first order.
#[derive(Debug, Default)]
pub(crate) struct DecisionPath {
    decisions: Vec<Decision>,
    position: usize,
}

impl DecisionPath {
    /// Whether the run is at the end of the path: the next decision is a new one.
    pub(crate) fn at_end(&self) -> bool {
        self.position >= self.decisions.len()
    }

    /// The next thread of the path; `None` at its end.
    pub(crate) fn pick(&mut self) -> Option<usize> {
        let Some(Decision::Pick { taken, .. }) = self.decisions.get(self.position) else {
            return None;
        };
        self.position += 1;
        Some(*taken)
    }

    /// Appends the first of `of` threads.
    pub(crate) fn push_pick(&mut self, of: usize) {
        self.decisions.push(Decision::Pick { taken: 0, of });
        self.position += 1;
    }

    /// Whether the next fault point fails. A new one at the end of the path succeeds.
    pub(crate) fn fault(&mut self) -> bool {
        if self.at_end() {
            self.decisions.push(Decision::Fault(false));
        }
        self.position += 1;
        matches!(self.decisions.get(self.position - 1), Some(Decision::Fault(true)))
    }

    /// Changes the last decision that has an untried alternative, for a new run; `false` if there is none.
    pub(crate) fn backtrack(&mut self) -> bool {
        self.position = 0;
        while let Some(decision) = self.decisions.last_mut() {
            match decision {
                Decision::Pick { taken, of } if *taken + 1 < *of => {
                    *taken += 1;
                    return true;
                }
                Decision::Fault(fails @ false) => {
                    *fails = true;
                    return true;
                }
                _ => {
                    self.decisions.pop();
                }
            }
        }
        false
    }
}
