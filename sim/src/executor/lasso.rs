//! Runs without end: lassos, a way into a stretch of steps that comes back again and again.
//!
//! The memory and the places where threads wait can be compared, what a thread keeps to itself
//! cannot: a stretch counts as endless when it came so often that no counter in the code would have
//! let it. Only fair runs count: whoever can run at some time in the stretch runs in it (strong
//! fairness), so that a thread that never gets the processor is no lasso.

use super::fingerprint::append;
use super::machine::Machine;
use super::threads::Pending;

/// [`crate::executor::run::Program::lasso_from`] of all programs: runs of the library are shorter.
pub(crate) const LASSO_FROM: u64 = 1 << 13;

/// So often a stretch comes back before it counts. The kernel's retry loops end far below that.
const TIMES: usize = 100;

/// What a run did, from half of the length at which it is looked at.
#[derive(Debug)]
pub(crate) struct Watch {
    from: u64,
    moments: Vec<Moment>,
}

/// A step, and the state before it, without what threads keep to themselves.
#[derive(Clone, Copy, Debug)]
struct Moment {
    shape: u64,
    thread: u32,
    /// Threads that could run, as bits of their indices; those from 63 on share one.
    enabled: u64,
}

fn bit(thread: usize) -> u64 {
    1 << thread.min(63)
}

impl Watch {
    /// Of a run that is looked at from this length on.
    pub(crate) fn new(from: u64) -> Self {
        Watch { from, moments: Vec::new() }
    }

    /// A thread is about to take a step, the `steps`-th from 0.
    pub(crate) fn note(&mut self, steps: u64, m: &Machine, enabled: &[usize], thread: usize) {
        if steps < self.from / 2 {
            return;
        }
        if steps.is_power_of_two() {
            self.moments.clear();
        }
        let shape = append(m.shape(), thread as u64) as u64;
        let enabled = enabled.iter().fold(0, |bits, thread| bits | bit(*thread));
        self.moments.push(Moment { shape, thread: thread as u32, enabled });
    }

    /// The number of steps that come back again and again at the end of a run of so many, and whether
    /// that is fair.
    pub(crate) fn period(&self, steps: u64) -> Option<(u64, bool)> {
        if steps < self.from || !steps.is_power_of_two() {
            return None;
        }
        let back: Vec<u64> = self.moments.iter().rev().map(|moment| moment.shape).collect();
        let period = period(&back)?;
        let stretch = &self.moments[self.moments.len() - period..];
        let ran = stretch.iter().fold(0, |bits, moment| bits | bit(moment.thread as usize));
        let could = stretch.iter().fold(0, |bits, moment| bits | moment.enabled);
        Some((period as u64, could & !ran == 0))
    }

    /// Who takes the steps of the last stretch, in order.
    pub(crate) fn who(&self, period: u64) -> Vec<usize> {
        let stretch = &self.moments[self.moments.len() - period as usize..];
        let mut who: Vec<usize> = Vec::new();
        for moment in stretch {
            if !who.contains(&(moment.thread as usize)) {
                who.push(moment.thread as usize);
            }
        }
        who
    }
}

/// The shortest stretch that a sequence begins with [`TIMES`] times, by the borders of its beginnings
/// (Knuth, Morris, Pratt, "Fast Pattern Matching in Strings", SIAM J. Comput. 6(2), 1977).
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
        if length >= period * TIMES {
            return Some(period);
        }
    }
    None
}

impl Machine {
    /// The state without what threads keep to themselves.
    fn shape(&self) -> u128 {
        self.threads.iter().fold(self.state_of_words(), |shape, thread| {
            let (kind, word, min) = match thread.pending {
                Pending::Start => (0, 0, 0),
                Pending::Access { word, write, .. } => (1 + u64::from(write), word, 0),
                Pending::Lock { word } => (3, word, 0),
                Pending::WaitUntil { word, min, .. } => (4, word, min),
                Pending::Done => return shape,
            };
            let place = append(append(append(kind.into(), word.into()), min), thread.slot.into());
            shape ^ place
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_the_shortest_stretch_that_comes_often_enough() {
        let repeat = |stretch: &[u64], times| stretch.repeat(times);
        assert_eq!(period(&repeat(&[1], TIMES)), Some(1));
        assert_eq!(period(&repeat(&[1], TIMES - 1)), None);
        assert_eq!(period(&repeat(&[1, 2, 1, 3], TIMES + 1)), Some(4));
        let mut late = repeat(&[1, 2], TIMES);
        late.extend([3, 4, 5]);
        assert_eq!(period(&late), Some(2));
        assert_eq!(period(&(0..5000).collect::<Vec<_>>()), None);
    }
}
