//! The kernel's side of the refill ring (`io_uring/zcrx.c`).

use crate::errno::EINVAL;
use crate::io_uring::uapi::{IORING_ZCRX_AREA_MASK, IORING_ZCRX_AREA_SHIFT, NIOV_SHIFT};
use crate::io_uring::zcrx::Ifq;
use crate::io_uring::zcrx::niov::{NiovRef, io_zcrx_put_niov_uref, io_zcrx_return_niov};
use crate::mm::RqMem;
use crate::net::page_pool::{PagePool, page_pool_unref_and_test, page_pool_unref_netmem};
use crate::platform::{AtomicWord, Order, PlainWord, Platform, Ptr, RawLock};
use crate::revision::Defect;
use crate::trace::Tracepoint;

/// `ZCRX_REFILL_CAP` with 4 KiB pages.
pub const ZCRX_REFILL_CAP: u32 = 256;
/// `ZCRX_FLUSH_BATCH`.
pub const ZCRX_FLUSH_BATCH: u32 = 32;

/// `struct zcrx_rq`.
#[derive(Debug)]
pub struct ZcrxRq<P: Platform> {
    /// Serialises consumers.
    pub lock: P::Lock,
    /// The memory shared with user space.
    pub ring: Ptr<P, RqMem<P>>,
    cached_head: P::Plain,
    cached_tail: P::Plain,
    /// A power of two.
    pub nr_entries: u32,
}

impl<P: Platform> ZcrxRq<P> {
    /// The consumer's side of a ring, empty.
    #[must_use]
    pub fn new(ring: &Ptr<P, RqMem<P>>, nr_entries: u32) -> Self {
        ZcrxRq {
            lock: P::lock("rq.lock"),
            ring: ring.clone(),
            cached_head: P::plain("cached_head", 0),
            cached_tail: P::plain("cached_tail", 0),
            nr_entries,
        }
    }

    /// `__zcrx_rq_entries`.
    ///
    /// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
    fn cached_entries(&self) -> u32 {
        let entries = (self.cached_tail.get() as u32).wrapping_sub(self.cached_head.get() as u32);
        entries.min(self.nr_entries)
    }

    async fn load_tail(&self) {
        self.cached_tail.set(u64::from(self.ring.tail.load(Order::Acquire).await as u32));
    }

    /// `zcrx_next_rqe`: the index of the next entry.
    ///
    /// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
    fn next_rqe(&self) -> usize {
        let head = self.cached_head.get() as u32;
        self.cached_head.set(u64::from(head.wrapping_add(1)));
        (head & (self.nr_entries - 1)) as usize
    }

    /// For checks: the offsets of the entries that the kernel has not read. Under `lock`.
    pub fn observe_unread(&self) -> impl Iterator<Item = u64> + '_ {
        let (head, tail) =
            (self.cached_head.observe() as u32, self.ring.tail.load_in_step() as u32);
        let unread = tail.wrapping_sub(head).min(self.nr_entries);
        (0..unread).map(move |i| {
            let index = head.wrapping_add(i) & (self.nr_entries - 1);
            self.ring.rqes[index as usize].load_in_step()
        })
    }

    async fn publish_head(&self) {
        self.ring.head.store(self.cached_head.get(), Order::Release).await;
    }
}

/// `struct zcrx_rq_iter`.
#[derive(Debug)]
struct ZcrxRqIter {
    rqes_left: u32,
    flushed: bool,
}

impl ZcrxRqIter {
    fn new<P: Platform>(rq: &ZcrxRq<P>) -> Self {
        ZcrxRqIter { rqes_left: rq.cached_entries().min(ZCRX_REFILL_CAP), flushed: false }
    }

    /// `zcrx_rq_iter_next`.
    ///
    /// Linux: `io_uring/zcrx.c`, 7.3.
    async fn next<P: Platform>(&mut self, rq: &ZcrxRq<P>) -> Option<usize> {
        if self.rqes_left == 0 {
            if self.flushed {
                return None;
            }
            rq.load_tail().await;
            self.rqes_left = rq.cached_entries().min(ZCRX_REFILL_CAP);
            self.flushed = true;
        }
        self.rqes_left = self.rqes_left.checked_sub(1)?;
        Some(rq.next_rqe())
    }
}

/// `io_parse_rqe`: the buffer that an entry names. Under `rq.lock`.
///
/// # Divergence from Linux
/// - Simplified: with M4 the second read of `off` is used unchecked. A compiler may turn the kernel's
///   plain double read into that.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
async fn io_parse_rqe<P: Platform>(idx: usize, ifq: &Ifq<P>) -> Option<NiovRef<P>> {
    ifq.rq.lock.assert_held();
    let rqe = &ifq.rq.ring.rqes[idx];
    let off = rqe.load(Order::Relaxed).await;
    // One step with the load of the offset: user space writes an entry before it publishes it.
    if ifq.rq.ring.pads[idx].load_in_step() != 0 {
        return None;
    }
    let niov = niov_at(ifq, off)?;
    if ifq.kernel.fixed(Defect::M4) {
        return Some(niov);
    }
    let used = rqe.load(Order::Relaxed).await;
    let niov = niov_at(ifq, used);
    let in_bounds = niov.is_some();
    ifq.kernel.trace(&Tracepoint::RqeParsed { index: idx, checked: off, used, in_bounds });
    niov
}

/// Not in Linux as a function: the bounds checks of `io_parse_rqe`. M4 makes it use them twice.
fn niov_at<P: Platform>(ifq: &Ifq<P>, off: u64) -> Option<NiovRef<P>> {
    let area = ifq.area_at((off >> IORING_ZCRX_AREA_SHIFT) as usize)?;
    // `unsigned niov_idx`: the upper bits are lost.
    let idx = ((off & !IORING_ZCRX_AREA_MASK) >> NIOV_SHIFT) as u32;
    (idx < area.num_niovs()).then_some(NiovRef { area, idx })
}

/// `io_zcrx_ring_refill`: moves buffers that user space returned into the pool's cache.
///
/// From 7.3 on an iterator reads the entries, and consecutive entries of one buffer are one put. Before,
/// see `io_zcrx_ring_refill_6_18`.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
pub async fn io_zcrx_ring_refill<P: Platform>(
    pp: &Ptr<P, PagePool<P>>,
    to_alloc: usize,
) -> Vec<NiovRef<P>> {
    let _func = P::func("io_zcrx_ring_refill");
    let ifq = &pp.ifq();
    let rq = &ifq.rq;
    let _guard = rq.lock.lock().await;
    if !ifq.kernel.variant.revision.has_refill_iter() {
        return io_zcrx_ring_refill_6_18(pp, to_alloc).await;
    }
    let mut it = ZcrxRqIter::new(rq);
    let mut netmems = Vec::new();
    let mut niov: Option<(NiovRef<P>, u64)> = None;
    while netmems.len() < to_alloc - 1
        && let Some(rqe) = it.next(rq).await
    {
        let Some(next_niov) = io_parse_rqe(rqe, ifq).await else { continue };
        if let Some((niov, niov_refs)) = &mut niov {
            if niov.is(&next_niov) {
                *niov_refs += 1;
                continue;
            }
            if zcrx_put_refill_niov(niov, pp, *niov_refs).await {
                netmems.push(niov.clone());
            }
        }
        niov = Some((next_niov, 1));
    }
    if let Some((niov, niov_refs)) = niov
        && zcrx_put_refill_niov(&niov, pp, niov_refs).await
    {
        netmems.push(niov);
    }
    rq.publish_head().await;
    ifq.kernel.trace(&Tracepoint::RqConsumed(&**ifq));
    netmems
}

/// `io_zcrx_ring_refill` from 6.18 to 7.2. Under `rq.lock`.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.2.
async fn io_zcrx_ring_refill_6_18<P: Platform>(
    pp: &Ptr<P, PagePool<P>>,
    to_alloc: usize,
) -> Vec<NiovRef<P>> {
    let ifq = &pp.ifq();
    let rq = &ifq.rq;
    rq.load_tail().await;
    let entries = rq.cached_entries().min(to_alloc as u32);
    let mut netmems = Vec::new();
    if entries == 0 {
        return netmems;
    }
    for _ in 0..entries {
        let rqe = rq.next_rqe();
        let Some(niov) = io_parse_rqe(rqe, ifq).await else { continue };
        if io_zcrx_put_niov_uref(&niov, 1).await == 0 || !page_pool_unref_and_test(&niov).await {
            continue;
        }
        if niov.pp().get() == pp.to_word() {
            netmems.push(niov);
        } else {
            io_zcrx_return_niov(&niov).await;
        }
    }
    rq.publish_head().await;
    ifq.kernel.trace(&Tracepoint::RqConsumed(&**ifq));
    netmems
}

/// `zcrx_put_refill_niov`: whether the pool may have the buffer.
///
/// Linux: `io_uring/zcrx.c`, 7.3.
async fn zcrx_put_refill_niov<P: Platform>(
    niov: &NiovRef<P>,
    pp: &Ptr<P, PagePool<P>>,
    refs: u64,
) -> bool {
    // Before the fix of `refill-run` all of `refs` or nothing.
    let refs = io_zcrx_put_niov_uref(niov, refs).await;
    if refs == 0 {
        return false;
    }
    if page_pool_unref_netmem(niov, refs).await != 0 {
        return false;
    }
    if niov.pp().get() != pp.to_word() {
        io_zcrx_return_niov(niov).await;
        return false;
    }
    true
}

/// `zcrx_parse_rq`: parses up to `nr` entries and stops at the first invalid one.
///
/// Linux: `io_uring/zcrx.c`, 6.19 to 7.3.
pub async fn zcrx_parse_rq<P: Platform>(ifq: &Ifq<P>, nr: u32) -> Vec<NiovRef<P>> {
    let rq = &ifq.rq;
    rq.load_tail().await;
    let nr = nr.min(rq.cached_entries());
    let mut niovs = Vec::new();
    for _ in 0..nr {
        match io_parse_rqe(rq.next_rqe(), ifq).await {
            Some(niov) => niovs.push(niov),
            None => break,
        }
    }
    rq.publish_head().await;
    niovs
}

/// `zcrx_return_buffers`.
///
/// Linux: `io_uring/zcrx.c`, 6.19 to 7.3.
async fn zcrx_return_buffers<P: Platform>(niovs: &[NiovRef<P>]) {
    for niov in niovs {
        let _scope = P::scope();
        if io_zcrx_put_niov_uref(niov, 1).await != 0 && page_pool_unref_and_test(niov).await {
            io_zcrx_return_niov(niov).await;
        }
    }
}

/// `zcrx_flush_rq`: `ZCRX_CTRL_FLUSH_RQ`. `resv`: the reserved fields of the operation.
///
/// # Errors
/// -EINVAL for reserved fields.
///
/// # Divergence from Linux
/// - Left out: `fatal_signal_pending`.
///
/// Linux: `io_uring/zcrx.c`, 6.19 to 7.3.
pub async fn zcrx_flush_rq<P: Platform>(ifq: &Ifq<P>, resv: u64) -> Result<(), i64> {
    let _func = P::func("zcrx_flush_rq");
    if resv != 0 {
        return Err(-EINVAL);
    }
    let mut total = 0;
    loop {
        let nr = {
            let _guard = ifq.rq.lock.lock().await;
            let niovs = zcrx_parse_rq(ifq, ZCRX_FLUSH_BATCH).await;
            zcrx_return_buffers(&niovs).await;
            ifq.kernel.trace(&Tracepoint::RqConsumed(ifq));
            niovs.len() as u32
        };
        total += nr;
        if nr < ZCRX_FLUSH_BATCH || total >= ifq.rq.nr_entries {
            return Ok(());
        }
    }
}
