//! 128-bit fingerprints of states, updated incrementally (Zobrist, "A New Hashing Method with Application
//! for Game Playing", 1970).

use std::hash::Hasher;

/// A fingerprint. Two different states have the same one with a probability of about 2^-128.
pub(crate) type Fingerprint = u128;

const K0: u64 = 0x9e37_79b9_7f4a_7c15;
const K1: u64 = 0xd6e8_feb8_6659_fd93;
const K2: u64 = 0xa076_1d64_78bd_642f;
const K3: u64 = 0xe703_7ed1_a0b4_28db;

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

fn mix(a: u64, b: u64, k: u64, l: u64) -> u64 {
    let x = fold(a ^ k, b ^ l);
    fold(x ^ b.rotate_left(32) ^ l, x.rotate_left(23) ^ a ^ k)
}

/// The Zobrist key of a named word with a value. The keys of all words are combined by exclusive or. The
/// key of zero is zero: most words are zero when they are created, and stay so.
pub(crate) fn zobrist_key(name: u64, value: u64) -> Fingerprint {
    if value == 0 {
        return 0;
    }
    let low = mix(name, value, K0, K1);
    let high = mix(name, value, K2, K3);
    u128::from(high) << 64 | u128::from(low)
}

/// The Zobrist key of the number of faults that are left.
pub(crate) fn faults_key(left: u32) -> Fingerprint {
    zobrist_key(u64::MAX, u64::from(left))
}

/// Appends a value to a sequence and returns the fingerprint of the longer sequence.
pub(crate) fn append(history: Fingerprint, value: u64) -> Fingerprint {
    let (low, high) = (history as u64, (history >> 64) as u64);
    let next_low = mix(low, value, K2, K1);
    let next_high = mix(high ^ low.rotate_left(17), value, K0, K3);
    u128::from(next_high) << 64 | u128::from(next_low)
}

/// A hasher for sets of fingerprints, which are uniformly distributed already.
#[derive(Debug, Default)]
pub(crate) struct FingerprintHasher(u64);

impl Hasher for FingerprintHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[..8]);
        self.0 = u64::from_le_bytes(word);
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_of_neighbouring_names_and_values_do_not_collide() {
        let mut seen = HashSet::new();
        for name in 0..300 {
            for value in 1..300 {
                assert!(seen.insert(zobrist_key(name, value)));
            }
        }
        let low: HashSet<u64> = seen.iter().map(|f| *f as u64).collect();
        assert_eq!(low.len(), seen.len());
    }

    #[test]
    fn the_fingerprint_of_a_sequence_depends_on_its_order() {
        assert_ne!(append(append(0, 1), 2), append(append(0, 2), 1));
        assert_ne!(append(0, 0), 0);
    }
}
