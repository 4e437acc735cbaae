//! The set of states that were met: shared by all threads of a search, without locks.
//!
//! Buckets of eight 64-bit tags, one cache line each, in segments; each new segment is as large as all
//! before it together. A fingerprint goes into the first segment in whose bucket there is room. No
//! tag ever moves or goes away, so whoever finds a bucket full may go on to the next segment, and a
//! segment is added while others read. The place of a bucket and the tag come from different halves
//! of the fingerprint.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::det::fingerprint::Fingerprint;

/// Tags in a bucket.
const BUCKET: usize = 8;
/// Buckets of the first segment: 64 KiB.
const FIRST: usize = 1 << 10;
/// Segments: more than any memory holds.
const SEGMENTS: usize = 40;

/// A set of fingerprints that only grows.
#[derive(Debug)]
pub(crate) struct Visited {
    segments: [OnceLock<Box<[AtomicU64]>>; SEGMENTS],
}

impl Visited {
    pub(crate) fn new() -> Self {
        Visited { segments: [const { OnceLock::new() }; SEGMENTS] }
    }

    fn segment(&self, index: usize) -> Option<&[AtomicU64]> {
        let buckets = if index == 0 { FIRST } else { FIRST << (index - 1) };
        let words = self.segments.get(index)?;
        Some(words.get_or_init(|| bytemuck::allocation::zeroed_slice_box(buckets * BUCKET)))
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> u64 {
        let segments = self.segments.iter().filter_map(OnceLock::get);
        segments.map(|words| size_of_val(&**words) as u64).sum()
    }

    /// Puts a fingerprint in; `false` if it was there.
    pub(crate) fn insert(&self, fingerprint: Fingerprint) -> bool {
        let tag = (fingerprint as u64).max(1);
        let place = (fingerprint >> 64) as usize;
        for index in 0..SEGMENTS {
            let Some(words) = self.segment(index) else { break };
            let start = (place & (words.len() / BUCKET - 1)) * BUCKET;
            for word in &words[start..start + BUCKET] {
                let mut found = word.load(Ordering::Relaxed);
                if found == 0 {
                    // Nothing else hangs on a tag: no ordering is needed.
                    match word.compare_exchange(0, tag, Ordering::Relaxed, Ordering::Relaxed) {
                        Ok(_) => return true,
                        Err(other) => found = other,
                    }
                }
                if found == tag {
                    return false;
                }
            }
        }
        true
    }
}
