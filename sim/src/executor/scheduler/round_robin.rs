//! A fair schedule after a recorded prefix.

use std::collections::BTreeMap;

use ifq_model::fault::FaultPoint;

use super::choice::{Scheduler, SchedulingPoint};

/// Repeats recorded decisions, then schedules fairly: the enabled thread that has waited longest runs, and
/// nothing fails.
#[derive(Debug)]
pub(crate) struct RoundRobin {
    decisions: std::vec::IntoIter<u32>,
    /// By slot: time of its last step.
    last_run: BTreeMap<u32, u64>,
    clock: u64,
}

impl RoundRobin {
    /// The recorded prefix.
    pub(crate) fn new(decisions: &[u32]) -> Self {
        let decisions = Vec::from(decisions).into_iter();
        RoundRobin { decisions, last_run: BTreeMap::new(), clock: 0 }
    }
}

impl Scheduler for RoundRobin {
    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize> {
        let last_run = |position: &usize| {
            let slot = point.slot(point.enabled[*position]);
            (self.last_run.get(&slot).copied().unwrap_or(0), slot)
        };
        let picked = match self.decisions.next() {
            Some(thread) => point.enabled.iter().position(|t| *t == thread as usize)?,
            None => (0..point.enabled.len()).min_by_key(last_run)?,
        };
        self.clock += 1;
        self.last_run.insert(point.slot(point.enabled[picked]), self.clock);
        Some(picked)
    }

    fn fault(&mut self, _: FaultPoint) -> bool {
        self.decisions.next() == Some(1)
    }
}
