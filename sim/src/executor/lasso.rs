//! Detection of infinite runs: lassos, a prefix followed by a cycle.
//!
//! The core idea is to look for a periodic sequence of control states at the end of a long run. Memory and
//! program points can be compared, the private state of a thread cannot. A sequence therefore counts as
//! infinite when it repeats so often that no counter in the code would have allowed it. Only fair runs
//! violate I4: each thread that is enabled at some time in the cycle takes a step in it (strong fairness).

use super::fingerprint::append;
use super::machine::Machine;
use super::threads::Pending;

/// Default of [`crate::executor::run::Program::lasso_from`]: runs of the library are shorter.
pub(crate) const LASSO_FROM: u64 = 1 << 13;

/// Repetitions that make a sequence infinite. The kernel's retry loops end far below.
const REPETITIONS: usize = 100;

/// Observes the second half of a run.
#[derive(Debug)]
pub(crate) struct LassoDetector {
    /// Length of a run from which on it is checked.
    from: u64,
    /// The steps since the last power of two.
    points: Vec<LassoPoint>,
}

/// A step, and the control state before it.
#[derive(Clone, Copy, Debug)]
struct LassoPoint {
    control_state: u64,
    thread: u32,
    /// Enabled threads, as bits of their indices; all indices from 63 on share one bit.
    enabled: u64,
}

/// The bit of a thread in [`LassoPoint::enabled`].
fn bit(thread: usize) -> u64 {
    1 << thread.min(63)
}

impl LassoDetector {
    /// Looks for a cycle when a run has `from` steps, and each time its length has doubled.
    pub(crate) fn new(from: u64) -> Self {
        LassoDetector { from, points: Vec::new() }
    }

    /// Records the step that a thread is about to take, the `steps`-th from 0.
    pub(crate) fn record(&mut self, steps: u64, m: &Machine, enabled: &[usize], thread: usize) {
        if steps < self.from / 2 {
            return;
        }
        if steps.is_power_of_two() {
            self.points.clear();
        }
        let control_state = append(m.control_state(), thread as u64) as u64;
        let enabled = enabled.iter().fold(0, |bits, thread| bits | bit(*thread));
        self.points.push(LassoPoint { control_state, thread: thread as u32, enabled });
    }

    /// The length of the cycle at the end of a run of `steps` steps, and whether it is fair.
    pub(crate) fn period(&self, steps: u64) -> Option<(u64, bool)> {
        if steps < self.from || !steps.is_power_of_two() {
            return None;
        }
        let reversed: Vec<u64> =
            self.points.iter().rev().map(|point| point.control_state).collect();
        let period = period(&reversed)?;
        let steps = &self.points[self.points.len() - period..];
        let ran = steps.iter().fold(0, |bits, point| bits | bit(point.thread as usize));
        let enabled = steps.iter().fold(0, |bits, point| bits | point.enabled);
        Some((period as u64, enabled & !ran == 0))
    }

    /// The threads that take steps in the last cycle, in order.
    pub(crate) fn threads_of_period(&self, period: u64) -> Vec<usize> {
        let steps = &self.points[self.points.len() - period as usize..];
        let mut threads: Vec<usize> = Vec::new();
        for point in steps {
            if !threads.contains(&(point.thread as usize)) {
                threads.push(point.thread as usize);
            }
        }
        threads
    }
}

/// The shortest sequence that `sequence` begins with [`REPETITIONS`] times. The algorithm uses the borders of
/// prefixes (Knuth, Morris, Pratt, "Fast Pattern Matching in Strings", SIAM J. Comput. 6(2), 1977).
fn period(sequence: &[u64]) -> Option<usize> {
    let mut borders = vec![0_usize];
    for end in 1..sequence.len() {
        let mut border = borders[end - 1];
        while border > 0 && sequence[border] != sequence[end] {
            border = borders[border - 1];
        }
        border += usize::from(sequence[border] == sequence[end]);
        borders.push(border);
        let (length, period) = (end + 1, end + 1 - border);
        if length >= period * REPETITIONS {
            return Some(period);
        }
    }
    None
}

impl Machine {
    /// Fingerprint of the memory and of what each thread waits for, without private state.
    fn control_state(&self) -> u128 {
        self.threads.iter().fold(self.memory_fingerprint(), |control_state, thread| {
            let (kind, word, min) = match thread.pending {
                Pending::Start => (0, 0, 0),
                Pending::Access { word, write, .. } => (1 + u64::from(write), word, 0),
                Pending::Lock { word } => (3, word, 0),
                Pending::WaitUntil { word, min, .. } => (4, word, min),
                Pending::Done => return control_state,
            };
            let location =
                append(append(append(kind.into(), word.into()), min), thread.slot.into());
            control_state ^ location
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_period_is_the_shortest_sequence_that_repeats_often_enough() {
        let repeat = |steps: &[u64], times| steps.repeat(times);
        assert_eq!(period(&repeat(&[1], REPETITIONS)), Some(1));
        assert_eq!(period(&repeat(&[1], REPETITIONS - 1)), None);
        assert_eq!(period(&repeat(&[1, 2, 1, 3], REPETITIONS + 1)), Some(4));
        let mut repeated_then_not = repeat(&[1, 2], REPETITIONS);
        repeated_then_not.extend([3, 4, 5]);
        assert_eq!(period(&repeated_then_not), Some(2));
        assert_eq!(period(&(0..5000).collect::<Vec<_>>()), None);
    }
}
