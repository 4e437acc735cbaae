//! How the threads of a run are moved against each other.

use std::time::{Duration, Instant};

use super::rng::Rng;

/// What one repetition does to its threads, drawn for all of them together.
#[derive(Clone, Copy, Debug)]
pub(super) struct DelayProfile {
    /// One of so many steps is held up; 0: none is.
    one_of: u64,
    /// For how long at most, in microseconds.
    micros: u64,
}

/// As long as the kernel needs for what it does on its own: an RCU grace period and the work that
/// follows it.
const LONG: u64 = 40_000;

impl DelayProfile {
    /// Of a repetition. Most let the threads run into each other; some hold one up for longer than a
    /// system call takes, few for longer than the end of a ring takes.
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let (one_of, micros) = match rng.below(64) {
            0 => (3, LONG),
            1..=8 => (2, 1000),
            9..=24 => (2, 200),
            25..=44 => (2, 20),
            _ => (0, 0),
        };
        DelayProfile { one_of, micros }
    }

    /// Holds a thread up before a step, or lets another one in.
    pub(super) fn step(self, rng: &mut Rng) {
        if self.one_of != 0 && rng.below(self.one_of) == 0 {
            hold(Duration::from_micros(rng.below(self.micros + 1)));
        } else if rng.below(3) == 0 {
            std::thread::yield_now();
        }
    }
}

/// Short times are spent running, since to sleep takes longer than that.
fn hold(time: Duration) {
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
    fn most_repetitions_hold_nobody_up_for_long_and_some_do() {
        let styles: Vec<DelayProfile> =
            (0..1000).map(|lane| DelayProfile::draw(&mut Rng::new(1, lane))).collect();
        let long = styles.iter().filter(|delays| delays.micros == LONG).count();
        assert!((1..60).contains(&long), "{long}");
        assert!(styles.iter().filter(|delays| delays.one_of == 0).count() > 200);
    }
}
