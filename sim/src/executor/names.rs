//! Names of words and objects: the same in every run, by who made them and in which of its operations.

use ifq_model::platform::Kind;

use super::fingerprint::append;

// A pointer: slot, operation and number in the operation of the thread that made the object.
const SLOT_BITS: u32 = 12;
const OP_BITS: u32 = 16;
const NUMBER_BITS: u32 = 12;
// And its kind, so that a pointer tells the type of what it points to.
const KIND_BITS: u32 = 4;
const KEY_BITS: u32 = OP_BITS + NUMBER_BITS + KIND_BITS;

// The number of a word: slot, operation, and how many words were made in the operation before.
const WORD_BITS: u32 = 24;
const WORD_OP_BITS: u32 = 24;

/// Who makes something: a thread's slot, and its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Made {
    pub(crate) slot: u32,
    pub(crate) op: u32,
}

/// The key of an object among those of its thread: ascending.
///
/// # Panics
/// If a thread does or makes more than a name can tell apart.
pub(super) fn key(op: u32, number: u32, kind: Kind) -> u32 {
    assert!(op < 1 << OP_BITS && number < 1 << NUMBER_BITS, "operation {op}, object {number}");
    (op << NUMBER_BITS | number) << KIND_BITS | kind as u32
}

/// The pointer to an object, never zero.
pub(super) fn pointer(slot: u32, key: u32) -> u64 {
    let pointer = u64::from(slot + 1) << KEY_BITS | u64::from(key);
    debug_assert!(pointer < 1 << (SLOT_BITS + KEY_BITS));
    pointer
}

/// Slot and key of a pointer.
pub(super) fn split(pointer: u64) -> Option<(u32, u32)> {
    let slot = (pointer >> KEY_BITS).checked_sub(1)?;
    Some((slot as u32, (pointer & ((1 << KEY_BITS) - 1)) as u32))
}

/// A pointer as if somebody else had made the object; not for zero.
pub(crate) fn pointer_of(pointer: u64, by: impl Fn(Made) -> Made) -> u64 {
    let Some((slot, key)) = split(pointer) else { return pointer };
    let below = NUMBER_BITS + KIND_BITS;
    let made = by(Made { slot, op: key >> below });
    self::pointer(made.slot, made.op << below | key & ((1 << below) - 1))
}

/// The number of a word.
pub(super) fn number(slot: u32, op: u32, words: u32) -> u64 {
    u64::from(slot) << (WORD_OP_BITS + WORD_BITS) | u64::from(op) << WORD_BITS | u64::from(words)
}

/// A number as if somebody else had made the word.
pub(crate) fn number_of(number: u64, by: impl Fn(Made) -> Made) -> u64 {
    let op = (number >> WORD_BITS) as u32 & ((1 << WORD_OP_BITS) - 1);
    let made = by(Made { slot: (number >> (WORD_OP_BITS + WORD_BITS)) as u32, op });
    self::number(made.slot, made.op, number as u32 & ((1 << WORD_BITS) - 1))
}

/// The name under which an object's being alive goes into a fingerprint.
pub(crate) fn live_name(pointer: u64) -> u64 {
    append(1, pointer) as u64
}

/// A word's name in fingerprints: it says also in what kind of object the word is, and as what.
pub(crate) fn word_name(number: u64, label: &str, owner: u64) -> u64 {
    let word = append(append(2, number), owner);
    let letters = label.as_bytes().chunks(8).fold(word, |name, bytes| {
        append(name, bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)))
    });
    letters as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_makes_differs_in_nothing_but_who_makes_it() {
        let by = |Made { slot, op }: Made| Made { slot: slot + 3, op: op + 5 };
        let made = pointer(0x101, key(7, 9, Kind::Req));
        assert_eq!(pointer_of(made, by), pointer(0x104, key(12, 9, Kind::Req)));
        assert_eq!(number_of(number(0x101, 7, 9), by), number(0x104, 12, 9));
    }
}
