//! The choices that one operation's two bytes make.

/// An operation, undecoded.
pub type Word = [u8; 2];

/// Choices out of a word, the first ones in its low bits.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    kind: usize,
    rest: u32,
}

impl Draw {
    /// Values of [`Draw::kind`].
    pub const KINDS: usize = 32;

    /// Of a word.
    #[must_use]
    pub fn new([first, second]: Word) -> Self {
        Draw { kind: usize::from(first & 31), rest: u32::from(first >> 5) << 8 | u32::from(second) }
    }

    /// What is done: the low bits of the first byte.
    #[must_use]
    pub fn kind(&self) -> usize {
        self.kind
    }

    /// A number below `n`, which is not zero. With all bits used up it is 0.
    pub fn below(&mut self, n: usize) -> usize {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        let drawn = self.rest % n;
        self.rest /= n;
        drawn as usize
    }

    /// One of some; `None` if there is none.
    pub fn one_of<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { from.get(self.below(from.len())).copied() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_draws_the_first_of_everything() {
        let mut draw = Draw::new([0, 0]);
        assert_eq!(draw.kind(), 0);
        assert_eq!(draw.one_of(&[7, 8]), Some(7));
        assert_eq!(draw.below(9), 0);
    }

    #[test]
    fn draws_use_the_bits_up_one_after_the_other() {
        let mut draw = Draw::new([0xa5, 0xb6]);
        assert_eq!(draw.kind(), 5);
        assert_eq!(draw.below(16), 6);
        assert_eq!(draw.below(16), 11);
        assert_eq!(draw.below(8), 5);
        assert_eq!(draw.below(16), 0);
    }

    #[test]
    fn nothing_is_drawn_from_nothing() {
        assert_eq!(Draw::new([1, 1]).one_of::<u8>(&[]), None);
    }
}
