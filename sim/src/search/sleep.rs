//! Sleep sets: of two independent steps, only one order is explored (Godefroid, LNCS 1032, chapter 5).
//!
//! A step that was explored from a state is added to the sleep set of the later branches, and is removed by
//! the first dependent step. A thread that a step spawns runs to its first scheduling point before any other
//! thread takes a step, so a step counts with the first steps of the threads that it spawns.
//!
//! Additions to a counter that read nothing commute with each other, but not with a read. The footprint keeps
//! them apart from reads and writes, and so needs not know whether a word that was only read so far will turn
//! out to be a counter.
//!
//! With a visited set there is a known trap: a state may be reached again with a
//! smaller sleep set than the first time, and some steps were not explored from it then. Here that is sound.
//! A state contains what its threads have observed, so the state graph is acyclic. Depth-first search has
//! finished the subtree of a sleeping step before it reaches a state where the step sleeps. From there the
//! sleeping step leads only to finished states, by the same steps in another order. The argument needs the
//! order of one depth-first search, so parallel searches do not use sleep sets.

/// What a step does with a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WordUse {
    /// Reads it.
    Read,
    /// Writes it, or reads and writes it.
    Write,
    /// Adds to it without reading.
    Add,
}

/// The words that a step reads, writes and adds to, as bit sets of word numbers modulo 256. Two words may share
/// a bit, which makes independent steps dependent: conservative.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Footprint {
    reads: [u64; 4],
    writes: [u64; 4],
    additions: [u64; 4],
}

impl Footprint {
    pub(crate) const NONE: Footprint =
        Footprint { reads: [0; 4], writes: [0; 4], additions: [0; 4] };

    /// Adds an access.
    pub(crate) fn add(&mut self, word: u32, word_use: WordUse) {
        let words = match word_use {
            WordUse::Read => &mut self.reads,
            WordUse::Write => &mut self.writes,
            WordUse::Add => &mut self.additions,
        };
        words[word as usize / 64 % 4] |= 1 << (word % 64);
    }

    /// Adds the accesses of another footprint.
    pub(crate) fn union(&mut self, other: &Footprint) {
        for i in 0..4 {
            self.reads[i] |= other.reads[i];
            self.writes[i] |= other.writes[i];
            self.additions[i] |= other.additions[i];
        }
    }

    /// Whether two steps commute.
    pub(crate) fn independent(&self, other: &Footprint) -> bool {
        (0..4).all(|i| {
            let [reads, writes, additions] = [self.reads[i], self.writes[i], self.additions[i]];
            let written = writes & (other.reads[i] | other.writes[i] | other.additions[i]);
            let added = additions & (other.reads[i] | other.writes[i]);
            let read = reads & (other.writes[i] | other.additions[i]);
            written | added | read == 0
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

    /// Adds what another step does, that of a thread that this step has spawned.
    pub(crate) fn extend(&mut self, started: &SleepEntry) {
        self.footprint.union(&started.footprint);
        self.can_race |= started.can_race;
    }
}

/// The sleep set of a frame of the depth-first search.
#[derive(Debug)]
pub(crate) struct SleepFrame {
    /// Steps that need not be explored from the frame's state: inherited, or explored already.
    pub(crate) sleep: Vec<SleepEntry>,
    /// The step that is being explored.
    pub(crate) current: SleepEntry,
    /// The frame's step is the first one of a thread that the step before has spawned.
    pub(crate) starts: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    use WordUse::{Add, Read, Write};

    fn step(words: &[(u32, WordUse)]) -> Footprint {
        let mut footprint = Footprint::default();
        words.iter().for_each(|(word, word_use)| footprint.add(*word, *word_use));
        footprint
    }

    #[test]
    fn steps_are_dependent_if_one_changes_a_word_that_the_other_accesses() {
        let commutes = |a, b| matches!((a, b), (Read, Read) | (Add, Add));
        for a in [Read, Write, Add] {
            for b in [Read, Write, Add] {
                let independent = step(&[(1, a)]).independent(&step(&[(1, b)]));
                assert_eq!(independent, commutes(a, b), "{a:?} and {b:?}");
                assert!(step(&[(1, a)]).independent(&step(&[(2, b)])));
            }
        }
    }

    #[test]
    fn additions_to_a_word_do_not_hide_a_write_of_another_word_with_the_same_bit() {
        let other = step(&[(1, Add), (257, Write)]);
        assert!(!step(&[(257, Add)]).independent(&other));
        assert!(!other.independent(&step(&[(257, Add)])));
    }
}
