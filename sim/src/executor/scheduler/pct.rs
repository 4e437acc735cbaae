//! Probabilistic concurrency testing (PCT).

use std::collections::BTreeMap;

use ifq_model::fault::FaultPoint;

use super::choice::{Scheduler, SchedulingPoint};
use crate::executor::rng::Rng;

/// Probabilistic concurrency testing: runs the enabled thread of highest priority (Burckhardt, Kothari,
/// Musuvathi, Nagarakatte, "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs",
/// ASPLOS 2010). Reaches states in which one thread is far ahead of another, which [`super::random`] hardly
/// ever does.
///
/// Departure from the paper: the number of priority changes is not fixed. After each step the thread that
/// ran gets the lowest priority with probability 1/50.
#[derive(Clone, Debug)]
pub(crate) struct Pct {
    rng: Rng,
    /// By slot.
    priorities: BTreeMap<u32, i64>,
    lowest: i64,
}

/// Average number of steps between two changes of a priority.
const STEPS_PER_CHANGE: u64 = 50;

impl Pct {
    /// The same seed gives the same decisions.
    pub(crate) fn new(seed: u64) -> Self {
        Pct { rng: Rng::new(seed), priorities: BTreeMap::new(), lowest: 0 }
    }
}

impl Scheduler for Pct {
    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize> {
        for thread in point.enabled {
            let priority = self.rng.below(1 << 32) as i64;
            self.priorities.entry(point.slot(*thread)).or_insert(priority);
        }
        let positions = 0..point.enabled.len();
        let picked = positions
            .max_by_key(|position| self.priorities[&point.slot(point.enabled[*position])])?;
        if self.rng.below(STEPS_PER_CHANGE) == 0 {
            self.lowest -= 1;
            self.priorities.insert(point.slot(point.enabled[picked]), self.lowest);
        }
        Some(picked)
    }

    fn fault(&mut self, _: FaultPoint) -> bool {
        self.rng.below(8) == 0
    }
}
