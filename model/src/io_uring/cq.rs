//! The completion queue (`io_uring/io_uring.c`): posting by the kernel, taking by user space.

use crate::capacity::{exceeded, slot};
use crate::io_uring::uapi::area_offset;
use crate::platform::{AtomicWord, Label, Order, PlainWord, Platform};
#[cfg(doc)]
use crate::revision::Defect;

/// `cq_entries`: what user space asks for with `IORING_SETUP_CQSIZE`, here and on a live kernel.
pub const CQ_ENTRIES: u64 = 8;
/// In `cqe.flags`: `IORING_CQE_F_SKIP`, an entry to skip.
const SKIP: u64 = 2;
const OVERFLOW: &str = "an entry of the overflow list";
const OFF: Label = Label::plain("cqe.off").names_buffer(area_offset(0));

/// One completion as user space sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cqe {
    /// `user_data` of the request.
    pub user_data: u64,
    /// `res`: bytes, or -errno.
    pub res: i64,
    /// `IORING_CQE_F_MORE`: the request goes on.
    pub more: bool,
    /// `io_uring_zcrx_cqe::off`: where in the area the data lies; only with `more`.
    pub off: u64,
}

#[derive(Debug)]
struct Slot<P: Platform> {
    user_data: P::Plain,
    res: P::Plain,
    more: P::Plain,
    off: P::Plain,
}

impl<P: Platform> Slot<P> {
    fn new() -> Self {
        Slot {
            user_data: P::plain(Label::step("cqe.user_data", 0), 0),
            res: P::plain("cqe.res", 0),
            more: P::plain("cqe.flags", 0),
            off: P::plain(OFF, 0),
        }
    }

    fn write(&self, cqe: Cqe) {
        self.user_data.set(cqe.user_data);
        self.res.set(cqe.res.cast_unsigned());
        self.more.set(u64::from(cqe.more));
        self.off.set(cqe.off);
    }

    fn read(&self) -> Cqe {
        Cqe {
            user_data: self.user_data.get(),
            res: self.res.get().cast_signed(),
            more: self.more.get() != 0,
            off: self.off.get(),
        }
    }
}

/// `cqe_cached` and `cqe_sentinel`, as indices: entries that the kernel knows to be free.
///
/// # Divergence from Linux
/// - Simplified: only rings with `IORING_SETUP_CQE_MIXED` have them. In other rings all completions are of one
///   size, and a cached entry is always the one at the tail.
#[derive(Debug)]
pub struct CqeCache<P: Platform> {
    cached: P::Plain,
    sentinel: P::Plain,
    /// The code with the defect [`Defect::MixedCqeCache`].
    stays_when_full: bool,
}

impl<P: Platform> CqeCache<P> {
    /// An empty cache. `fixed`: whether the code has the fix of [`Defect::MixedCqeCache`].
    #[must_use]
    pub fn new(fixed: bool) -> Self {
        CqeCache {
            cached: P::plain("cqe_cached", 0),
            sentinel: P::plain("cqe_sentinel", 0),
            stays_when_full: !fixed,
        }
    }
}

/// The shared ring, the kernel's cached tail and the overflow list. Posting is serialised by
/// `uring_lock` (`IORING_SETUP_DEFER_TASKRUN`).
#[derive(Debug)]
pub struct Cq<P: Platform> {
    head: P::Atomic,
    tail: P::Atomic,
    slots: Vec<Slot<P>>,
    /// For `IORING_SETUP_CQE_MIXED`: a completion with a buffer takes two entries, any other one.
    mixed: Option<CqeCache<P>>,
    cached_cq_tail: P::Plain,
    overflow: Vec<Slot<P>>,
    overflow_head: P::Plain,
    overflow_tail: P::Plain,
}

impl<P: Platform> Cq<P> {
    /// An empty queue, whose overflow list holds at most `overflow` entries at a time. `mixed`:
    /// `IORING_SETUP_CQE_MIXED`.
    #[must_use]
    pub fn new(overflow: usize, mixed: Option<CqeCache<P>>) -> Self {
        Cq {
            head: P::atomic("cq.head", 0),
            tail: P::atomic("cq.tail", 0),
            slots: (0..CQ_ENTRIES).map(|_| Slot::new()).collect(),
            mixed,
            cached_cq_tail: P::plain("cached_cq_tail", 0),
            overflow: (0..overflow).map(|_| Slot::new()).collect(),
            overflow_head: P::plain("cq_overflow.head", 0),
            overflow_tail: P::plain("cq_overflow.tail", 0),
        }
    }

    fn overflowed(&self) -> bool {
        self.overflow_head.get() != self.overflow_tail.get()
    }

    /// `io_defer_get_uncommited_cqe` and filling it: `false` if there is no slot, or older
    /// completions wait in the overflow list.
    ///
    /// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
    pub async fn post_uncommitted(&self, cqe: Cqe) -> bool {
        if self.overflowed() {
            return false;
        }
        self.fill(cqe).await
    }

    /// Entries that a completion takes: two with `IORING_CQE_F_32`.
    fn entries(&self, more: bool) -> u64 {
        if self.mixed.is_some() && more { 2 } else { 1 }
    }

    /// `io_get_cqe_overflow` and filling the entry: `false` if there is none.
    ///
    /// Linux: `io_uring/io_uring.h`, 6.18 to 7.3.
    async fn fill(&self, cqe: Cqe) -> bool {
        let tail = self.cached_cq_tail.get();
        let Some(cache) = &self.mixed else {
            if tail - self.head.load(Order::Acquire).await >= CQ_ENTRIES {
                return false;
            }
            self.slots[(tail % CQ_ENTRIES) as usize].write(cqe);
            self.cached_cq_tail.set(tail + 1);
            return true;
        };
        let entries = self.entries(cqe.more);
        if cache.sentinel.get() - cache.cached.get() < entries
            && !self.io_cqe_cache_refill(cache, entries == 2).await
        {
            return false;
        }
        let cached = cache.cached.get();
        self.slots[cached as usize].write(cqe);
        cache.cached.set(cached + entries);
        self.cached_cq_tail.set(self.cached_cq_tail.get() + entries);
        true
    }

    /// `io_cqe_cache_refill`. A completion of 32 bytes does not wrap: `io_fill_nop_cqe` fills the last entry of
    /// the ring, also if there is no room behind it.
    ///
    /// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
    async fn io_cqe_cache_refill(&self, cache: &CqeCache<P>, cqe32: bool) -> bool {
        if !cache.stays_when_full {
            cache.cached.set(0);
            cache.sentinel.set(0);
        }
        let mut tail = self.cached_cq_tail.get();
        let head = self.head.load(Order::Acquire).await;
        if cqe32 && tail % CQ_ENTRIES + 1 == CQ_ENTRIES {
            if tail - head >= CQ_ENTRIES {
                return false;
            }
            self.slots[(tail % CQ_ENTRIES) as usize].more.set(SKIP);
            tail += 1;
            self.cached_cq_tail.set(tail);
        }
        let off = tail % CQ_ENTRIES;
        let free = CQ_ENTRIES.saturating_sub(tail - head);
        let len = free.min(CQ_ENTRIES - off);
        if len < u64::from(cqe32) + 1 {
            return false;
        }
        cache.cached.set(off);
        cache.sentinel.set(off + len);
        true
    }

    /// Posts a request's last completion; into the overflow list if there is no slot.
    ///
    /// # Divergence from Linux
    /// - Left out: the allocation of an entry of the overflow list fails, and the completion is lost.
    pub async fn post_final(&self, cqe: Cqe) {
        if self.post_uncommitted(cqe).await {
            return;
        }
        let tail = self.overflow_tail.get();
        if tail - self.overflow_head.get() == self.overflow.len() as u64 {
            exceeded(OVERFLOW);
        }
        slot(&self.overflow, tail, OVERFLOW).write(cqe);
        self.overflow_tail.set(tail + 1);
    }

    /// `__io_cqring_overflow_flush`.
    ///
    /// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
    pub async fn flush_overflow(&self) {
        while self.overflowed() {
            let head = self.overflow_head.get();
            if !self.fill(slot(&self.overflow, head, OVERFLOW).read()).await {
                break;
            }
            self.overflow_head.set(head + 1);
        }
        self.commit().await;
    }

    /// `io_commit_cqring`: user space can see what was posted. Nothing is done if there is nothing
    /// new (`submit_state.cq_flush`); only the holder of `uring_lock` writes the tail.
    ///
    /// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
    pub async fn commit(&self) {
        let tail = self.cached_cq_tail.get();
        if tail != self.tail.load_in_step() {
            self.tail.store(tail, Order::Release).await;
        }
    }

    /// `io_cqring_events`: how many completions user space has not taken.
    ///
    /// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
    pub async fn events(&self) -> u64 {
        let tail = self.tail.load(Order::Acquire).await;
        tail - self.head.load(Order::Relaxed).await
    }

    /// User space takes the next completion, if there is one.
    ///
    /// # Divergence from Linux
    /// - Simplified: the entry is cleared. No thread reads it before it is written, so states that differ
    ///   only there have the same behaviour. With `IORING_SETUP_CQE_MIXED` it is left as it is: a defect lets user
    ///   space read it again. The second entry of a completion of 32 bytes keeps its old content.
    pub async fn take(&self) -> Option<Cqe> {
        loop {
            let head = self.head.load_in_step();
            if self.tail.load(Order::Acquire).await == head {
                return None;
            }
            let slot = &self.slots[(head % CQ_ENTRIES) as usize];
            let skip = self.mixed.is_some() && slot.more.get() == SKIP;
            let cqe = slot.read();
            if self.mixed.is_none() {
                slot.write(Cqe { user_data: 0, res: 0, more: false, off: 0 });
            }
            let entries = if skip { 1 } else { self.entries(cqe.more) };
            self.head.store(head + entries, Order::Release).await;
            if !skip {
                return Some(cqe);
            }
        }
    }
}
