//! Reads choices from bytes.

use ifq_model::revision::Revision;
use ifq_model::test::arg_modifier::{ArgModifier, ArgModifiers};

use super::Word;

/// The choices of one word.
pub(crate) struct Draw<'w>(std::slice::Iter<'w, u8>);

impl<'w> Draw<'w> {
    pub(crate) fn new(word: &'w Word) -> Self {
        Draw(word.iter())
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    pub(crate) fn below(&mut self, n: u32) -> u32 {
        u32::from(self.byte()) % n
    }

    pub(crate) fn one_of<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let byte = usize::from(self.byte());
        from.get(byte % from.len().max(1)).copied()
    }

    /// A value that satisfies `good` with probability 7/8, if there is one.
    pub(crate) fn prefer<T: Copy>(&mut self, all: &[T], good: impl Fn(T) -> bool) -> Option<T> {
        let byte = usize::from(self.byte());
        let chosen: Vec<T> = all.iter().copied().filter(|x| good(*x)).collect();
        let from = if chosen.is_empty() || byte & 7 == 7 { all } else { &chosen };
        from.get((byte >> 3) % from.len().max(1)).copied()
    }

    /// Number of buffers of an area. Sometimes so many that the test does not run out of buffers.
    pub(crate) fn buffers(&mut self) -> u32 {
        match self.byte() {
            byte @ 0..160 => 1 + u32::from(byte) % 12,
            _ => 64,
        }
    }

    /// Number of bytes to send: less than a buffer, exactly one, or several.
    pub(crate) fn bytes(&mut self) -> u32 {
        [128, 4096, 5000, 1, 32767, 8192][self.below(6) as usize]
    }

    /// Number of entries of a refill ring, sometimes invalid.
    pub(crate) fn entries(&mut self) -> u32 {
        match self.byte() {
            253 => 32768,
            254 => 32769,
            255 | 251 | 247 => 0,
            byte => [4, 1, 2, 3, 8, 16][usize::from(byte) % 6],
        }
    }

    /// A value for the offset of an entry: the start or the inside of a buffer, in the first or a later
    /// area, or an invalid offset. The kernel ignores bit 44.
    pub(crate) fn offset(&mut self) -> u64 {
        let byte = u64::from(self.byte());
        let (n, page, area) = (byte / 4, byte / 4 % 4 * 4096, (byte / 4 % 3) << 48);
        match byte % 4 {
            0 => page,
            1 => area + page + 7,
            2 => [1 << 24, u64::MAX, 1 << 44, 9 << 48][(n % 4) as usize],
            _ => byte,
        }
    }

    /// Harmless modifiers for an operation.
    pub(crate) fn harmless(&mut self, verb: &str, revision: Revision) -> ArgModifiers {
        let byte = self.byte();
        let some = harmless(revision)
            .filter(|(modifier, shift, least)| modifier.fits(verb) && byte >> shift & 3 >= *least);
        some.map(|(modifier, ..)| modifier).collect()
    }

    /// Modifiers for an operation: mostly harmless ones, sometimes one that breaks a rule, and sometimes
    /// two, which shows the order of the kernel's checks.
    pub(crate) fn modifiers(&mut self, verb: &str, revision: Revision) -> ArgModifiers {
        let mut modifiers = self.harmless(verb, revision);
        let n = match self.byte() {
            0..216 => 0,
            216..240 => 1,
            240..=255 => 2,
        };
        let invalid = ArgModifier::ALL.iter().copied().filter(|modifier| modifier.fits(verb));
        let invalid =
            invalid.filter(|modifier| harmless(revision).all(|(other, ..)| other != *modifier));
        let invalid: Vec<ArgModifier> = invalid.collect();
        for _ in 0..n {
            modifiers = self.one_of(&invalid).map_or(modifiers, |modifier| modifiers.and(modifier));
        }
        modifiers
    }
}

/// The modifiers that break no rule. For each, the position of the two bits that decide, and the
/// smallest value of the bits for which the modifier is present.
fn harmless(revision: Revision) -> impl Iterator<Item = (ArgModifier, u32, u8)> {
    let events = revision.has_events().then_some((ArgModifier::Events, 4, 2));
    let always = [
        (ArgModifier::KernelRegion, 0, 3),
        (ArgModifier::StaleRing, 2, 3),
        (ArgModifier::PollFirst, 6, 3),
    ];
    always.into_iter().chain(events)
}
