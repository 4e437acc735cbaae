//! The bytes that the tests send: a function of the connection and the position in its stream, so
//! that data that arrives twice, in the wrong place or from the wrong connection is seen.

use super::rng::splitmix64;

/// The byte at a position of a connection's stream.
///
/// Eight bytes at a time come from one hash of the connection and the position, so that a stream
/// does not repeat itself within any run.
#[must_use]
pub fn byte(socket: u8, position: u64) -> u8 {
    let word = splitmix64((position / 8) ^ (u64::from(socket) + 1) << 56);
    (word >> (position % 8 * 8)) as u8
}

/// Some bytes of a connection's stream.
#[must_use]
pub fn bytes(socket: u8, position: u64, len: usize) -> Vec<u8> {
    (position..position + len as u64).map(|at| byte(socket, at)).collect()
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
}
