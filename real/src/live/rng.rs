//! Small random numbers, a function of the seed.

/// The finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection in which every input bit
/// affects every output bit.
pub(super) fn splitmix64(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A random number generator: xorshift64* (Vigna, ACM TOMS 42(4), 2016).
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    /// The generator for a seed and a lane. Different lanes give independent numbers; every seed is valid.
    pub(super) fn new(seed: u64, lane: u64) -> Self {
        Rng(splitmix64(seed ^ splitmix64(lane)) | 1)
    }

    /// A number below `bound`, which is not zero.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_depend_on_seed_and_lane_only_and_stay_below_the_bound() {
        let draw = |seed, lane| {
            let mut rng = Rng::new(seed, lane);
            (0..32).map(|_| rng.below(10)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7, 1), draw(7, 1));
        assert_ne!(draw(7, 1), draw(7, 2));
        assert_ne!(draw(7, 1), draw(8, 1));
        assert!(draw(0, 0).iter().all(|&n| n < 10));
    }
}
