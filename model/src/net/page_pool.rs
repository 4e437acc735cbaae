//! A page pool with a memory provider (`net/core/page_pool.c`).

use crate::bug::{Warning, warn_on_once};
use crate::io_uring::zcrx::Ifq;
use crate::io_uring::zcrx::memory_provider::{
    io_pp_zc_alloc_netmems, io_pp_zc_destroy, io_pp_zc_init, io_pp_zc_release_netmem,
};
use crate::io_uring::zcrx::niov::{NiovRef, niov_label};
use crate::platform::{
    AtomicWord, Kind, Label, Order, PlainWord, Platform, Ptr, RawLock, Rmw, WaitWord,
};
use crate::trace::Tracepoint;
use crate::work::Work;

/// `PP_ALLOC_CACHE_REFILL`: buffers that the allocation cache is filled with at a time.
pub const PP_ALLOC_CACHE_REFILL: usize = 64;
/// `ring_qsize` of `page_pool_init`: entries of the recycling ring, unless the driver asks for another size.
pub const RING_QSIZE: usize = 1024;

/// `struct page_pool`.
pub struct PagePool<P: Platform> {
    /// `mp_priv`.
    pub ifq: Ptr<P, Ifq<P>>,
    /// `alloc.cache`, in NAPI context only.
    pub cache: Vec<P::Plain>,
    /// `alloc.count`.
    pub count: P::Plain,
    ring_lock: P::Lock,
    ring: Vec<P::Plain>,
    ring_count: P::Plain,
    /// Whether the pool is destroyed, so that buffers are not recycled any more. Under `ring_lock`.
    /// In Linux buffers still go into the ring, and the release worker empties it every second.
    destroyed: P::Plain,
    /// `pages_state_hold_cnt`, in NAPI context only.
    pub hold_cnt: P::Plain,
    /// `pages_state_release_cnt`.
    release_cnt: P::WaitQueue,
}

impl<P: Platform> std::fmt::Debug for PagePool<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PagePool").finish_non_exhaustive()
    }
}

/// `page_pool_create` with `mp_ops`.
///
/// Linux: `net/core/page_pool.c`, 6.18 to 7.3.
pub async fn page_pool_create<P: Platform>(ifq: &Ptr<P, Ifq<P>>) -> Ptr<P, PagePool<P>> {
    let _func = P::func("page_pool_create");
    // Each buffer of the ifq is in the pool at most once.
    let buffers = ifq.kernel.capacities.ifq(ifq.number).buffers;
    let words = |label: Label, n: usize| (0..n.min(buffers)).map(|_| P::plain(label, 0)).collect();
    let pp = Ptr::alloc(Kind::PagePool, ifq.number, || PagePool {
        ifq: ifq.clone(),
        cache: words(niov_label("pp.cache"), PP_ALLOC_CACHE_REFILL),
        count: P::plain("pp.alloc.count", 0),
        ring_lock: P::lock("pp.ring"),
        ring: words(niov_label("pp.ring[]"), RING_QSIZE),
        ring_count: P::plain("pp.ring.count", 0),
        destroyed: P::plain("pp.destroyed", 0),
        hold_cnt: P::plain("hold_cnt", 0),
        release_cnt: P::wait_queue("release_cnt", 0),
    });
    io_pp_zc_init(&pp).await;
    pp
}

/// `page_pool_alloc_netmems`: from the cache, the ring, the memory provider.
///
/// Linux: `net/core/page_pool.c`, 6.18 to 7.3.
pub async fn page_pool_alloc_netmem<P: Platform>(pp: &Ptr<P, PagePool<P>>) -> Option<NiovRef<P>> {
    let _func = P::func("page_pool_alloc_netmems");
    if pp.count.get() == 0 {
        page_pool_refill_alloc_cache(pp).await;
    }
    if pp.count.get() == 0 {
        io_pp_zc_alloc_netmems(pp).await;
    }
    let count = pp.count.get().checked_sub(1)?;
    pp.count.set(count);
    NiovRef::from_word(pp.cache[count as usize].get())
}

/// `page_pool_refill_alloc_cache`.
///
/// Linux: `net/core/page_pool.c`, 6.18 to 7.3.
async fn page_pool_refill_alloc_cache<P: Platform>(pp: &PagePool<P>) {
    let _guard = pp.ring_lock.lock().await;
    let held = pp.ring_count.get() as usize;
    let count = held.min(PP_ALLOC_CACHE_REFILL);
    for (slot, item) in pp.cache.iter().zip(&pp.ring[..count]) {
        slot.set(item.get());
    }
    // First in, first out.
    for next in count..held {
        pp.ring[next - count].set(pp.ring[next].get());
    }
    pp.ring_count.set((held - count) as u64);
    pp.count.set(count as u64);
}

/// `page_pool_unref_netmem(netmem, nr)`: the number of references left.
///
/// Linux: `net/core/page_pool.c`, 6.18 to 7.3.
pub async fn page_pool_unref_netmem<P: Platform>(niov: &NiovRef<P>, nr: u64) -> u64 {
    let refs = niov.pp_ref_count();
    if refs.load(Order::Relaxed).await == nr {
        refs.store(1, Order::Relaxed).await;
        return 0;
    }
    page_pool_unref_netmem_slow(niov, nr).await
}

/// `page_pool_unref_and_test`. It does not write when the count is one.
///
/// Linux: `include/net/page_pool/helpers.h`, 6.18 to 7.3.
pub async fn page_pool_unref_and_test<P: Platform>(niov: &NiovRef<P>) -> bool {
    niov.pp_ref_count().load(Order::Relaxed).await == 1
        || page_pool_unref_netmem_slow(niov, 1).await == 0
}

/// Not in Linux as a function: the path of `page_pool_unref_netmem` that subtracts.
async fn page_pool_unref_netmem_slow<P: Platform>(niov: &NiovRef<P>, nr: u64) -> u64 {
    let old = niov.pp_ref_count().rmw(Rmw::Sub(nr), Order::Full).await;
    let warning =
        Warning::PpRefCountNegative { area: niov.area.area_id.observe() as u32, niov: niov.idx };
    if warn_on_once(&niov.area.ifq.kernel, old < nr, warning) {
        return old;
    }
    if old == nr {
        niov.pp_ref_count().store(1, Order::Relaxed).await;
    }
    old - nr
}

/// `page_pool_put_unrefed_netmem`: the last reference is gone. Recycles the buffer or releases it.
///
/// Linux: `net/core/page_pool.c`, 6.18 to 7.3.
pub async fn page_pool_put_unrefed_netmem<P: Platform>(
    pp: &Ptr<P, PagePool<P>>,
    niov: &NiovRef<P>,
) {
    let _func = P::func("page_pool_put_unrefed_netmem");
    {
        let _guard = pp.ring_lock.lock().await;
        let count = pp.ring_count.get() as usize;
        if pp.destroyed.get() == 0 && count < RING_QSIZE {
            let Some(slot) = pp.ring.get(count) else {
                pp.ifq.kernel.trace(&Tracepoint::PoolOverfull(&*pp.ifq));
                return;
            };
            slot.set(niov.to_word());
            pp.ring_count.set(count as u64 + 1);
            return;
        }
    }
    page_pool_return_netmem(pp, niov).await;
}

/// `page_pool_return_netmem`. The pool may be gone when it returns.
///
/// Linux: `net/core/page_pool.c`, 6.18 to 7.3.
async fn page_pool_return_netmem<P: Platform>(pp: &PagePool<P>, niov: &NiovRef<P>) {
    let _func = P::func("page_pool_return_netmem");
    io_pp_zc_release_netmem(niov).await;
    pp.release_cnt.rmw(Rmw::Add(1)).await;
}

/// `page_pool_destroy`: at once if all buffers are back, otherwise by the release worker.
///
/// Linux: `net/core/page_pool.c`, 6.18 to 7.3.
pub async fn page_pool_destroy<P: Platform>(pp: &Ptr<P, PagePool<P>>) {
    let _func = P::func("page_pool_destroy");
    page_pool_scrub(pp).await;
    if pp.release_cnt.load().await == pp.hold_cnt.get() {
        __page_pool_destroy(pp).await;
    } else {
        pp.ifq.kernel.queue_work(Work::PagePoolRelease(pp.clone()));
    }
}

/// `page_pool_scrub`.
///
/// Linux: `net/core/page_pool.c`, 6.18 to 7.3.
async fn page_pool_scrub<P: Platform>(pp: &Ptr<P, PagePool<P>>) {
    let mut drained: Vec<u64> =
        pp.cache[..pp.count.get() as usize].iter().map(PlainWord::get).collect();
    pp.count.set(0);
    {
        let _guard = pp.ring_lock.lock().await;
        pp.destroyed.set(1);
        drained.extend(pp.ring[..pp.ring_count.get() as usize].iter().map(PlainWord::get));
        pp.ring_count.set(0);
    }
    for word in drained {
        if let Some(niov) = NiovRef::from_word(word) {
            page_pool_return_netmem(pp, &niov).await;
        }
    }
}

/// `page_pool_release_retry`.
///
/// # Divergence from Linux
/// - Simplified: Linux looks every second; here the worker waits until all buffers are back.
///
/// Linux: `net/core/page_pool.c`, 6.18 to 7.3.
pub async fn page_pool_release_retry<P: Platform>(pp: &Ptr<P, PagePool<P>>) {
    let _func = P::func("page_pool_release_retry");
    pp.release_cnt.wait_event(pp.hold_cnt.get()).await;
    __page_pool_destroy(pp).await;
}

/// `__page_pool_destroy`.
///
/// Linux: `net/core/page_pool.c`, 6.18 to 7.3.
#[allow(non_snake_case, reason = "the kernel's name")]
async fn __page_pool_destroy<P: Platform>(pp: &Ptr<P, PagePool<P>>) {
    let ifq = pp.ifq.clone();
    pp.free();
    // Boxed: this may free the ifq, which closes its queue, which destroys a pool.
    Box::pin(io_pp_zc_destroy(&ifq)).await;
}
