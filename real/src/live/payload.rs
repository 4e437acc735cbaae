//! The bytes that the tests send: a function of the connection and the position in its stream, so that
//! duplicated, misplaced or mixed-up data is detected.

use super::rng::splitmix64;

/// The byte at a position in the stream of a connection.
///
/// Each group of eight bytes is one hash of the connection and the position, so a stream does not repeat
/// within a run.
pub(super) fn byte(socket: u8, position: u64) -> u8 {
    let word = splitmix64((position / 8) ^ (u64::from(socket) + 1) << 56);
    (word >> (position % 8 * 8)) as u8
}

/// A range of bytes of the stream of a connection.
pub(super) fn bytes(socket: u8, position: u64, len: usize) -> Vec<u8> {
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
    fn a_range_of_a_stream_does_not_depend_on_where_it_starts() {
        let whole = bytes(3, 0, 100);
        for cut in 0..100 {
            assert_eq!(bytes(3, cut, 100 - cut as usize), whole[cut as usize..]);
        }
    }
}
