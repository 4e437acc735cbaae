//! Faults of the storm: each fault point has its own probability.

use std::fmt;

use ifq_model::fault::FaultPoint;
use serde::Serialize;

use super::profile::Profile;
use crate::executor::rng::Rng;

/// A fault point that may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct FaultRate {
    /// The point.
    pub point: FaultPoint,
    /// How often it fails, of a thousand times.
    pub per_thousand: u32,
}

impl fmt::Display for FaultRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}/1000", self.point, self.per_thousand)
    }
}

/// Draws the fault points that may fail, each with a probability of its own.
pub(super) fn draw_faults(rng: &mut Rng, profile: Profile) -> Vec<FaultRate> {
    let none = rng.below(3) == 0;
    let percent = if profile == Profile::Smoke { 20 } else { 40 };
    let mut faults = Vec::new();
    for point in FaultPoint::ALL {
        let (on, small) = (rng.below(100) < percent, rng.below(2) == 0);
        let per_thousand = 1 + rng.below(if small { 20 } else { 300 }) as u32;
        if on && !none {
            faults.push(FaultRate { point: *point, per_thousand });
        }
    }
    faults
}

/// Decides which fault points fail.
#[derive(Clone, Debug)]
pub(super) struct Faults {
    rng: Rng,
    rates: Vec<FaultRate>,
}

impl Faults {
    pub(super) fn new(seed: u64, rates: &[FaultRate]) -> Self {
        Faults { rng: Rng::new(seed), rates: rates.to_vec() }
    }

    /// Whether a point fails now.
    pub(super) fn fails(&mut self, point: FaultPoint) -> bool {
        let rate = self.rates.iter().find(|rate| rate.point == point);
        rate.is_some_and(|rate| self.rng.below(1000) < u64::from(rate.per_thousand))
    }
}
