//! An ifq: its areas, and the page pool of its queue.

use std::collections::VecDeque;

use super::rq::{Entry, RefillRing};
use super::{At, Buffer, CACHE, RECYCLED};
use crate::revision::Revision;
use crate::test::{Event, RingId};

/// Entries that are flushed in one go, `ZCRX_FLUSH_BATCH`.
const FLUSH_BATCH: u32 = 32;

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

#[derive(Clone, Debug)]
struct Area {
    niovs: Vec<Niov>,
    /// The last one returned is the first one taken.
    free: Vec<usize>,
}

#[derive(Clone, Debug, Default)]
struct PagePool {
    queue: usize,
    cache: Vec<At>,
    recycled: VecDeque<At>,
}

/// One `io_zcrx_ifq`.
#[derive(Clone, Debug, Default)]
pub(super) struct Ifq {
    /// Ids in rings and exported files; with none left it is only waiting for its buffers.
    pub(super) users: usize,
    /// The kernel has allocated the region.
    pub(super) kernel_region: bool,
    /// It was registered with a device.
    pub(super) device: bool,
    /// The ring that hears of events, as long as it lives.
    pub(super) master: Option<RingId>,
    pub(super) fired: Vec<Event>,
    pub(super) rq: RefillRing,
    areas: Vec<Area>,
    pool: Option<PagePool>,
}

impl Ifq {
    pub(super) fn new(buffers: u32, entries: u32) -> Self {
        let mut ifq = Ifq { rq: RefillRing::new(entries), ..Ifq::default() };
        ifq.add_area(buffers);
        ifq
    }

    pub(super) fn add_area(&mut self, buffers: u32) {
        let niovs = vec![Niov::default(); buffers as usize];
        self.areas.push(Area { niovs, free: (0..buffers as usize).collect() });
    }

    pub(super) fn areas(&self) -> usize {
        self.areas.len()
    }

    pub(super) fn open_queue(&mut self, queue: usize) {
        self.device = true;
        self.pool = Some(PagePool { queue, ..PagePool::default() });
    }

    /// Returns the queue that was open. What the pool has goes to the free lists.
    pub(super) fn close_queue(&mut self) -> Option<usize> {
        let pool = self.pool.take()?;
        for at in pool.cache.into_iter().rev().chain(pool.recycled) {
            self.put(at);
        }
        Some(pool.queue)
    }

    fn niov(&mut self, at: At) -> &mut Niov {
        &mut self.areas[at.area].niovs[at.idx]
    }

    /// Takes back all that user space holds.
    pub(super) fn scrub(&mut self) {
        for area in 0..self.areas.len() {
            for idx in 0..self.areas[area].niovs.len() {
                let at = At { area, idx };
                if !std::mem::take(&mut self.niov(at).held).is_empty() {
                    self.put_if_unused(at);
                }
            }
        }
    }

    fn unused(&mut self, at: At) -> bool {
        let niov = self.niov(at);
        !niov.queued && niov.held.is_empty()
    }

    fn put_if_unused(&mut self, at: At) {
        if self.unused(at) {
            self.put(at);
        }
    }

    /// Nobody holds the buffer any more.
    fn put(&mut self, at: At) {
        let pooled = self.niov(at).pooled;
        match &mut self.pool {
            Some(pool) if pooled && pool.recycled.len() < RECYCLED => pool.recycled.push_back(at),
            _ => {
                self.niov(at).pooled = false;
                self.areas[at.area].free.push(at.idx);
            }
        }
    }

    /// A buffer for bytes that have to be copied: from the first area that has one.
    pub(super) fn take_free(&mut self) -> Option<At> {
        let mut areas = self.areas.iter_mut().enumerate();
        areas.find_map(|(area, list)| list.free.pop().map(|idx| At { area, idx }))
    }

    /// A buffer that [`Ifq::take_free`] gave is not needed.
    pub(super) fn give_free(&mut self, at: At) {
        self.put(at);
    }

    /// The device puts a packet into a buffer; `None` if there is none. The flag says that user
    /// space has given back what it holds.
    pub(super) fn packet(&mut self, revision: Revision) -> (Option<At>, bool) {
        let mut misused = false;
        if self.pool.as_ref().is_some_and(|pool| pool.cache.is_empty()) {
            let mut cache = self.recycle();
            if cache.is_empty() {
                (cache, misused) = self.refill(revision);
            }
            if cache.is_empty() {
                cache = std::iter::from_fn(|| self.take_free()).take(CACHE).collect();
            }
            for &at in &cache {
                self.niov(at).pooled = true;
            }
            if let Some(pool) = &mut self.pool {
                pool.cache = cache;
            }
        }
        let at = self.pool.as_mut().and_then(|pool| pool.cache.pop());
        if let Some(at) = at {
            self.niov(at).queued = true;
        }
        (at, misused)
    }

    fn recycle(&mut self) -> Vec<At> {
        let Some(pool) = &mut self.pool else { return Vec::new() };
        let n = pool.recycled.len().min(CACHE);
        pool.recycled.drain(..n).collect()
    }

    /// The packet in a buffer is gone from the socket.
    pub(super) fn packet_done(&mut self, at: At) {
        self.niov(at).queued = false;
        self.put_if_unused(at);
    }

    pub(super) fn hand(&mut self, buffer: Buffer) {
        self.niov(buffer.at).held.push(buffer.handed);
    }

    pub(super) fn holds(&self, buffer: Buffer) -> bool {
        self.areas[buffer.at.area].niovs[buffer.at.idx].held.contains(&buffer.handed)
    }

    /// The buffer that an entry names, if there is such a one (`io_parse_rqe`).
    fn parse(&self, entry: &Entry) -> Option<At> {
        entry.names().filter(|at| self.areas.get(at.area).is_some_and(|a| at.idx < a.niovs.len()))
    }

    /// User space gives a buffer back so many times; nothing happens unless it holds it so often.
    /// Whether it did, and whether another holding was taken for one of these.
    fn take_back(&mut self, at: At, entries: &[Entry]) -> (bool, bool) {
        let held = &mut self.niov(at).held;
        if held.len() < entries.len() {
            return (false, false);
        }
        let mut misused = false;
        for entry in entries {
            let found = held.iter().position(|h| entry.handed == Some(*h));
            misused |= found.is_none();
            held.remove(found.unwrap_or(0));
        }
        (true, misused)
    }

    /// Buffers for the page pool's cache out of the refill ring.
    fn refill(&mut self, revision: Revision) -> (Vec<At>, bool) {
        let (mut cache, mut misused) = (Vec::new(), false);
        if revision.has_refill_iter() {
            misused = self.refill_in_runs(&mut cache);
            self.rq.publish();
            return (cache, misused);
        }
        let entries = self.rq.look().min(CACHE as u32);
        for _ in 0..entries {
            let entry = self.rq.pop();
            if let Some(at) = self.parse(&entry) {
                misused |= self.refill_one(at, &[entry], &mut cache);
            }
        }
        if entries > 0 {
            self.rq.publish();
        }
        (cache, misused)
    }

    /// Entries for the same buffer that follow each other count as one.
    fn refill_in_runs(&mut self, cache: &mut Vec<At>) -> bool {
        let mut misused = false;
        let (mut run, mut of) = (Vec::new(), At::default());
        self.rq.start();
        while cache.len() < CACHE - 1
            && let Some(entry) = self.rq.next()
        {
            let Some(at) = self.parse(&entry) else { continue };
            if !run.is_empty() && at != of {
                misused |= self.refill_one(of, &run, cache);
                run.clear();
            }
            run.push(entry);
            of = at;
        }
        misused | self.refill_one(of, &run, cache)
    }

    fn refill_one(&mut self, at: At, run: &[Entry], cache: &mut Vec<At>) -> bool {
        if run.is_empty() {
            return false;
        }
        let (taken, misused) = self.take_back(at, run);
        if taken && self.unused(at) {
            if self.niov(at).pooled {
                cache.push(at);
            } else {
                // It held copied bytes and never was the pool's.
                self.put(at);
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
                let entry = self.rq.pop();
                let Some(at) = self.parse(&entry) else { break };
                batch.push((at, entry));
            }
            self.rq.publish();
            for &(at, entry) in &batch {
                let (taken, wrong) = self.take_back(at, &[entry]);
                misused |= wrong;
                if taken {
                    self.put_if_unused(at);
                }
            }
            total += batch.len();
            if batch.len() < FLUSH_BATCH as usize || total >= self.rq.size() {
                return misused;
            }
        }
    }

    /// What keeps the ifq or its buffers from being freed.
    pub(super) fn left(&self) -> impl Iterator<Item = String> {
        let users = (self.users > 0).then(|| format!("{} users", self.users));
        let queue = self.pool.as_ref().map(|pool| format!("queue {} open", pool.queue));
        let out: usize = self.areas.iter().map(|a| a.niovs.len() - a.free.len()).sum();
        let out = (out > 0).then(|| format!("{out} buffers not in the free list"));
        users.into_iter().chain(queue).chain(out)
    }
}
