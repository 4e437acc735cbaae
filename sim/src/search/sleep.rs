//! Sleep sets: of two steps that do not touch each other only one order is tried (Godefroid, LNCS 1032,
//! chapter 5).
//!
//! What was tried from a state sleeps in its later branches until something touches it. The known trap
//! is a state that is met again, with less asleep than the first time: what slept then was not tried
//! from it. Here it need not be. A state holds what its threads have observed, so the graph of states
//! has no cycle; a depth-first search has finished everything behind the step that sleeps before it
//! comes to the state in which it sleeps; and from there the sleeping step leads to nothing else than
//! what was finished, by the same steps in another order. That argument needs the order of one
//! depth-first search: several processors have no sleep sets.

/// The words that a step touches, as bits of their numbers. Different words may share a bit: then
/// steps count as dependent that are not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Touched {
    reads: [u64; 4],
    writes: [u64; 4],
}

impl Touched {
    pub(crate) const NONE: Touched = Touched { reads: [0; 4], writes: [0; 4] };

    pub(crate) fn add(&mut self, word: u32, write: bool) {
        let words = if write { &mut self.writes } else { &mut self.reads };
        words[word as usize / 64 % 4] |= 1 << (word % 64);
    }

    pub(crate) fn join(&mut self, other: &Touched) {
        for i in 0..4 {
            self.reads[i] |= other.reads[i];
            self.writes[i] |= other.writes[i];
        }
    }

    /// Whether two steps can change places.
    pub(crate) fn independent(&self, other: &Touched) -> bool {
        (0..4).all(|i| {
            let (mine, theirs) = (self.writes[i], other.writes[i]);
            mine & (other.reads[i] | theirs) | theirs & self.reads[i] == 0
        })
    }
}

/// A thread whose next step needs not be tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asleep {
    pub(crate) thread: u32,
    pub(crate) touched: Touched,
    /// The step has accesses of ordinary memory: where it sleeps it may still race.
    pub(crate) races: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(words: &[(u32, bool)]) -> Touched {
        let mut touched = Touched::default();
        words.iter().for_each(|(word, write)| touched.add(*word, *write));
        touched
    }

    #[test]
    fn steps_are_dependent_when_one_writes_what_the_other_touches() {
        assert!(step(&[(1, false)]).independent(&step(&[(1, false)])));
        assert!(step(&[(1, true)]).independent(&step(&[(2, true), (3, false)])));
        assert!(!step(&[(1, true)]).independent(&step(&[(1, false)])));
        assert!(!step(&[(1, false)]).independent(&step(&[(1, true)])));
        assert!(!step(&[(1, true)]).independent(&step(&[(1, true)])));
    }
}
