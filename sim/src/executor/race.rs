//! Data-race detection by adjacency.
//!
//! The core idea is that two conflicting plain accesses race if they can happen one right after the other
//! with no synchronisation in between. A search over all interleavings therefore only compares each step
//! with the previous one: if some run has a race, some run has it in two adjacent steps (for sequentially
//! consistent executions see Boehm and Adve, "Foundations of the C++ Concurrency Memory Model", PLDI 2008,
//! section 5). Releases within a step count: what a step does before it releases a word happens before a
//! next step that begins by acquiring that word.
//!
//! The plain accesses of the last step are part of a state's fingerprint, so that a state which is reached
//! by another step is expanded again.

use super::fingerprint::{Fingerprint, append};

/// The bits of a word in [`RaceFootprint::known`]: the step reads it, writes it.
const READ: u64 = 1;
const WRITE: u64 = 2;
/// Number of these bits.
const BITS: u32 = 2;

/// The plain accesses and the releases of one step.
#[derive(Debug)]
pub(crate) struct RaceFootprint {
    pub(crate) thread: usize,
    /// Word, name, is write; in program order, each once.
    accesses: Vec<(u32, u64, bool)>,
    /// By word: the number of the last step that accesses it, and how that step does. So no step has to clear
    /// what the one before has left.
    known: Vec<u64>,
    /// The number of this step.
    step: u64,
    /// Word, name, and number of accesses before the release.
    releases: Vec<(u32, u64, usize)>,
}

impl RaceFootprint {
    pub(crate) const fn new() -> Self {
        RaceFootprint {
            thread: usize::MAX,
            accesses: Vec::new(),
            known: Vec::new(),
            step: 0,
            releases: Vec::new(),
        }
    }

    pub(crate) fn begin(&mut self, thread: usize) {
        self.thread = thread;
        self.step += 1;
        self.accesses.clear();
        self.releases.clear();
    }

    #[inline]
    pub(crate) fn access(&mut self, word: u32, name: u64, write: bool) {
        let how = if write { WRITE } else { READ };
        let at = word as usize;
        if self.known.len() <= at {
            self.known.resize(at + 1, 0);
        }
        let known = self.known[at];
        let before = if known >> BITS == self.step { known } else { self.step << BITS };
        if before & how == 0 {
            self.known[at] = before | how;
            self.accesses.push((word, name, write));
        }
    }

    /// How the step accesses a word, as a set of bits.
    fn accesses_of(&self, word: u32) -> u64 {
        let known = self.known.get(word as usize).copied().unwrap_or_default();
        if known >> BITS == self.step { known & (READ | WRITE) } else { 0 }
    }

    pub(crate) fn release(&mut self, word: u32, name: u64) {
        self.releases.push((word, name, self.accesses.len()));
    }

    /// A word on which `next`, which begins by acquiring `acquired`, races with this step.
    pub(crate) fn race(&self, next: &RaceFootprint, acquired: Option<u32>) -> Option<u32> {
        if self.thread == next.thread || self.accesses.is_empty() || next.accesses.is_empty() {
            return None;
        }
        let ordered = acquired
            .and_then(|word| self.releases.iter().rev().find(|(w, ..)| *w == word))
            .map_or(0, |(.., accesses)| *accesses);
        let conflicts = |(word, _, write): &&(u32, u64, bool)| {
            next.accesses_of(*word) & if *write { READ | WRITE } else { WRITE } != 0
        };
        self.accesses[ordered..].iter().find(conflicts).map(|(word, _, _)| *word)
    }

    /// Its part of the state's fingerprint; 0 if the step cannot race.
    pub(crate) fn fingerprint(&self, slot: u32) -> Fingerprint {
        if self.accesses.is_empty() {
            return 0;
        }
        let mut hash = append(1, u64::from(slot));
        for (_, name, write) in &self.accesses {
            hash = append(hash, name << 1 | u64::from(*write));
        }
        for (_, name, accesses) in &self.releases {
            if *accesses > 0 {
                hash = append(append(hash, *name), *accesses as u64);
            }
        }
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(thread: usize, accesses: &[(u32, bool)], release: Option<u32>) -> RaceFootprint {
        let mut footprint = RaceFootprint::new();
        footprint.begin(thread);
        for (word, write) in accesses {
            footprint.access(*word, u64::from(*word), *write);
        }
        if let Some(word) = release {
            footprint.release(word, u64::from(word));
        }
        footprint
    }

    #[test]
    fn two_unordered_writes_race() {
        let first = step(0, &[(7, true)], None);
        assert_eq!(first.race(&step(1, &[(7, true)], None), None), Some(7));
        assert_eq!(first.race(&step(1, &[(7, false)], Some(3)), Some(3)), Some(7));
    }

    #[test]
    fn each_access_of_a_long_step_is_kept_once() {
        let accesses: Vec<(u32, bool)> = (0..100)
            .flat_map(|i| [(i % 40, false), (i % 40, i % 3 == 0), (i % 50, true)])
            .collect();
        let mut reused = step(0, &accesses, None);
        let mut distinct: Vec<(u32, bool)> = Vec::new();
        for access in &accesses {
            if !distinct.contains(access) {
                distinct.push(*access);
            }
        }
        let kept = |footprint: &RaceFootprint| -> Vec<(u32, bool)> {
            footprint.accesses.iter().map(|(word, _, write)| (*word, *write)).collect()
        };
        assert_eq!(kept(&reused), distinct);
        reused.begin(1);
        for (word, write) in &accesses {
            reused.access(*word, u64::from(*word), *write);
        }
        assert_eq!(kept(&reused), distinct, "after another step");
    }

    #[test]
    fn two_reads_do_not_race() {
        let first = step(0, &[(7, false)], None);
        assert_eq!(first.race(&step(1, &[(7, false)], None), None), None);
    }

    #[test]
    fn a_release_and_an_acquire_of_the_same_lock_order_the_accesses() {
        let first = step(0, &[(7, true)], Some(3));
        assert_eq!(first.race(&step(1, &[(7, true)], None), Some(3)), None);
        assert_eq!(first.race(&step(1, &[(7, true)], None), Some(4)), Some(7));
    }

    #[test]
    fn an_access_after_the_release_is_not_ordered() {
        let mut first = step(0, &[], Some(3));
        first.access(7, 7, true);
        assert_eq!(first.race(&step(1, &[(7, true)], None), Some(3)), Some(7));
    }

    #[test]
    fn a_thread_does_not_race_with_itself() {
        let first = step(0, &[(7, true)], None);
        assert_eq!(first.race(&step(0, &[(7, true)], None), None), None);
    }
}
