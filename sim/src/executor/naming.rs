//! Names of words and objects that are equal in all runs: the creating thread, its operation, and a counter.

use ifq_model::platform::Kind;

use super::fingerprint::append;

// A pointer: slot, operation and index within the operation of the thread that created the object.
const SLOT_BITS: u32 = 12;
/// Number of slots that a pointer can contain.
pub(super) const SLOTS: usize = (1 << SLOT_BITS) - 1;
const OP_BITS: u32 = 16;
const INDEX_BITS: u32 = 12;
// And the object's kind, so that a pointer identifies the type of its target.
const KIND_BITS: u32 = 4;
const KEY_BITS: u32 = OP_BITS + INDEX_BITS + KIND_BITS;

// The number of a word: slot, operation, and index within the operation.
const WORD_BITS: u32 = 24;
const WORD_OP_BITS: u32 = 24;

/// Where a word or object is created: by which thread, and in which of its operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CreationSite {
    pub(crate) slot: u32,
    pub(crate) op: u32,
}

/// The key of an object among those of its thread, ascending in the order of creation.
///
/// # Panics
/// If the operation or the index does not fit into its bits.
pub(super) fn object_key(op: u32, index: u32, kind: Kind) -> u32 {
    assert!(op < 1 << OP_BITS && index < 1 << INDEX_BITS, "operation {op}, object {index}");
    (op << INDEX_BITS | index) << KIND_BITS | kind as u32
}

/// The pointer to an object; never zero.
pub(super) fn pointer(slot: u32, key: u32) -> u64 {
    let pointer = u64::from(slot + 1) << KEY_BITS | u64::from(key);
    debug_assert!(pointer < 1 << (SLOT_BITS + KEY_BITS));
    pointer
}

/// Slot and key of a pointer.
pub(super) fn split_pointer(pointer: u64) -> Option<(u32, u32)> {
    let slot = (pointer >> KEY_BITS).checked_sub(1)?;
    Some((slot as u32, (pointer & ((1 << KEY_BITS) - 1)) as u32))
}

/// The pointer that the object would have if it was created elsewhere. `pointer` must not be zero.
pub(crate) fn map_pointer(pointer: u64, map: impl Fn(CreationSite) -> CreationSite) -> u64 {
    let Some((slot, key)) = split_pointer(pointer) else { return pointer };
    let below = INDEX_BITS + KIND_BITS;
    let site = map(CreationSite { slot, op: key >> below });
    self::pointer(site.slot, site.op << below | key & ((1 << below) - 1))
}

/// The number of a word.
pub(super) fn word_number(slot: u32, op: u32, words: u32) -> u64 {
    u64::from(slot) << (WORD_OP_BITS + WORD_BITS) | u64::from(op) << WORD_BITS | u64::from(words)
}

/// The number that the word would have if it was created elsewhere.
pub(crate) fn map_word_number(number: u64, map: impl Fn(CreationSite) -> CreationSite) -> u64 {
    let op = (number >> WORD_BITS) as u32 & ((1 << WORD_OP_BITS) - 1);
    let site = map(CreationSite { slot: (number >> (WORD_OP_BITS + WORD_BITS)) as u32, op });
    self::word_number(site.slot, site.op, number as u32 & ((1 << WORD_BITS) - 1))
}

/// The name of the flag "the object is alive" in fingerprints.
pub(crate) fn live_name(pointer: u64) -> u64 {
    append(1, pointer) as u64
}

/// The name of a word in fingerprints. It includes the object and the label.
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
    fn mapping_a_name_changes_only_its_creation_site() {
        let map =
            |CreationSite { slot, op }: CreationSite| CreationSite { slot: slot + 3, op: op + 5 };
        let site = pointer(0x101, object_key(7, 9, Kind::Req));
        assert_eq!(map_pointer(site, map), pointer(0x104, object_key(12, 9, Kind::Req)));
        assert_eq!(map_word_number(word_number(0x101, 7, 9), map), word_number(0x104, 12, 9));
    }
}
