//! A refill ring as it lies in memory.

use std::collections::BTreeMap;

use super::{At, Buffer, MAX_ENTRIES};
use crate::errno::EAGAIN;
use crate::test::RqWord;

/// Entries that an iterator looks at for each value of the tail, `ZCRX_REFILL_CAP`.
const REFILL_CAP: u32 = 256;
/// `IORING_ZCRX_AREA_SHIFT`.
const AREA_SHIFT: u32 = 48;
/// Bits of an offset inside a buffer.
const PAGE_SHIFT: u32 = 12;

/// An entry.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    off: u64,
    pad: u32,
    /// The time of being handed out that the application gives back with it, if it names a buffer
    /// of the ring's own ifq.
    pub(super) handed: Option<u64>,
}

impl Entry {
    /// The buffer that it names, if it does. The kernel keeps 32 bits of the index.
    pub(super) fn names(&self) -> Option<At> {
        let area = (self.off >> AREA_SHIFT) as usize;
        let idx = (self.off & ((1 << AREA_SHIFT) - 1)) >> PAGE_SHIFT;
        (self.pad == 0).then_some(At { area, idx: idx as u32 as usize })
    }
}

/// A refill ring. Its memory is the application's and outlives the ifq.
#[derive(Clone, Debug, Default)]
pub(super) struct RefillRing {
    size: u32,
    /// The kernel's index as it is published.
    head: u32,
    tail: u32,
    /// Those that were written; the others are zero.
    entries: BTreeMap<u32, Entry>,
    cached_head: u32,
    cached_tail: u32,
    /// Entries that the iterator may still take, and whether it has looked for more.
    left: u32,
    looked: bool,
}

impl RefillRing {
    pub(super) fn new(entries: u32) -> Self {
        RefillRing { size: entries.min(MAX_ENTRIES).next_power_of_two(), ..RefillRing::default() }
    }

    pub(super) fn size(&self) -> usize {
        self.size as usize
    }

    /// The application gives a buffer back; `own`: to the ifq that it came from.
    pub(super) fn push(&mut self, buffer: Buffer, own: bool) -> Result<(), i64> {
        if self.tail.wrapping_sub(self.head) >= self.size {
            return Err(-EAGAIN);
        }
        let entry = self.entries.entry(self.tail & (self.size - 1)).or_default();
        entry.off = (buffer.at.area as u64) << AREA_SHIFT | (buffer.at.idx as u64) << PAGE_SHIFT;
        entry.handed = own.then_some(buffer.handed);
        self.tail = self.tail.wrapping_add(1);
        Ok(())
    }

    /// The application writes a word; outside of the ring it has no effect.
    pub(super) fn scribble(&mut self, word: RqWord, value: u64) {
        let entry = |index: u32| (index < self.size).then_some(index);
        match word {
            RqWord::Head => self.head = value as u32,
            RqWord::Tail => self.tail = value as u32,
            RqWord::Off(index) => {
                if let Some(index) = entry(index) {
                    let entry = self.entries.entry(index).or_default();
                    (entry.off, entry.handed) = (value, None);
                }
            }
            RqWord::Pad(index) => {
                if let Some(index) = entry(index) {
                    self.entries.entry(index).or_default().pad = value as u32;
                }
            }
        }
    }

    /// Reads the tail. Returns how many entries there are, never more than the ring holds.
    pub(super) fn look(&mut self) -> u32 {
        self.cached_tail = self.tail;
        self.known()
    }

    fn known(&self) -> u32 {
        self.cached_tail.wrapping_sub(self.cached_head).min(self.size)
    }

    pub(super) fn pop(&mut self) -> Entry {
        let index = self.cached_head & (self.size - 1);
        self.cached_head = self.cached_head.wrapping_add(1);
        self.entries.get(&index).copied().unwrap_or_default()
    }

    /// The application may use again what was popped.
    pub(super) fn publish(&mut self) {
        self.head = self.cached_head;
    }

    /// Starts to take entries up to the tail that is known (`zcrx_rq_iter_init`).
    pub(super) fn start(&mut self) {
        self.left = self.known().min(REFILL_CAP);
        self.looked = false;
    }

    /// The next entry; the tail is read once more when those that were known are used up.
    pub(super) fn next(&mut self) -> Option<Entry> {
        if self.left == 0 && !self.looked {
            self.left = self.look().min(REFILL_CAP);
            self.looked = true;
        }
        self.left = self.left.checked_sub(1)?;
        Some(self.pop())
    }
}
