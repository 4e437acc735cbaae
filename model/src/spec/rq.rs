//! A refill ring: its memory and the kernel's indices.

use std::collections::BTreeMap;

use super::{DeliveredBuffer, MAX_ENTRIES, NiovId};
use crate::errno::EAGAIN;
use crate::test::RqWord;

/// `ZCRX_REFILL_CAP`: the largest number of entries that the refill iterator uses per read of the tail.
const REFILL_CAP: u32 = 256;
/// `IORING_ZCRX_AREA_SHIFT`.
const AREA_SHIFT: u32 = 48;
/// Bits of an offset inside a buffer.
const PAGE_SHIFT: u32 = 12;

/// An entry of the refill ring (`io_uring_zcrx_rqe`).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    off: u64,
    pad: u32,
    /// The delivery that the application returns with this entry, if the entry names a buffer of
    /// the refill ring's own ifq.
    pub(super) delivery: Option<u64>,
}

impl Entry {
    /// The buffer that the entry names. The kernel keeps 32 bits of the index.
    pub(super) fn niov(&self) -> Option<NiovId> {
        let area = (self.off >> AREA_SHIFT) as usize;
        let idx = (self.off & ((1 << AREA_SHIFT) - 1)) >> PAGE_SHIFT;
        (self.pad == 0).then_some(NiovId { area, idx: idx as u32 as usize })
    }
}

/// A refill ring. Its memory belongs to the application and outlives the ifq.
#[derive(Clone, Debug, Default)]
pub(super) struct RefillRing {
    size: u32,
    /// The kernel's head as user space can read it.
    head: u32,
    tail: u32,
    /// The entries that user space has written; all others are zero.
    entries: BTreeMap<u32, Entry>,
    cached_head: u32,
    cached_tail: u32,
    /// Entries that the iterator may still take.
    iter_left: u32,
    /// Whether the iterator has read the tail a second time.
    tail_read_again: bool,
}

impl RefillRing {
    pub(super) fn new(entries: u32) -> Self {
        RefillRing { size: entries.min(MAX_ENTRIES).next_power_of_two(), ..RefillRing::default() }
    }

    pub(super) fn size(&self) -> usize {
        self.size as usize
    }

    /// The application returns a buffer. `own`: to the ifq that the buffer belongs to. `checked`: it looks
    /// for room; otherwise it overwrites the oldest entry of a full ring.
    pub(super) fn push(
        &mut self,
        buffer: DeliveredBuffer,
        own: bool,
        checked: bool,
    ) -> Result<(), i64> {
        if checked && self.tail.wrapping_sub(self.head) >= self.size {
            return Err(-EAGAIN);
        }
        let entry = self.entries.entry(self.tail & (self.size - 1)).or_default();
        entry.off = (buffer.at.area as u64) << AREA_SHIFT | (buffer.at.idx as u64) << PAGE_SHIFT;
        entry.delivery = own.then_some(buffer.delivery);
        self.tail = self.tail.wrapping_add(1);
        Ok(())
    }

    /// The application overwrites a word. An index outside the ring has no effect.
    pub(super) fn scribble(&mut self, word: RqWord, value: u64) {
        let entry = |index: u32| (index < self.size).then_some(index);
        match word {
            RqWord::Head => self.head = value as u32,
            RqWord::Tail => self.tail = value as u32,
            RqWord::Off(index) => {
                if let Some(index) = entry(index) {
                    let entry = self.entries.entry(index).or_default();
                    (entry.off, entry.delivery) = (value, None);
                }
            }
            RqWord::Pad(index) => {
                if let Some(index) = entry(index) {
                    self.entries.entry(index).or_default().pad = value as u32;
                }
            }
        }
    }

    /// Reads the tail. Returns the number of entries, at most the size of the ring.
    pub(super) fn read_tail(&mut self) -> u32 {
        self.cached_tail = self.tail;
        self.known_entries()
    }

    fn known_entries(&self) -> u32 {
        self.cached_tail.wrapping_sub(self.cached_head).min(self.size)
    }

    pub(super) fn pop(&mut self) -> Entry {
        let index = self.cached_head & (self.size - 1);
        self.cached_head = self.cached_head.wrapping_add(1);
        self.entries.get(&index).copied().unwrap_or_default()
    }

    /// Publishes the head, so that the application may reuse the popped entries.
    pub(super) fn publish(&mut self) {
        self.head = self.cached_head;
    }

    /// Starts an iterator over the entries up to the tail that was read last (`zcrx_rq_iter_init`).
    pub(super) fn start_iter(&mut self) {
        self.iter_left = self.known_entries().min(REFILL_CAP);
        self.tail_read_again = false;
    }

    /// The next entry of the iterator. It reads the tail once more after the known entries.
    pub(super) fn next_entry(&mut self) -> Option<Entry> {
        if self.iter_left == 0 && !self.tail_read_again {
            self.iter_left = self.read_tail().min(REFILL_CAP);
            self.tail_read_again = true;
        }
        self.iter_left = self.iter_left.checked_sub(1)?;
        Some(self.pop())
    }
}
