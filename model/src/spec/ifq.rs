//! An ifq: its areas and the page pool of its queue.

use std::collections::VecDeque;

use super::rq::{Entry, RefillRing};
use super::{CACHE, DeliveredBuffer, NiovId, RECYCLED};
use crate::revision::Revision;
use crate::test::{Event, RingId};

/// Entries in one batch of a flush, `ZCRX_FLUSH_BATCH`.
const FLUSH_BATCH: u32 = 32;

/// The state of a buffer.
#[derive(Clone, Debug, Default)]
struct Niov {
    /// Packets in a socket's receive queue that the buffer holds.
    queued: u32,
    /// The buffer came from the page pool and returns to it.
    pooled: bool,
    /// Deliveries to user space that user space has not returned.
    held: Vec<u64>,
}

#[derive(Clone, Debug)]
struct Area {
    niovs: Vec<Niov>,
    /// Indices of the free buffers, as a stack.
    free: Vec<usize>,
}

#[derive(Clone, Debug, Default)]
struct PagePool {
    cache: Vec<NiovId>,
    recycled: VecDeque<NiovId>,
}

/// The state of an `io_zcrx_ifq`.
#[derive(Clone, Debug, Default)]
pub(super) struct IfqState {
    /// Ids in rings and exported files. An ifq without users only waits for its buffers.
    pub(super) users: usize,
    /// The ring that registered it.
    pub(super) owner: Option<RingId>,
    /// The kernel has allocated the region.
    pub(super) kernel_region: bool,
    /// The ifq was registered with a device.
    pub(super) device: bool,
    /// The ring that receives events, as long as it is open.
    pub(super) master: Option<RingId>,
    /// Events that were raised and not armed again.
    pub(super) fired: Vec<Event>,
    pub(super) rq: RefillRing,
    areas: Vec<Area>,
    pool: Option<PagePool>,
}

impl IfqState {
    pub(super) fn new(buffers: u32, entries: u32) -> Self {
        let mut ifq = IfqState { rq: RefillRing::new(entries), ..IfqState::default() };
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

    /// The queue starts with a new page pool.
    pub(super) fn open_queue(&mut self) {
        self.pool = Some(PagePool::default());
    }

    /// The queue stops. The page pool's buffers become free.
    pub(super) fn close_queue(&mut self) {
        let Some(pool) = self.pool.take() else { return };
        for at in pool.cache.into_iter().rev().chain(pool.recycled) {
            self.put(at);
        }
    }

    /// Whether a socket or user space has a buffer of the page pool.
    pub(super) fn uses_pool(&self) -> bool {
        let mut niovs = self.areas.iter().flat_map(|area| &area.niovs);
        niovs.any(|niov| niov.pooled && (niov.queued > 0 || !niov.held.is_empty()))
    }

    fn niov(&mut self, at: NiovId) -> &mut Niov {
        &mut self.areas[at.area].niovs[at.idx]
    }

    /// Takes back all buffers that user space holds.
    pub(super) fn scrub(&mut self) {
        for area in 0..self.areas.len() {
            for idx in 0..self.areas[area].niovs.len() {
                let at = NiovId { area, idx };
                if !std::mem::take(&mut self.niov(at).held).is_empty() {
                    self.put_if_unused(at);
                }
            }
        }
    }

    fn unused(&mut self, at: NiovId) -> bool {
        let niov = self.niov(at);
        niov.queued == 0 && niov.held.is_empty()
    }

    fn put_if_unused(&mut self, at: NiovId) {
        if self.unused(at) {
            self.put(at);
        }
    }

    /// Frees a buffer that neither user space nor a socket holds: to the page pool or the free list.
    fn put(&mut self, at: NiovId) {
        let pooled = self.niov(at).pooled;
        match &mut self.pool {
            Some(pool) if pooled && pool.recycled.len() < RECYCLED => pool.recycled.push_back(at),
            _ => {
                self.niov(at).pooled = false;
                self.areas[at.area].free.push(at.idx);
            }
        }
    }

    /// Takes a free buffer for copied bytes from the first area that has one.
    pub(super) fn take_free(&mut self) -> Option<NiovId> {
        let mut areas = self.areas.iter_mut().enumerate();
        areas.find_map(|(area, list)| list.free.pop().map(|idx| NiovId { area, idx }))
    }

    /// Frees a buffer from [`IfqState::take_free`] that was not used.
    pub(super) fn give_free(&mut self, at: NiovId) {
        self.put(at);
    }

    /// The device fills a buffer with a packet; `None` if no buffer is free. The flag says whether
    /// user space has returned a buffer that it still holds.
    pub(super) fn packet(&mut self, revision: Revision) -> (Option<NiovId>, bool) {
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
            self.niov(at).queued = 1;
        }
        (at, misused)
    }

    /// A buffer that the device has filled holds several packets.
    pub(super) fn packets_share(&mut self, at: NiovId, packets: u32) {
        self.niov(at).queued = packets;
    }

    fn recycle(&mut self) -> Vec<NiovId> {
        let Some(pool) = &mut self.pool else { return Vec::new() };
        let n = pool.recycled.len().min(CACHE);
        pool.recycled.drain(..n).collect()
    }

    /// The packet in a buffer has left the socket.
    pub(super) fn packet_done(&mut self, at: NiovId) {
        self.niov(at).queued -= 1;
        self.put_if_unused(at);
    }

    /// Delivers a buffer to user space.
    pub(super) fn deliver(&mut self, buffer: DeliveredBuffer) {
        self.niov(buffer.at).held.push(buffer.delivery);
    }

    pub(super) fn holds(&self, buffer: DeliveredBuffer) -> bool {
        self.areas[buffer.at.area].niovs[buffer.at.idx].held.contains(&buffer.delivery)
    }

    /// The buffer that an entry names, if it exists (`io_parse_rqe`).
    fn parse(&self, entry: &Entry) -> Option<NiovId> {
        entry.niov().filter(|at| self.areas.get(at.area).is_some_and(|a| at.idx < a.niovs.len()))
    }

    /// User space returns a buffer once for each entry, at most as often as it holds the buffer. Returns
    /// whether anything was taken back, and whether that ended a delivery which no entry names.
    fn take_back(&mut self, at: NiovId, entries: &[Entry]) -> (bool, bool) {
        let held = &mut self.niov(at).held;
        let mut left = held.len().min(entries.len());
        if left == 0 {
            return (false, false);
        }
        for entry in entries {
            if let Some(found) = held.iter().position(|h| entry.delivery == Some(*h)) {
                held.remove(found);
                left -= 1;
            }
        }
        held.drain(..left);
        (true, left != 0)
    }

    /// Takes buffers for the page pool's cache from the refill ring.
    fn refill(&mut self, revision: Revision) -> (Vec<NiovId>, bool) {
        let (mut cache, mut misused) = (Vec::new(), false);
        if revision.has_refill_iter() {
            misused = self.refill_in_runs(&mut cache);
            self.rq.publish();
            return (cache, misused);
        }
        let entries = self.rq.read_tail().min(CACHE as u32);
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

    /// Refills with the iterator of 7.3, which merges consecutive entries for the same buffer.
    fn refill_in_runs(&mut self, cache: &mut Vec<NiovId>) -> bool {
        let mut misused = false;
        let (mut run, mut run_at) = (Vec::new(), NiovId::default());
        self.rq.start_iter();
        while cache.len() < CACHE - 1
            && let Some(entry) = self.rq.next_entry()
        {
            let Some(at) = self.parse(&entry) else { continue };
            if !run.is_empty() && at != run_at {
                misused |= self.refill_one(run_at, &run, cache);
                run.clear();
            }
            run.push(entry);
            run_at = at;
        }
        misused | self.refill_one(run_at, &run, cache)
    }

    fn refill_one(&mut self, at: NiovId, run: &[Entry], cache: &mut Vec<NiovId>) -> bool {
        if run.is_empty() {
            return false;
        }
        let (taken, misused) = self.take_back(at, run);
        if taken && self.unused(at) {
            if self.niov(at).pooled {
                cache.push(at);
            } else {
                // The buffer held copied bytes, so it does not belong to the page pool.
                self.put(at);
            }
        }
        misused
    }

    /// `ZCRX_CTRL_FLUSH_RQ`: flushes batch by batch; an entry that names no buffer ends the flush.
    /// Returns whether user space has returned a buffer that it still holds.
    pub(super) fn flush(&mut self) -> bool {
        let (mut total, mut misused) = (0, false);
        loop {
            let mut batch = Vec::new();
            for _ in 0..self.rq.read_tail().min(FLUSH_BATCH) {
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

    /// Names, in words, what still uses the ifq or its buffers.
    pub(super) fn left(&self) -> impl Iterator<Item = String> {
        let users = (self.users > 0).then(|| format!("{} users", self.users));
        let queue = self.pool.as_ref().map(|_| "a queue open".to_owned());
        let out: usize = self.areas.iter().map(|a| a.niovs.len() - a.free.len()).sum();
        let out = (out > 0).then(|| format!("{out} buffers not in the free list"));
        users.into_iter().chain(queue).chain(out)
    }
}
