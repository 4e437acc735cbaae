//! Choices that are read from bytes.

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

    /// Seven times out of eight one of the good ones, if there is one.
    pub(crate) fn prefer<T: Copy>(&mut self, all: &[T], good: impl Fn(T) -> bool) -> Option<T> {
        let byte = usize::from(self.byte());
        let chosen: Vec<T> = all.iter().copied().filter(|x| good(*x)).collect();
        let from = if chosen.is_empty() || byte & 7 == 7 { all } else { &chosen };
        from.get((byte >> 3) % from.len().max(1)).copied()
    }

    /// Buffers of an area: now and then so many that they are not what is short.
    pub(crate) fn buffers(&mut self) -> u32 {
        match self.byte() {
            byte @ 0..160 => 1 + u32::from(byte) % 12,
            _ => 64,
        }
    }

    /// Bytes to send: within a buffer, on its edge, over several.
    pub(crate) fn bytes(&mut self) -> u32 {
        [128, 4096, 5000, 1, 65536, 8192][self.below(6) as usize]
    }

    /// Entries of a refill ring, now and then such as no kernel takes.
    pub(crate) fn entries(&mut self) -> u32 {
        match self.byte() {
            253 => 32768,
            254 => 32769,
            255 | 251 | 247 => 0,
            byte => [4, 1, 2, 3, 8, 16][usize::from(byte) % 6],
        }
    }

    /// What the offset of an entry may be overwritten with: a buffer of the first or of a later area,
    /// its beginning or its inside, or what is outside of everything. The kernel drops bit 44.
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

    /// What departs from the plain argument of an operation and is fine.
    pub(crate) fn harmless(&mut self, verb: &str, revision: Revision) -> ArgModifiers {
        let byte = self.byte();
        let some = harmless(revision)
            .filter(|(modifier, shift, least)| modifier.fits(verb) && byte >> shift & 3 >= *least);
        some.map(|(modifier, ..)| modifier).collect()
    }

    /// What departs from the plain argument of an operation: mostly nothing that is wrong; one wrong
    /// thing now and then, and sometimes two, so that it shows which check comes first.
    pub(crate) fn modifiers(&mut self, verb: &str, revision: Revision) -> ArgModifiers {
        let mut modifiers = self.harmless(verb, revision);
        let n = match self.byte() {
            0..216 => 0,
            216..240 => 1,
            240..=255 => 2,
        };
        let wrong = ArgModifier::ALL.iter().copied().filter(|modifier| modifier.fits(verb));
        let wrong =
            wrong.filter(|modifier| harmless(revision).all(|(other, ..)| other != *modifier));
        let wrong: Vec<ArgModifier> = wrong.collect();
        for _ in 0..n {
            modifiers = self.one_of(&wrong).map_or(modifiers, |modifier| modifiers.and(modifier));
        }
        modifiers
    }
}

/// ArgModifiers that break no rule, and the two bits of a byte that decide: where they are, and from which
/// value on the modifier is there. Half of the time events are asked for.
fn harmless(revision: Revision) -> impl Iterator<Item = (ArgModifier, u32, u8)> {
    let events = revision.has_events().then_some((ArgModifier::Events, 4, 2));
    [(ArgModifier::KernelRegion, 0, 3), (ArgModifier::StaleRing, 2, 3)].into_iter().chain(events)
}
