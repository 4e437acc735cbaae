//! The kernel's side of the refill ring.

use crate::invariant::Invariant;
use crate::io_uring::zcrx::Ifq;
use crate::io_uring::zcrx::area::{
    AREA_SHIFT, NIOV_SHIFT, NiovRef, io_zcrx_put_niov_uref, io_zcrx_return_niov,
};
use crate::net::page_pool::{PagePool, page_pool_unref_and_test, page_pool_unref_netmem};
use crate::platform::{AtomicWord, Order, PlainWord, Platform, Ptr, RawLock};
use crate::revision::Defect;
use crate::user::mem::RqMem;

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
    fn cached_entries(&self) -> u32 {
        let entries = (self.cached_tail.get() as u32).wrapping_sub(self.cached_head.get() as u32);
        entries.min(self.nr_entries)
    }

    async fn load_tail(&self) {
        self.cached_tail.set(u64::from(self.ring.tail.load(Order::Acquire).await as u32));
    }

    /// `zcrx_next_rqe`: the index of the next entry.
    fn next_rqe(&self) -> usize {
        let head = self.cached_head.get() as u32;
        self.cached_head.set(u64::from(head.wrapping_add(1)));
        (head & (self.nr_entries - 1)) as usize
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
/// Divergence from Linux: with M4 the second read of `off` is used as it is, which is what a
/// compiler may make of a plain double read.
async fn io_parse_rqe<P: Platform>(idx: usize, ifq: &Ifq<P>) -> Option<NiovRef<P>> {
    ifq.rq.lock.assert_held();
    let rqe = &ifq.rq.ring.rqes[idx];
    let off = rqe.load(Order::Relaxed).await;
    // One step with the entry's offset: user space writes an entry before it publishes it.
    if ifq.rq.ring.pads[idx].load_in_step() != 0 {
        return None;
    }
    let niov = niov_at(off, ifq)?;
    if !ifq.kernel.has(Defect::M4) {
        return Some(niov);
    }
    let again = rqe.load(Order::Relaxed).await;
    let used = niov_at(again, ifq);
    if used.is_none() {
        P::violation(
            Invariant::I11,
            format_args!("entry {idx} was checked as {off:#x} and used as {again:#x}"),
        );
    }
    used
}

fn niov_at<P: Platform>(off: u64, ifq: &Ifq<P>) -> Option<NiovRef<P>> {
    let area = ifq.area_at((off >> AREA_SHIFT) as usize)?;
    // An `unsigned`: what is above its 32 bits is not looked at.
    let idx = ((off & ((1 << AREA_SHIFT) - 1)) >> NIOV_SHIFT) as u32;
    (idx < area.num_niovs()).then_some(NiovRef { area, idx })
}

/// `io_zcrx_ring_refill`: buffers that user space gave back, for the pool's cache.
pub async fn io_zcrx_ring_refill<P: Platform>(
    pp: &Ptr<P, PagePool<P>>,
    to_alloc: usize,
) -> Vec<NiovRef<P>> {
    let _func = P::func("io_zcrx_ring_refill");
    let _guard = pp.ifq.rq.lock.lock().await;
    if pp.ifq.kernel.variant.revision.has_refill_iter() {
        refill_in_runs(pp, to_alloc).await
    } else {
        refill_one_by_one(pp, to_alloc).await
    }
}

/// Entries for one buffer that follow each other are put together (7.3).
async fn refill_in_runs<P: Platform>(pp: &Ptr<P, PagePool<P>>, to_alloc: usize) -> Vec<NiovRef<P>> {
    let (ifq, rq) = (&pp.ifq, &pp.ifq.rq);
    let mut it = ZcrxRqIter::new(rq);
    let mut netmems = Vec::new();
    let mut run: Option<(NiovRef<P>, u64)> = None;
    while netmems.len() < to_alloc - 1
        && let Some(rqe) = it.next(rq).await
    {
        let Some(next) = io_parse_rqe(rqe, ifq).await else { continue };
        if let Some((niov, refs)) = &mut run {
            if niov.is(&next) {
                *refs += 1;
                continue;
            }
            if zcrx_put_refill_niov(niov, pp, *refs).await {
                netmems.push(niov.clone());
            }
        }
        run = Some((next, 1));
    }
    if let Some((niov, refs)) = run
        && zcrx_put_refill_niov(&niov, pp, refs).await
    {
        netmems.push(niov);
    }
    rq.publish_head().await;
    netmems
}

/// Each entry for itself, as many as there are now (before 7.3).
async fn refill_one_by_one<P: Platform>(
    pp: &Ptr<P, PagePool<P>>,
    to_alloc: usize,
) -> Vec<NiovRef<P>> {
    let (ifq, rq) = (&pp.ifq, &pp.ifq.rq);
    rq.load_tail().await;
    let entries = rq.cached_entries().min(to_alloc as u32);
    let mut netmems = Vec::new();
    if entries == 0 {
        return netmems;
    }
    for _ in 0..entries {
        let rqe = rq.next_rqe();
        let Some(niov) = io_parse_rqe(rqe, ifq).await else { continue };
        if !io_zcrx_put_niov_uref(&niov, 1).await || !page_pool_unref_and_test(&niov).await {
            continue;
        }
        if niov.pp().get() == pp.to_word() {
            netmems.push(niov);
        } else {
            io_zcrx_return_niov(&niov).await;
        }
    }
    rq.publish_head().await;
    netmems
}

/// `zcrx_put_refill_niov`: whether the pool may have the buffer.
async fn zcrx_put_refill_niov<P: Platform>(
    niov: &NiovRef<P>,
    pp: &Ptr<P, PagePool<P>>,
    refs: u64,
) -> bool {
    if !io_zcrx_put_niov_uref(niov, refs).await {
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

/// `zcrx_parse_rq`: up to a batch of entries; a bad one ends it.
///
/// Divergence from Linux: `fatal_signal_pending` is left out.
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
async fn zcrx_return_buffers<P: Platform>(niovs: &[NiovRef<P>]) {
    for niov in niovs {
        if io_zcrx_put_niov_uref(niov, 1).await && page_pool_unref_and_test(niov).await {
            io_zcrx_return_niov(niov).await;
        }
    }
}

/// `zcrx_flush_rq`: `ZCRX_CTRL_FLUSH_RQ`.
pub async fn zcrx_flush_rq<P: Platform>(ifq: &Ifq<P>) {
    let _func = P::func("zcrx_flush_rq");
    let mut total = 0;
    loop {
        let nr = {
            let _guard = ifq.rq.lock.lock().await;
            let niovs = zcrx_parse_rq(ifq, ZCRX_FLUSH_BATCH).await;
            zcrx_return_buffers(&niovs).await;
            niovs.len() as u32
        };
        total += nr;
        if nr < ZCRX_FLUSH_BATCH || total >= ifq.rq.nr_entries {
            break;
        }
    }
}
