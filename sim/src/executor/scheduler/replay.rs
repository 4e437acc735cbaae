//! Replay of a recorded schedule.

use std::cell::Cell;
use std::rc::Rc;

use ifq_model::fault::FaultPoint;

use super::choice::{Scheduler, SchedulingPoint};

/// Repeats recorded decisions. Afterwards the thread that ran last continues, and nothing fails.
#[derive(Clone, Debug)]
pub struct Replay {
    decisions: std::vec::IntoIter<u32>,
    diverged: Rc<Cell<Option<usize>>>,
    taken: usize,
}

impl Replay {
    /// Replays [`crate::executor::run::RunResult::decisions`].
    #[must_use]
    pub fn new(decisions: &[u32]) -> Self {
        let decisions = Vec::from(decisions).into_iter();
        Replay { decisions, diverged: Rc::default(), taken: 0 }
    }

    /// A cell that holds, after the run, the position of the decision that was not possible.
    #[must_use]
    pub fn diverged(&self) -> Rc<Cell<Option<usize>>> {
        self.diverged.clone()
    }

    fn next(&mut self) -> Option<u32> {
        self.taken += 1;
        self.decisions.next()
    }
}

impl Scheduler for Replay {
    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize> {
        let Some(thread) = self.next() else { return Some(0) };
        let found = point.enabled.iter().position(|t| *t == thread as usize);
        if found.is_none() {
            self.diverged.set(Some(self.taken - 1));
        }
        found
    }

    fn fault(&mut self, _: FaultPoint) -> bool {
        self.next() == Some(1)
    }
}
