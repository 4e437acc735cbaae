//! An ifq: its buffers, its refill ring, and the page pool of its queue.

use std::collections::VecDeque;

use super::{Buffer, CACHE, RECYCLED};
use crate::errno::EAGAIN;

/// Entries that are looked at in one go, `ZCRX_REFILL_CAP`.
const REFILL_CAP: usize = 256;
/// Entries that are flushed in one go, `ZCRX_FLUSH_BATCH`.
const FLUSH_BATCH: usize = 32;

/// An entry of a refill ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) buffer: Buffer,
    /// Whether the buffer is one of the ifq that the ring belongs to.
    pub(super) own: bool,
}

/// A refill ring. Its memory is the application's and outlives the ifq.
#[derive(Clone, Debug)]
pub(super) struct RefillRing {
    entries: VecDeque<Entry>,
    size: usize,
    /// How many of the entries the kernel knows of.
    seen: usize,
}

impl RefillRing {
    pub(super) fn push(&mut self, entry: Entry) -> Result<(), i64> {
        if self.entries.len() >= self.size {
            return Err(-EAGAIN);
        }
        self.entries.push_back(entry);
        Ok(())
    }

    fn look(&mut self) -> usize {
        self.seen = self.entries.len();
        self.seen
    }

    fn pop(&mut self) -> Option<Entry> {
        self.seen = self.seen.saturating_sub(1);
        self.entries.pop_front()
    }

    /// The entries that one refill may look at, in order: those the kernel knows of, then those
    /// that are new, each up to the cap.
    fn budget(&self) -> usize {
        let known = self.seen.min(REFILL_CAP);
        known + (self.entries.len() - known).min(REFILL_CAP)
    }
}

/// One buffer.
#[derive(Clone, Debug, Default)]
struct Niov {
    /// It holds a packet that a socket has queued.
    queued: bool,
    /// It came to the packet through the page pool, and goes back there.
    pooled: bool,
    /// Times that it was handed to user space and not given back.
    held: Vec<u64>,
}

#[derive(Clone, Debug, Default)]
struct PagePool {
    queue: usize,
    cache: Vec<usize>,
    recycled: VecDeque<usize>,
}

/// One `io_zcrx_ifq`.
#[derive(Clone, Debug)]
pub(super) struct Ifq {
    /// Ids in rings and exported files; with none left it is only waiting for its buffers.
    pub(super) users: usize,
    pub(super) rq: RefillRing,
    niovs: Vec<Niov>,
    /// The last one returned is the first one taken.
    free: Vec<usize>,
    pool: Option<PagePool>,
}

impl Ifq {
    pub(super) fn new(buffers: u32, entries: u32) -> Self {
        let size = entries.next_power_of_two() as usize;
        Ifq {
            users: 0,
            rq: RefillRing { entries: VecDeque::new(), size, seen: 0 },
            niovs: vec![Niov::default(); buffers as usize],
            free: (0..buffers as usize).collect(),
            pool: None,
        }
    }

    pub(super) fn open_queue(&mut self, queue: usize) {
        self.pool = Some(PagePool { queue, ..PagePool::default() });
    }

    /// Returns the queue that was open. What the pool has goes to the free list.
    pub(super) fn close_queue(&mut self) -> Option<usize> {
        let pool = self.pool.take()?;
        for idx in pool.cache.into_iter().rev().chain(pool.recycled) {
            self.put(idx);
        }
        Some(pool.queue)
    }

    /// Takes back all that user space holds.
    pub(super) fn scrub(&mut self) {
        for idx in 0..self.niovs.len() {
            let niov = &mut self.niovs[idx];
            if !niov.held.is_empty() {
                niov.held.clear();
                self.put_if_unused(idx);
            }
        }
    }

    fn put_if_unused(&mut self, idx: usize) {
        if !self.niovs[idx].queued && self.niovs[idx].held.is_empty() {
            self.put(idx);
        }
    }

    /// Nobody holds the buffer any more.
    fn put(&mut self, idx: usize) {
        match &mut self.pool {
            Some(pool) if self.niovs[idx].pooled && pool.recycled.len() < RECYCLED => {
                pool.recycled.push_back(idx);
            }
            _ => {
                self.niovs[idx].pooled = false;
                self.free.push(idx);
            }
        }
    }

    /// A buffer for bytes that have to be copied.
    pub(super) fn take_free(&mut self) -> Option<usize> {
        self.free.pop()
    }

    /// A buffer that [`Ifq::take_free`] gave is not needed.
    pub(super) fn give_free(&mut self, idx: usize) {
        self.put(idx);
    }

    /// The device puts a packet into a buffer; `None` if there is none. The flag says that user
    /// space has given back what it holds.
    pub(super) fn packet(&mut self) -> (Option<usize>, bool) {
        let mut misused = false;
        if self.pool.as_ref().is_some_and(|pool| pool.cache.is_empty()) {
            let mut cache = self.recycle();
            if cache.is_empty() {
                (cache, misused) = self.refill();
            }
            if cache.is_empty() {
                let at = self.free.len() - self.free.len().min(CACHE);
                cache.extend(self.free.drain(at..).rev());
            }
            for &idx in &cache {
                self.niovs[idx].pooled = true;
            }
            if let Some(pool) = &mut self.pool {
                pool.cache = cache;
            }
        }
        let idx = self.pool.as_mut().and_then(|pool| pool.cache.pop());
        if let Some(idx) = idx {
            self.niovs[idx].queued = true;
        }
        (idx, misused)
    }

    fn recycle(&mut self) -> Vec<usize> {
        let Some(pool) = &mut self.pool else { return Vec::new() };
        let n = pool.recycled.len().min(CACHE);
        pool.recycled.drain(..n).collect()
    }

    /// The packet in a buffer is gone from the socket.
    pub(super) fn packet_done(&mut self, idx: usize) {
        self.niovs[idx].queued = false;
        self.put_if_unused(idx);
    }

    pub(super) fn hand(&mut self, buffer: Buffer) {
        self.niovs[buffer.idx].held.push(buffer.handed);
    }

    pub(super) fn holds(&self, buffer: Buffer) -> bool {
        self.niovs[buffer.idx].held.contains(&buffer.handed)
    }

    /// User space gives back what `entries`, all for one buffer, say; nothing happens unless it
    /// holds the buffer so many times. Whether it did, and whether another holding was taken for it.
    fn take_back(&mut self, entries: &[Entry]) -> (bool, bool) {
        let Some(first) = entries.first() else { return (false, false) };
        let held = &mut self.niovs[first.buffer.idx].held;
        if held.len() < entries.len() {
            return (false, false);
        }
        let mut misused = false;
        for entry in entries {
            let found = held.iter().position(|h| entry.own && *h == entry.buffer.handed);
            misused |= found.is_none();
            held.remove(found.unwrap_or(0));
        }
        (true, misused)
    }

    /// Buffers for the page pool's cache out of the refill ring. Entries for the same buffer that
    /// follow each other count as one.
    fn refill(&mut self) -> (Vec<usize>, bool) {
        let (mut cache, mut misused) = (Vec::new(), false);
        let mut run: Vec<Entry> = Vec::new();
        let known = self.rq.seen.min(REFILL_CAP);
        for n in 0..self.rq.budget() {
            if cache.len() == CACHE - 1 {
                break;
            }
            if n == known {
                self.rq.look();
            }
            let Some(entry) = self.rq.pop() else { break };
            if entry.buffer.idx >= self.niovs.len() {
                continue;
            }
            if run.first().is_some_and(|first| first.buffer.idx != entry.buffer.idx) {
                misused |= self.refill_one(&run, &mut cache);
                run.clear();
            }
            run.push(entry);
        }
        misused |= self.refill_one(&run, &mut cache);
        (cache, misused)
    }

    fn refill_one(&mut self, run: &[Entry], cache: &mut Vec<usize>) -> bool {
        let (taken, misused) = self.take_back(run);
        if let Some(idx) = run.first().map(|first| first.buffer.idx)
            && taken
            && self.niovs[idx].held.is_empty()
            && !self.niovs[idx].queued
        {
            if self.niovs[idx].pooled {
                cache.push(idx);
            } else {
                // It held copied bytes and never was the pool's.
                self.put(idx);
            }
        }
        misused
    }

    /// `ZCRX_CTRL_FLUSH_RQ`: a batch at a time; an entry that names no buffer ends it. Returns
    /// whether user space has given back what it holds.
    pub(super) fn flush(&mut self) -> bool {
        let (mut total, mut misused) = (0, false);
        loop {
            let mut batch = Vec::new();
            for _ in 0..self.rq.look().min(FLUSH_BATCH) {
                match self.rq.pop() {
                    Some(entry) if entry.buffer.idx < self.niovs.len() => batch.push(entry),
                    _ => break,
                }
            }
            for entry in &batch {
                let (taken, wrong) = self.take_back(std::slice::from_ref(entry));
                misused |= wrong;
                if taken {
                    self.put_if_unused(entry.buffer.idx);
                }
            }
            total += batch.len();
            if batch.len() < FLUSH_BATCH || total >= self.rq.size {
                return misused;
            }
        }
    }

    /// What keeps the ifq or its buffers from being freed.
    pub(super) fn left(&self) -> impl Iterator<Item = String> {
        let users = (self.users > 0).then(|| format!("{} users", self.users));
        let queue = self.pool.as_ref().map(|pool| format!("queue {} open", pool.queue));
        let out = self.niovs.len() - self.free.len();
        let out = (out > 0).then(|| format!("{out} buffers not in the free list"));
        users.into_iter().chain(queue).chain(out)
    }
}
