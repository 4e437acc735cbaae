//! A hash for names in the cache.

/// FNV-1a of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fnv(pub(super) u64);

impl Default for Fnv {
    fn default() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// Adds bytes.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let next =
            |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        self.0 = bytes.iter().fold(self.0, next);
    }

    /// Adds a field: its length, and its bytes, so that no two lists of fields are alike.
    pub(super) fn add_field(&mut self, bytes: &[u8]) {
        self.add(&(bytes.len() as u64).to_le_bytes());
        self.add(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a_and_fields_do_not_run_together() {
        let mut hash = Fnv::default();
        hash.add(b"foobar");
        assert_eq!(hash.0, 0x8594_4171_f739_67e8);
        let of = |fields: [&[u8]; 2]| {
            let mut hash = Fnv::default();
            fields.iter().for_each(|field| hash.add_field(field));
            hash.0
        };
        assert_ne!(of([b"ab", b"c"]), of([b"a", b"bc"]));
    }
}
