//! The bytes that the tests send: a function of the connection and the position in its stream, so
//! that data that arrives twice, in the wrong place or from the wrong connection is seen.

/// The byte at a position of a connection's stream.
///
/// Eight bytes at a time come from one hash of the connection and the position, so that a stream
/// does not repeat itself within any run.
#[must_use]
pub fn byte(socket: u8, position: u64) -> u8 {
    let word = mix((position / 8) ^ (u64::from(socket) + 1) << 56);
    (word >> (position % 8 * 8)) as u8
}

/// Some bytes of a connection's stream.
#[must_use]
pub fn bytes(socket: u8, position: u64, len: usize) -> Vec<u8> {
    (position..position + len as u64).map(|at| byte(socket, at)).collect()
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection that spreads every
/// bit.
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Small random numbers for jitter: xorshift64* (Vigna, ACM TOMS 42(4), 2016).
#[derive(Clone, Debug)]
pub struct Jitter(u64);

impl Jitter {
    /// A stream of numbers for each seed and lane; any seed will do.
    #[must_use]
    pub fn new(seed: u64, lane: u64) -> Self {
        Jitter(mix(seed ^ mix(lane)) | 1)
    }

    /// A number below `bound`, which is not zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_stream_repeats_no_eight_bytes_within_256_kib() {
        let mut seen = HashSet::new();
        for socket in 0..4 {
            for word in bytes(socket, 0, 65536).chunks(8) {
                assert!(seen.insert(word.to_vec()), "socket {socket} repeats {word:?}");
            }
        }
        assert_eq!(seen.len(), 4 * 65536 / 8);
    }

    #[test]
    fn a_part_of_a_stream_is_the_same_wherever_it_is_cut() {
        let whole = bytes(3, 0, 100);
        for cut in 0..100 {
            assert_eq!(bytes(3, cut, 100 - cut as usize), whole[cut as usize..]);
        }
    }

    #[test]
    fn jitter_is_a_function_of_seed_and_lane_and_stays_below_its_bound() {
        let draw = |seed, lane| {
            let mut jitter = Jitter::new(seed, lane);
            (0..32).map(|_| jitter.below(10)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7, 1), draw(7, 1));
        assert_ne!(draw(7, 1), draw(7, 2));
        assert_ne!(draw(7, 1), draw(8, 1));
        assert!(draw(0, 0).iter().all(|&n| n < 10));
    }
}
