//! The choices that the two bytes of an operation encode.

/// The bytes of an operation.
pub type OpBytes = [u8; 2];

/// A sequence of choices, the first ones in the low bits.
#[derive(Clone, Copy, Debug)]
pub struct Choices {
    kind: usize,
    rest: u32,
}

impl Choices {
    /// The number of values of [`Choices::kind`].
    pub const KINDS: usize = 32;

    /// The choices of an operation's bytes.
    #[must_use]
    pub fn new([first, second]: OpBytes) -> Self {
        Choices {
            kind: usize::from(first & 31),
            rest: u32::from(first >> 5) << 8 | u32::from(second),
        }
    }

    /// The kind of the operation: the low bits of the first byte.
    #[must_use]
    pub fn kind(&self) -> usize {
        self.kind
    }

    /// A number below `n`, which must not be zero. 0 if all bits are used up.
    pub fn below(&mut self, n: usize) -> usize {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        let drawn = self.rest % n;
        self.rest /= n;
        drawn as usize
    }

    /// One of the values of an iterator; `None` if there are none.
    pub fn one_from<T>(&mut self, mut from: impl Iterator<Item = T> + Clone) -> Option<T> {
        match from.clone().count() {
            0 => None,
            count => from.nth(self.below(count)),
        }
    }

    /// One of the values; `None` if there are none.
    pub fn one_of<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { from.get(self.below(from.len())).copied() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_bytes_choose_the_first_value() {
        let mut choices = Choices::new([0, 0]);
        assert_eq!(choices.kind(), 0);
        assert_eq!(choices.one_of(&[7, 8]), Some(7));
        assert_eq!(choices.below(9), 0);
    }

    #[test]
    fn each_choice_uses_the_next_bits() {
        let mut choices = Choices::new([0xa5, 0xb6]);
        assert_eq!(choices.kind(), 5);
        assert_eq!(choices.below(16), 6);
        assert_eq!(choices.below(16), 11);
        assert_eq!(choices.below(8), 5);
        assert_eq!(choices.below(16), 0);
    }

    #[test]
    fn an_iterator_gives_the_same_choice_as_a_list() {
        for bits in 0..=255 {
            let (mut list, mut iterator) = (Choices::new([7, bits]), Choices::new([7, bits]));
            let odd = (0..20).filter(|n| n % 2 == 1);
            assert_eq!(iterator.one_from(odd.clone()), list.one_of(&odd.collect::<Vec<_>>()));
            assert_eq!(iterator.below(16), list.below(16));
            assert_eq!(iterator.one_from(0..0), None);
        }
    }

    #[test]
    fn an_empty_list_gives_no_choice() {
        assert_eq!(Choices::new([1, 1]).one_of::<u8>(&[]), None);
    }
}
