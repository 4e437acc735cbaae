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
//! The code that makes a word declares its relation to buffers ([`ifq_model::platform::label`]).

use ifq_model::platform::label::BufferIndex;
use ifq_model::test::arg_modifier::ArgModifier;
use ifq_model::test::{Op, RqWord, Test};

/// The buffer that a value names, of `count`, and the rest of the value.
pub(crate) fn split(index: BufferIndex, value: u64, count: u32) -> Option<(u32, u64)> {
    let value = value.checked_sub(index.offset).filter(|_| value != 0)?;
    let mask = ((1 << index.bits) - 1) << index.shift;
    let buffer = (value & mask) >> index.shift;
    (buffer < u64::from(count)).then_some((buffer as u32, value & !mask))
}

/// What of a program are buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symmetry {
    /// How many there are.
    pub count: u32,
}

impl Symmetry {
    /// Nothing is symmetric.
    pub const NONE: Symmetry = Symmetry { count: 0 };

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
            (Some(count), None) if !test.steps().any(|step| names(&step.op)) => Symmetry { count },
            _ => Symmetry::NONE,
        }
    }
}

#[cfg(test)]
mod tests {
    use ifq_model::io_uring::uapi::area_offset;

    use super::*;

    const FREELIST: BufferIndex = BufferIndex { offset: 1, shift: 0, bits: 16 };

    #[test]
    fn a_value_is_split_into_the_buffer_and_the_rest() {
        let value = (3 << 48) + (5 << 12) + 7 + 1;
        assert_eq!(split(area_offset(1), value, 6), Some((5, (3 << 48) + 7)));
        assert_eq!(split(FREELIST, 1, 6), Some((0, 0)));
    }

    #[test]
    fn zero_and_an_index_past_the_last_buffer_name_no_buffer() {
        assert_eq!(split(FREELIST, 0, 6), None);
        assert_eq!(split(area_offset(0), 6 << 12, 6), None);
    }
}
