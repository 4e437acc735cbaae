//! Delays between the threads of a run, chosen by the seed.

use std::time::{Duration, Instant};

use super::rng::Rng;

/// The delays of one repetition; all its threads use the same profile.
#[derive(Clone, Copy, Debug)]
pub(super) struct DelayProfile {
    /// One of so many steps is delayed, on average. 0: no step is.
    one_of: u64,
    /// The longest delay, in microseconds.
    micros: u64,
}

/// Microseconds that the kernel needs for its background work: an RCU grace period and the work items
/// after it.
const LONG: u64 = 40_000;

impl DelayProfile {
    /// The profile of a repetition. Most have no or short delays, so that system calls overlap; some
    /// delay a thread for longer than a system call takes, and a few for longer than the teardown of a
    /// ring takes.
    pub(super) fn choose(rng: &mut Rng) -> Self {
        let (one_of, micros) = match rng.below(64) {
            0 => (3, LONG),
            1..=8 => (2, 1000),
            9..=24 => (2, 200),
            25..=44 => (2, 20),
            _ => (0, 0),
        };
        DelayProfile { one_of, micros }
    }

    /// Delays the calling thread before a step, or yields to another one.
    pub(super) fn step(self, rng: &mut Rng) {
        if self.one_of != 0 && rng.below(self.one_of) == 0 {
            delay(Duration::from_micros(rng.below(self.micros + 1)));
        } else if rng.below(3) == 0 {
            std::thread::yield_now();
        }
    }
}

/// Short delays spin, because a sleep takes longer.
fn delay(time: Duration) {
    if time > Duration::from_micros(100) {
        std::thread::sleep(time);
        return;
    }
    let start = Instant::now();
    while start.elapsed() < time {
        std::thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_repetitions_have_no_long_delay_and_some_have() {
        let profiles: Vec<DelayProfile> =
            (0..1000).map(|lane| DelayProfile::choose(&mut Rng::new(1, lane))).collect();
        let long = profiles.iter().filter(|profile| profile.micros == LONG).count();
        assert!((1..60).contains(&long), "{long}");
        assert!(profiles.iter().filter(|profile| profile.one_of == 0).count() > 200);
    }
}
