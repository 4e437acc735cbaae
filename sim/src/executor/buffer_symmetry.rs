//! Buffer symmetry: the buffers of an area are interchangeable.
//!
//! Each buffer has a signature: a hash of its words and of the places that refer to it, in words and in
//! observations of threads. The canonical fingerprint of a state combines everything else with the multiset
//! of signatures. No state relates one buffer to another, so two states with the same multiset differ by a
//! permutation of buffers.
//!
//! This reduction is exact if the program treats all buffers alike. The kernel nearly does: `io_zcrx_scrub`
//! visits buffers in the order of their indices, so that of two buffers that are returned meanwhile only the
//! first may be scrubbed in time. No test of the library has another verdict or outcome because of this, but
//! the search finds fewer orbits than there are (`sim/tests/reductions.rs`). For tests the reduction is
//! therefore off by default.
//!
//! The code that creates a word declares its relation to buffers ([`ifq_model::platform::label`]).

use ifq_model::platform::label::BufferIndex;
use ifq_model::test::arg_modifier::ArgModifier;
use ifq_model::test::{Op, RqWord, Test};

/// Splits a value into the index of a buffer, below `count`, and the rest.
pub(crate) fn split_buffer_index(index: BufferIndex, value: u64, count: u32) -> Option<(u32, u64)> {
    let value = value.checked_sub(index.offset).filter(|_| value != 0)?;
    let mask = ((1 << index.bits) - 1) << index.shift;
    let buffer = (value & mask) >> index.shift;
    (buffer < u64::from(count)).then_some((buffer as u32, value & !mask))
}

/// The symmetric buffers of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferSymmetry {
    /// Number of buffers.
    pub count: u32,
}

impl BufferSymmetry {
    /// No symmetric buffers.
    pub const NONE: BufferSymmetry = BufferSymmetry { count: 0 };

    /// The buffers of a test's only area, if the test refers to none by its index.
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
                BufferSymmetry { count }
            }
            _ => BufferSymmetry::NONE,
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
        assert_eq!(split_buffer_index(area_offset(1), value, 6), Some((5, (3 << 48) + 7)));
        assert_eq!(split_buffer_index(FREELIST, 1, 6), Some((0, 0)));
    }

    #[test]
    fn zero_and_an_index_above_the_last_buffer_refer_to_no_buffer() {
        assert_eq!(split_buffer_index(FREELIST, 0, 6), None);
        assert_eq!(split_buffer_index(area_offset(0), 6 << 12, 6), None);
    }
}
