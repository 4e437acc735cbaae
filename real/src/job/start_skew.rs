//! How far apart the threads of a race were, repetition by repetition.

use serde::{Deserialize, Serialize};

/// Times between the first and the last thread, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartSkew {
    /// When they are released.
    pub release: Quantiles,
    /// When they begin their first operation, after the seed has held some of them up.
    pub first_step: Quantiles,
}

/// Of many times, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Half of them are at most this.
    pub median_ns: u64,
    /// Nine of ten are at most this.
    pub p90_ns: u64,
}

/// What is result of one repetition: release and first step.
pub type SkewSample = (u64, u64);

impl StartSkew {
    /// Of all repetitions; `None` if there were none.
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
        // The smallest time that so many tenths are not above.
        let up_to = |tenths: usize| times.get((times.len() * tenths).div_ceil(10).checked_sub(1)?);
        Some(Quantiles { median_ns: *up_to(5)?, p90_ns: *up_to(9)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_times_are_at_most_the_median_and_nine_of_ten_at_most_the_ninth_tenth() {
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
