//! Ids and descriptors that a test names by their number instead of by the step that makes them.
//!
//! They stand where the result of a step stands, so they are numbers of results beyond all limits.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ids::{RingId, VarId};

/// The first number that is no result.
const FIRST: VarId = 1 << 15;
/// The first number that is a ring.
const FIRST_RING: VarId = 0xff00;
/// The largest number that a test can name.
pub const MAX: u32 = (FIRST_RING - FIRST - 1) as u32;

/// What stands in the place of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Literal {
    /// An id or a descriptor that nothing has.
    Number(u32),
    /// The descriptor of a ring.
    Ring(RingId),
}

impl Literal {
    /// The literal, if it is one and no result.
    #[must_use]
    pub fn of(var: VarId) -> Option<Literal> {
        match var {
            FIRST_RING.. => Some(Literal::Ring((var - FIRST_RING) as RingId)),
            FIRST.. => Some(Literal::Number(u32::from(var - FIRST))),
            _ => None,
        }
    }

    /// What an operation stores in the place of a result. A number is at most [`MAX`].
    #[must_use]
    pub fn to_var(self) -> VarId {
        match self {
            Literal::Number(number) => FIRST + number.min(MAX) as VarId,
            Literal::Ring(ring) => FIRST_RING + VarId::from(ring),
        }
    }

    /// The value that the system call gets.
    #[must_use]
    pub fn value(self) -> i64 {
        match self {
            Literal::Number(number) => i64::from(number),
            Literal::Ring(ring) => i64::from(ring),
        }
    }
}

/// A result in JSON: its number, or `{"number": N}` or `{"ring": N}`.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written {
    Result(VarId),
    Number { number: u32 },
    Ring { ring: RingId },
}

/// Writes a result or a literal.
///
/// # Errors
/// Those of the serializer.
pub(super) fn serialize<S: Serializer>(var: &VarId, to: S) -> Result<S::Ok, S::Error> {
    match Literal::of(*var) {
        None => Written::Result(*var),
        Some(Literal::Number(number)) => Written::Number { number },
        Some(Literal::Ring(ring)) => Written::Ring { ring },
    }
    .serialize(to)
}

/// Reads what [`serialize`] has written. A number of a result that is too large is no result of the test.
///
/// # Errors
/// Those of the deserializer.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<VarId, D::Error> {
    Ok(match Written::deserialize(from)? {
        Written::Result(var) => var.min(FIRST - 1),
        Written::Number { number } if number > MAX => {
            return Err(serde::de::Error::custom(format!("a number from 0 to {MAX}")));
        }
        Written::Number { number } => Literal::Number(number).to_var(),
        Written::Ring { ring } => Literal::Ring(ring).to_var(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_is_no_result_and_comes_back() {
        for literal in [
            Literal::Number(0),
            Literal::Number(99),
            Literal::Number(MAX),
            Literal::Ring(0),
            Literal::Ring(u8::MAX),
        ] {
            assert_eq!(Literal::of(literal.to_var()), Some(literal));
        }
        assert_eq!(Literal::of(super::super::limits::VARS as VarId), None);
    }
}
