//! Buffers that differ by name only.
//!
//! Each buffer has a signature: what its own words hold and in which places it is named, by words and by
//! what threads have observed. A state is known by what has nothing to do with buffers, and by the
//! signatures whatever their order. Since nothing relates one buffer to another, equal signatures are all
//! that two states need to be renamings of each other.
//!
//! Two such states have the same future where the program treats all buffers alike. The kernel does not
//! quite: `io_zcrx_scrub` comes to them in the order of their indices, so that of two buffers that are
//! given back meanwhile only the first one may be scrubbed before both are. No test of the library has
//! another verdict or outcome for it, but fewer states are found than there are without names
//! (`sim/tests/reductions.rs`). So for tests it has to be asked for.
//!
//! Which words these are is said here by their labels, for the whole model.

use ifq_model::io_uring::zcrx::area::NIOV_SHIFT;
use ifq_model::test::arg_modifier::ArgModifier;
use ifq_model::test::{Op, RqWord, Test};

/// A word that names a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// The word's label.
    pub label: &'static str,
    /// What was added, so that zero names none.
    pub plus: u64,
    /// Where the index begins in the value.
    pub shift: u32,
    /// How many bits it has there.
    pub bits: u32,
}

impl Named {
    /// The buffer that a value names, of so many, and the rest of the value.
    pub(crate) fn split(self, value: u64, count: u32) -> Option<(u32, u64)> {
        let value = value.checked_sub(self.plus).filter(|_| value != 0)?;
        let mask = ((1 << self.bits) - 1) << self.shift;
        let index = (value & mask) >> self.shift;
        (index < u64::from(count)).then_some((index as u32, value & !mask))
    }
}

/// What of a program are buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symmetry {
    /// How many there are.
    pub count: u32,
    /// The words that name one.
    pub named: &'static [Named],
    /// The labels of words of which each buffer has one; in order, where an object has several.
    pub own: &'static [&'static str],
}

impl Symmetry {
    /// Nothing is symmetric.
    pub const NONE: Symmetry = Symmetry { count: 0, named: &[], own: &[] };

    /// Of a test: the buffers of its one area, if the test names none of them by its number.
    #[must_use]
    pub fn of(test: &Test) -> Self {
        let areas = |op: &Op| match op {
            Op::Register { buffers, .. } | Op::AddArea { buffers, .. } => Some(*buffers),
            _ => None,
        };
        let mut areas = test.steps().filter_map(|step| areas(&step.op));
        let names = |op: &Op| {
            op.modifiers().has(ArgModifier::StaleRing)
                || matches!(op, Op::Scribble { word: RqWord::Off(_), .. })
        };
        match (areas.next(), areas.next()) {
            (Some(count), None) if !test.steps().any(|step| names(&step.op)) => {
                Symmetry { count, named: NAMED, own: OWN }
            }
            _ => Symmetry::NONE,
        }
    }
}

const fn index(label: &'static str) -> Named {
    Named { label, plus: 1, shift: 0, bits: 16 }
}

/// A `NiovRef`: the area's pointer is above the index.
const fn niov(label: &'static str) -> Named {
    Named { label, plus: 0, shift: 0, bits: 16 }
}

/// An offset in an area.
const fn offset(label: &'static str, plus: u64) -> Named {
    Named { label, plus, shift: NIOV_SHIFT, bits: 36 }
}

const NAMED: &[Named] = &[
    index("freelist"),
    niov("skb.niov"),
    niov("pp.cache"),
    niov("pp.ring[]"),
    offset("cqe.off", 0),
    offset("rqe.off", 0),
    offset("result.off", 1),
];

const OWN: &[&str] =
    &["desc.pp", "pp_ref_count", "niov.user_refs", "niov.handed_to", "page.stream", "page.seq"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_split_into_the_buffer_and_the_rest() {
        assert_eq!(
            offset("o", 1).split((3 << 48) + (5 << 12) + 7 + 1, 6),
            Some((5, (3 << 48) + 7))
        );
        assert_eq!(index("f").split(1, 6), Some((0, 0)));
    }

    #[test]
    fn zero_and_what_is_no_buffer_name_none() {
        assert_eq!(index("f").split(0, 6), None);
        assert_eq!(offset("o", 0).split(6 << 12, 6), None);
    }
}
