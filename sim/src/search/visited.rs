//! The visited set: a lock-free hash set of fingerprints that all workers share.
//!
//! One 64-bit entry for each state, in buckets of eight entries, one cache line each. The low bits of a
//! fingerprint select its home bucket. The entry stores the next bits and its distance from the home
//! bucket, so that no information is lost when the table doubles. At any size, 73 bits of a fingerprint
//! count: the probability that two of n states collide is below n² / 2^74.
//!
//! A full table is copied block by block into one of twice the size. The worker that needs room starts;
//! the others continue until they reach a closed entry, and then help.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::executor::fingerprint::Fingerprint;

/// Entries in a bucket.
const BUCKET_WORDS: usize = 8;
/// Logarithm of the initial number of buckets: 512 KiB, which the system commits on first use.
const INITIAL_BITS: u32 = 13;
/// Bits of an entry that store its distance from the home bucket, plus one.
const DISTANCE_BITS: u32 = 4;
/// Maximum distance in buckets.
const MAX_DISTANCE: u64 = (1 << DISTANCE_BITS) - 3;
/// Bits of a fingerprint that are stored.
const IDENTITY_BITS: u32 = 64 - DISTANCE_BITS + INITIAL_BITS;
/// An entry that was empty when the table was copied.
const CLOSED: u64 = u64::MAX;
/// Entries that are copied at a time.
const COPY_BLOCK: usize = 1 << 12;
/// A handle updates the shared count once for this many new states.
const COUNT_BATCH: usize = 64;

#[derive(Debug)]
struct Table {
    words: Box<[AtomicU64]>,
    /// Logarithm of the number of buckets.
    bits: u32,
    filled: AtomicUsize,
    next: OnceLock<Arc<Table>>,
    /// Blocks that a worker has claimed for copying, and blocks that are copied.
    claimed: AtomicUsize,
    copied: AtomicUsize,
}

/// The result of an insertion.
enum InsertResult {
    /// The entry was present.
    Known,
    /// The entry is new.
    New,
    /// No free entry is near enough, or the table is being copied.
    Closed,
}

impl Table {
    fn new(bits: u32, words: usize) -> Self {
        Table {
            words: bytemuck::allocation::zeroed_slice_box(words),
            bits,
            filled: AtomicUsize::new(0),
            next: OnceLock::new(),
            claimed: AtomicUsize::new(0),
            copied: AtomicUsize::new(0),
        }
    }

    /// An empty table; `bits` is the logarithm of the number of buckets.
    fn empty(bits: u32) -> Self {
        Table::new(bits, BUCKET_WORDS << bits)
    }

    fn insert(&self, identity: u128) -> InsertResult {
        let mask = (1_usize << self.bits) - 1;
        let home = identity as usize & mask;
        let tag = (identity >> self.bits) as u64;
        for distance in 0..=MAX_DISTANCE {
            let start = ((home + distance as usize) & mask) * BUCKET_WORDS;
            let entry = tag << DISTANCE_BITS | (distance + 1);
            for word in &self.words[start..start + BUCKET_WORDS] {
                let mut found = word.load(Ordering::Relaxed);
                if found == 0 {
                    // An entry publishes nothing but itself: relaxed ordering suffices.
                    match word.compare_exchange(0, entry, Ordering::Relaxed, Ordering::Relaxed) {
                        Ok(_) => return InsertResult::New,
                        Err(other) => found = other,
                    }
                }
                if found == entry {
                    return InsertResult::Known;
                }
                if found == CLOSED {
                    return InsertResult::Closed;
                }
            }
        }
        InsertResult::Closed
    }

    /// Copies blocks into a larger table until none is left, and waits for the blocks of other workers.
    fn grow(&self) -> Arc<Table> {
        let next = self.next.get_or_init(|| Arc::new(Table::empty(self.bits + 1)));
        let blocks = self.words.len() / COPY_BLOCK;
        loop {
            let block = self.claimed.fetch_add(1, Ordering::Relaxed);
            if block >= blocks {
                break;
            }
            let filled = self.copy(block * COPY_BLOCK, next);
            next.filled.fetch_add(filled, Ordering::Relaxed);
            self.copied.fetch_add(1, Ordering::Release);
        }
        while self.copied.load(Ordering::Acquire) < blocks {
            std::thread::yield_now();
        }
        next.clone()
    }

    fn copy(&self, start: usize, next: &Table) -> usize {
        let mask = (1_usize << self.bits) - 1;
        let mut filled = 0;
        for (place, word) in (start..).zip(&self.words[start..start + COPY_BLOCK]) {
            let closed = word.compare_exchange(0, CLOSED, Ordering::Relaxed, Ordering::Relaxed);
            let Err(found) = closed else { continue };
            let distance = (found & ((1 << DISTANCE_BITS) - 1)) as usize - 1;
            let home = (place / BUCKET_WORDS).wrapping_sub(distance) & mask;
            let identity = u128::from(found >> DISTANCE_BITS) << self.bits | home as u128;
            let copied = next.insert(identity);
            assert!(matches!(copied, InsertResult::New), "a table of twice the size has room");
            filled += 1;
        }
        filled
    }
}

/// A set of fingerprints that only grows. Clones are handles to the same set.
#[derive(Debug)]
pub(crate) struct VisitedSet {
    table: Arc<Table>,
    /// New states that are not yet part of the shared count.
    uncounted: usize,
}

impl Clone for VisitedSet {
    fn clone(&self) -> Self {
        VisitedSet { table: self.table.clone(), uncounted: 0 }
    }
}

impl VisitedSet {
    pub(crate) fn new() -> Self {
        VisitedSet { table: Arc::new(Table::empty(INITIAL_BITS)), uncounted: 0 }
    }

    /// Restores a set from [`VisitedSet::words`]; `None` if the size is impossible.
    pub(crate) fn from_words(words: Vec<u64>) -> Option<Self> {
        let bits = (words.len() / BUCKET_WORDS).checked_ilog2()?;
        if bits < INITIAL_BITS || words.len() != BUCKET_WORDS << bits {
            return None;
        }
        let filled = words.iter().filter(|word| **word != 0).count();
        let words = words.into_iter().map(AtomicU64::new).collect();
        let table = Table { words, filled: AtomicUsize::new(filled), ..Table::new(bits, 0) };
        Some(VisitedSet { table: Arc::new(table), uncounted: 0 })
    }

    /// The entries, to be saved while no worker inserts.
    pub(crate) fn words(&self) -> impl ExactSizeIterator<Item = u64> {
        self.table.words.iter().map(|word| word.load(Ordering::Relaxed))
    }

    /// Size of the table in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        size_of_val(&*self.table.words) as u64
    }

    /// Prefetches the home bucket of a fingerprint.
    #[inline]
    pub(crate) fn prefetch(&self, fingerprint: Fingerprint) {
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let home = fingerprint as usize & ((1 << self.table.bits) - 1);
            if let Some(word) = self.table.words.get(home * BUCKET_WORDS) {
                // SAFETY: a prefetch reads and writes nothing that the program could see; every
                // processor that can run this has the instruction.
                #[allow(unsafe_code, reason = "measured: a search is a tenth faster")]
                unsafe {
                    _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(word).cast());
                }
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = fingerprint;
    }

    /// Inserts a fingerprint; `false` if it was present.
    pub(crate) fn insert(&mut self, fingerprint: Fingerprint) -> bool {
        let identity = fingerprint & ((1 << IDENTITY_BITS) - 1);
        loop {
            match self.table.insert(identity) {
                InsertResult::Known => return false,
                InsertResult::New => break,
                InsertResult::Closed => self.table = self.table.grow(),
            }
        }
        self.uncounted += 1;
        if self.uncounted == COUNT_BATCH {
            self.uncounted = 0;
            let filled = self.table.filled.fetch_add(COUNT_BATCH, Ordering::Relaxed) + COUNT_BATCH;
            // Nine tenths: buckets fill evenly, and long distances cost time.
            if filled > self.table.words.len() / 10 * 9 {
                self.table = self.table.grow();
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::fingerprint::append;

    #[test]
    fn each_fingerprint_is_new_once_even_when_the_table_grows() {
        let mut visited = VisitedSet::new();
        let all = || (0..300_000).map(|n| append(7, n));
        assert!(all().all(|f| visited.insert(f)));
        assert!(all().all(|f| !visited.insert(f)));
        assert!(visited.bytes() <= 16 * 300_000, "{} bytes", visited.bytes());
    }

    #[test]
    fn a_saved_set_contains_its_fingerprints_after_loading() {
        let mut visited = VisitedSet::new();
        let all = || (0..100_000).map(|n| append(7, n));
        all().for_each(|f| assert!(visited.insert(f)));
        let mut again = VisitedSet::from_words(visited.words().collect()).unwrap();
        assert!(all().all(|f| !again.insert(f)));
        assert!(again.insert(append(8, 0)));
        assert!(VisitedSet::from_words(vec![0; 12]).is_none());
    }

    #[test]
    fn exactly_one_of_several_threads_inserts_a_fingerprint_first() {
        let visited = VisitedSet::new();
        let insert = |mut visited: VisitedSet, from: u64| {
            (0..200_000).filter(|n| visited.insert(append(7, (n + from) % 200_000))).count()
        };
        let new: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|i| {
                    let visited = visited.clone();
                    scope.spawn(move || insert(visited, i * 50_000))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(new, 200_000);
    }
}
