//! The decisions of the run that a search is at, and the way back from it.

/// A decision of the run: the alternative that is taken.
#[derive(Debug)]
enum Branch {
    /// The index into the enabled threads, and how many there are.
    Pick { taken: usize, of: usize },
    /// Whether the fault point fails; it succeeds first.
    Fault(bool),
}

/// A path through the tree of decisions, depth first. Threads are futures and cannot be copied, so
/// going back means running again from the start along the path.
#[derive(Debug, Default)]
pub(crate) struct Path {
    branches: Vec<Branch>,
    position: usize,
}

impl Path {
    /// Whether the run has come to the end of the path: the next decision is a first one.
    pub(crate) fn at_end(&self) -> bool {
        self.position >= self.branches.len()
    }

    /// The next pick of the path; `None` at its end.
    pub(crate) fn pick(&mut self) -> Option<usize> {
        let Some(Branch::Pick { taken, .. }) = self.branches.get(self.position) else {
            return None;
        };
        self.position += 1;
        Some(*taken)
    }

    /// Goes on with the first of `of` threads.
    pub(crate) fn push_pick(&mut self, of: usize) {
        self.branches.push(Branch::Pick { taken: 0, of });
        self.position += 1;
    }

    /// Whether the next fault point fails; one at the end of the path does not.
    pub(crate) fn fault(&mut self) -> bool {
        if self.at_end() {
            self.branches.push(Branch::Fault(false));
        }
        self.position += 1;
        matches!(self.branches.get(self.position - 1), Some(Branch::Fault(true)))
    }

    /// Turns the last decision that has one to its next alternative, for a new run. `false`: none
    /// is left.
    pub(crate) fn backtrack(&mut self) -> bool {
        self.position = 0;
        while let Some(branch) = self.branches.last_mut() {
            match branch {
                Branch::Pick { taken, of } if *taken + 1 < *of => {
                    *taken += 1;
                    return true;
                }
                Branch::Fault(fails @ false) => {
                    *fails = true;
                    return true;
                }
                _ => {
                    self.branches.pop();
                }
            }
        }
        false
    }
}
