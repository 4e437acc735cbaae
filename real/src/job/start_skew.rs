//! Start skew: how far apart the threads of a race started.

use serde::{Deserialize, Serialize};

/// Time between the first and the last thread, over all repetitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartSkew {
    /// At the release from the start barrier.
    pub release: Quantiles,
    /// At the first operation, after the delays of the seed.
    pub first_step: Quantiles,
}

/// Quantiles of times in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantiles {
    /// The median.
    pub median_ns: u64,
    /// The 90th percentile.
    pub p90_ns: u64,
}

/// The skew of one repetition in nanoseconds: at the release, and at the first operation.
pub type SkewSample = (u64, u64);

impl StartSkew {
    /// The quantiles over all repetitions. `None`: there is no repetition.
    #[must_use]
    pub fn of(samples: &[SkewSample]) -> Option<Self> {
        let release = Quantiles::of(samples.iter().map(|sample| sample.0))?;
        let first_step = Quantiles::of(samples.iter().map(|sample| sample.1))?;
        Some(StartSkew { release, first_step })
    }
}

impl Quantiles {
    fn of(times: impl Iterator<Item = u64>) -> Option<Self> {
        let mut times: Vec<u64> = times.collect();
        times.sort_unstable();
        // The smallest time that at least `tenths` tenths of the times do not exceed.
        let up_to = |tenths: usize| times.get((times.len() * tenths).div_ceil(10).checked_sub(1)?);
        Some(Quantiles { median_ns: *up_to(5)?, p90_ns: *up_to(9)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_90th_percentile_are_taken_from_the_sorted_times() {
        let samples: Vec<SkewSample> = (1..=10).rev().map(|n| (n, 100 * n)).collect();
        let spread = StartSkew::of(&samples).unwrap();
        assert_eq!(spread.release, Quantiles { median_ns: 5, p90_ns: 9 });
        assert_eq!(spread.first_step, Quantiles { median_ns: 500, p90_ns: 900 });
        assert_eq!(
            StartSkew::of(&[(7, 8)]).unwrap().release,
            Quantiles { median_ns: 7, p90_ns: 7 }
        );
        assert_eq!(StartSkew::of(&[]), None);
    }
}
