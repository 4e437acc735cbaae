//! Runs that never end: a loop that comes back to the same memory with the same threads waiting for the
//! same things.
//!
//! Such a loop is a violation of I4 under fair scheduling: when every thread that can run somewhere in
//! it has its turn in it (strong fairness: locks are handed over in the end). A loop that leaves one
//! out says nothing: a fair scheduler leaves it.
//!
//! What a thread has observed is not compared, since that grows with every step; three rounds that are
//! the same in all else count as a loop.

use super::fingerprint::Fingerprint;

/// Steps before which nobody looks: far more than a run of a small test has.
const LOOK: u64 = 1024;
/// Steps between two looks.
const EVERY: usize = 64;
/// The longest loop.
const LONGEST: usize = 256;
/// Times that a loop must have been run through.
const ROUNDS: usize = 3;

/// The machine after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Of the memory, and of what each thread waits for.
    pub(crate) state: Fingerprint,
    /// The thread that ran.
    pub(crate) thread: usize,
    /// The threads that can run, as bits; those beyond 64 count as able.
    pub(crate) enabled: u64,
}

/// A loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lasso {
    /// Its last round: the first step, and the one after the last.
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Every thread that can run in it does.
    pub(crate) fair: bool,
}

/// Looks for loops in one run.
#[derive(Debug, Default)]
pub(crate) struct Lassos {
    steps: u64,
    seen: Vec<Shape>,
}

impl Lassos {
    pub(crate) const fn new() -> Self {
        Lassos { steps: 0, seen: Vec::new() }
    }

    pub(crate) fn begin(&mut self) {
        self.steps = 0;
        self.seen.clear();
    }

    /// A step was done; `shape` is only asked for in long runs.
    pub(crate) fn step(&mut self, shape: impl FnOnce() -> Shape) -> Option<Lasso> {
        self.steps += 1;
        if self.steps < LOOK {
            return None;
        }
        self.seen.push(shape());
        let length = (self.steps as usize).is_multiple_of(EVERY).then(|| self.length())??;
        let round = &self.seen[self.seen.len() - length..];
        let ran = round.iter().fold(0, |ran, shape| ran | bit(shape.thread));
        let able = round.iter().fold(0, |able, shape| able | shape.enabled);
        let fair = able & !ran == 0 && round.iter().all(|shape| shape.thread < 64);
        Some(Lasso { from: self.steps - length as u64, to: self.steps, fair })
    }

    fn length(&self) -> Option<usize> {
        let n = self.seen.len();
        (1..=LONGEST.min(n / ROUNDS)).find(|length| {
            (n - (ROUNDS - 1) * length..n).all(|i| self.seen[i] == self.seen[i - length])
        })
    }
}

/// A thread as a bit.
pub(crate) fn bit(thread: usize) -> u64 {
    1_u64.checked_shl(thread as u32).unwrap_or(0)
}
