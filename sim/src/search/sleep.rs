//! Sleep sets: of two independent steps, only one order is explored (Godefroid, LNCS 1032, chapter 5).
//!
//! A step that was explored from a state is added to the sleep set of the later branches, and is removed by
//! the first dependent step. With a visited set there is a known trap: a state may be reached again with a
//! smaller sleep set than the first time, and some steps were not explored from it then. Here that is sound.
//! A state contains what its threads have observed, so the state graph is acyclic. Depth-first search has
//! finished the subtree of a sleeping step before it reaches a state where the step sleeps. From there the
//! sleeping step leads only to finished states, by the same steps in another order. The argument needs the
//! order of one depth-first search, so parallel searches do not use sleep sets.

/// The words that a step reads and writes, as bit sets of word numbers modulo 256. Two words may share a
/// bit, which makes independent steps dependent: conservative.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Footprint {
    reads: [u64; 4],
    writes: [u64; 4],
}

impl Footprint {
    pub(crate) const NONE: Footprint = Footprint { reads: [0; 4], writes: [0; 4] };

    /// Adds an access.
    pub(crate) fn add(&mut self, word: u32, write: bool) {
        let words = if write { &mut self.writes } else { &mut self.reads };
        words[word as usize / 64 % 4] |= 1 << (word % 64);
    }

    /// Adds the accesses of another footprint.
    pub(crate) fn union(&mut self, other: &Footprint) {
        for i in 0..4 {
            self.reads[i] |= other.reads[i];
            self.writes[i] |= other.writes[i];
        }
    }

    /// Whether two steps commute.
    pub(crate) fn independent(&self, other: &Footprint) -> bool {
        (0..4).all(|i| {
            let (own, theirs) = (self.writes[i], other.writes[i]);
            own & (other.reads[i] | theirs) | theirs & self.reads[i] == 0
        })
    }
}

/// A member of a sleep set: a thread whose next step need not be explored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SleepEntry {
    pub(crate) thread: u32,
    pub(crate) footprint: Footprint,
    /// The step has plain accesses: it may race in a state where it sleeps.
    pub(crate) can_race: bool,
}

impl SleepEntry {
    /// No thread.
    pub(crate) const NONE: SleepEntry =
        SleepEntry { thread: u32::MAX, footprint: Footprint::NONE, can_race: false };
}

/// The sleep set of a frame of the depth-first search.
#[derive(Debug)]
pub(crate) struct SleepFrame {
    /// Steps that need not be explored from the frame's state: inherited, or explored already.
    pub(crate) sleep: Vec<SleepEntry>,
    /// The step that is being explored.
    pub(crate) current: SleepEntry,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(words: &[(u32, bool)]) -> Footprint {
        let mut footprint = Footprint::default();
        words.iter().for_each(|(word, write)| footprint.add(*word, *write));
        footprint
    }

    #[test]
    fn steps_are_dependent_if_one_writes_a_word_that_the_other_accesses() {
        assert!(step(&[(1, false)]).independent(&step(&[(1, false)])));
        assert!(step(&[(1, true)]).independent(&step(&[(2, true), (3, false)])));
        assert!(!step(&[(1, true)]).independent(&step(&[(1, false)])));
        assert!(!step(&[(1, false)]).independent(&step(&[(1, true)])));
        assert!(!step(&[(1, true)]).independent(&step(&[(1, true)])));
    }
}
