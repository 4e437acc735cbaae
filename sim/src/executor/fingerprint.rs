//! 128-bit fingerprints of states, kept up to date with each write (Zobrist, "A New Hashing Method
//! with Application for Game Playing", 1970).

/// A fingerprint. Equal states have equal ones; different states differ except with a probability
/// of about 2^-128 for each pair.
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

/// What a named cell with this value adds to a state's fingerprint, by exclusive or. Zero adds
/// nothing: most words are zero when they are made, and most of them stay so.
pub(crate) fn cell(name: u64, value: u64) -> Fingerprint {
    if value == 0 {
        return 0;
    }
    let low = mix(name, value, K0, K1);
    let high = mix(name, value, K2, K3);
    u128::from(high) << 64 | u128::from(low)
}

/// The next fingerprint of a history to which a value is appended.
pub(crate) fn append(history: Fingerprint, value: u64) -> Fingerprint {
    let (low, high) = (history as u64, (history >> 64) as u64);
    let next_low = mix(low, value, K2, K1);
    let next_high = mix(high ^ low.rotate_left(17), value, K0, K3);
    u128::from(next_high) << 64 | u128::from(next_low)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn neighbouring_cells_and_values_do_not_collide() {
        let mut seen = HashSet::new();
        for name in 0..300 {
            for value in 1..300 {
                assert!(seen.insert(cell(name, value)));
            }
        }
        let low: HashSet<u64> = seen.iter().map(|f| *f as u64).collect();
        assert_eq!(low.len(), seen.len());
    }

    #[test]
    fn the_order_of_a_history_matters() {
        assert_ne!(append(append(0, 1), 2), append(append(0, 2), 1));
        assert_ne!(append(0, 0), 0);
    }
}
