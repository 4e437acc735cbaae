//! Uniformly random schedules.

use ifq_model::fault::FaultPoint;

use super::choice::{Scheduler, SchedulingPoint};
use crate::executor::rng::Rng;

/// Picks each enabled thread with equal probability. A fault point fails with probability 1/8.
#[derive(Clone, Debug)]
pub struct Random {
    rng: Rng,
}

impl Random {
    /// The same seed gives the same decisions.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Random { rng: Rng::new(seed) }
    }
}

impl Scheduler for Random {
    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize> {
        Some(self.rng.below(point.enabled.len() as u64) as usize)
    }

    fn fault(&mut self, _: FaultPoint) -> bool {
        self.rng.below(8) == 0
    }
}
