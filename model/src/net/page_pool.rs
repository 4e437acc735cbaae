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
use crate::revision::Defect;
use crate::trace::Tracepoint;
use crate::work::Work;

/// `PP_ALLOC_CACHE_REFILL`: buffers that the allocation cache is filled with at a time.
pub const PP_ALLOC_CACHE_REFILL: usize = 64;
/// `ring_qsize` of `page_pool_init`: entries of the recycling ring, unless the driver asks for another size.
pub const RING_QSIZE: usize = 1024;

/// `struct page_pool`.
pub struct PagePool<P: Platform> {
    /// `mp_priv`: a word, because a pool that a device makes when it comes up may be any ifq's.
    mp_priv: P::Plain,
    /// Not in Linux: how many page pools the ifq had before. It tells the pools' workers apart.
    pub number: P::Plain,
    /// `alloc.cache`, in NAPI context only.
    pub cache: Vec<P::Plain>,
    /// `alloc.count`.
    pub count: P::Plain,
    ring: PtrRing<P>,
    /// `recycle_stats`: the pointer. Nothing is counted.
    recycle_stats: P::Atomic,
    /// `destroy_cnt`, as far as it matters: whether the pool was scrubbed before.
    destroyed: P::Plain,
    /// `pages_state_hold_cnt`, in NAPI context only.
    pub hold_cnt: P::Plain,
    /// `pages_state_release_cnt` from [`RELEASED`] on; below, the number of entries of `ring`. One word, so
    /// that the release worker can wait for a change of either.
    counts: P::WaitQueue,
}

/// One released buffer in [`PagePool::counts`].
const RELEASED: u64 = 1 << 32;

/// `struct ptr_ring` (`include/linux/ptr_ring.h`): producers and consumers have a lock each.
///
/// # Divergence from Linux
/// - Simplified: a consumed entry is cleared at once; Linux clears up to 16 together.
struct PtrRing<P: Platform> {
    producer_lock: P::Lock,
    /// Under `producer_lock`.
    producer: P::Plain,
    consumer_lock: P::Lock,
    /// In NAPI context, or under `consumer_lock` when NAPI has stopped.
    consumer_head: P::Plain,
    /// Zero: free.
    queue: Vec<P::Atomic>,
}

impl<P: Platform> PtrRing<P> {
    /// `__ptr_ring_produce`: `false` if the ring is full. Under `producer_lock`.
    ///
    /// Linux: `include/linux/ptr_ring.h`, 6.18 to 7.3.
    async fn produce(&self, word: u64) -> bool {
        self.producer_lock.assert_held();
        let producer = self.producer.get() as usize;
        let slot = &self.queue[producer];
        if slot.load_in_step() != 0 {
            return false;
        }
        self.producer.set(((producer + 1) % self.queue.len()) as u64);
        slot.store(word, Order::Release).await;
        true
    }

    /// `__ptr_ring_discard_one` of an entry that is there.
    ///
    /// Linux: `include/linux/ptr_ring.h`, 6.18 to 7.3.
    fn discard_one(&self) {
        let head = self.consumer_head.get() as usize;
        self.queue[head].store_in_step(0);
        self.consumer_head.set(((head + 1) % self.queue.len()) as u64);
    }

    /// `__ptr_ring_peek`.
    ///
    /// Linux: `include/linux/ptr_ring.h`, 6.18 to 7.3.
    fn next(&self) -> &P::Atomic {
        &self.queue[self.consumer_head.get() as usize]
    }
}

impl<P: Platform> std::fmt::Debug for PagePool<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PagePool").finish_non_exhaustive()
    }
}

impl<P: Platform> PagePool<P> {
    /// `io_pp_to_ifq`.
    ///
    /// # Panics
    /// Never: the pool is made with an ifq.
    ///
    /// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
    #[must_use]
    pub fn ifq(&self) -> Ptr<P, Ifq<P>> {
        Ptr::from_word(self.mp_priv.get()).expect("a page pool has an ifq")
    }
}

/// `page_pool_create` with `mp_ops`.
///
/// Linux: `net/core/page_pool.c`, 6.18 to 7.3.
pub async fn page_pool_create<P: Platform>(ifq: &Ptr<P, Ifq<P>>) -> Ptr<P, PagePool<P>> {
    let _func = P::func("page_pool_create");
    let number = ifq.nr_pools.get();
    ifq.nr_pools.set(number + 1);
    // Each buffer of the ifq is in the pool at most once. The first pool belongs to one registration; a later
    // one may be any ifq's, and its size must not depend on whose.
    let capacities = &ifq.kernel.capacities;
    let buffers = match number {
        0 => capacities.ifq(ifq.number).buffers,
        _ => capacities.largest_ifq().buffers,
    };
    let pp = Ptr::alloc(Kind::PagePool, ifq.number, || PagePool {
        mp_priv: P::plain(Label::pointer("pp.mp_priv", 0), ifq.to_word()),
        number: P::plain("pp.number", number),
        cache: (0..PP_ALLOC_CACHE_REFILL.min(buffers))
            .map(|_| P::plain(niov_label("pp.cache"), 0))
            .collect(),
        count: P::plain("pp.alloc.count", 0),
        ring: PtrRing {
            producer_lock: P::lock("producer_lock"),
            producer: P::plain("pp.ring.producer", 0),
            consumer_lock: P::lock("consumer_lock"),
            consumer_head: P::plain("pp.ring.consumer_head", 0),
            queue: (0..RING_QSIZE.min(buffers))
                .map(|_| P::atomic(niov_label("pp.ring[]"), 0))
                .collect(),
        },
        recycle_stats: P::atomic("recycle_stats", 0),
        destroyed: P::plain("destroy_cnt", 0),
        hold_cnt: P::plain("hold_cnt", 0),
        counts: P::wait_queue("release_cnt", 0),
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

/// `page_pool_refill_alloc_cache`. NAPI is the only consumer and takes no lock.
///
/// Linux: `net/core/page_pool.c`, 6.18 to 7.3.
async fn page_pool_refill_alloc_cache<P: Platform>(pp: &PagePool<P>) {
    for slot in &pp.cache {
        let word = pp.ring.next().load(Order::Acquire).await;
        if word == 0 {
            break;
        }
        pp.ring.discard_one();
        pp.counts.rmw_in_step(Rmw::Sub(1));
        slot.set(word);
        pp.count.set(pp.count.get() + 1);
    }
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
    if page_pool_recycle_in_ring(pp, niov).await {
        return;
    }
    if pp.ring.queue.len() < RING_QSIZE {
        let ifq = pp.ifq();
        ifq.kernel.trace(&Tracepoint::PoolOverfull(&*ifq));
        return;
    }
    page_pool_return_netmem(pp, niov).await;
}

/// `page_pool_recycle_in_ring`. As soon as the entry is in the ring, the buffer can be released and the last
/// one frees the pool, while the producer still holds the lock and counts.
///
/// Linux: `net/core/page_pool.c`, 6.18 to 7.3.
async fn page_pool_recycle_in_ring<P: Platform>(pp: &PagePool<P>, niov: &NiovRef<P>) -> bool {
    let _func = P::func("page_pool_recycle_in_ring");
    let _guard = pp.ring.producer_lock.lock().await;
    let ret = pp.ring.produce(niov.to_word()).await;
    if ret {
        pp.counts.rmw_in_step(Rmw::Add(1));
        // recycle_stat_inc()
        pp.recycle_stats.load(Order::Relaxed).await;
    }
    ret
}

/// `page_pool_return_netmem`. The pool may be gone when it returns.
///
/// Linux: `net/core/page_pool.c`, 6.18 to 7.3.
async fn page_pool_return_netmem<P: Platform>(pp: &PagePool<P>, niov: &NiovRef<P>) {
    let _func = P::func("page_pool_return_netmem");
    io_pp_zc_release_netmem(niov).await;
    pp.counts.rmw(Rmw::Add(RELEASED)).await;
}

/// `page_pool_empty_ring`.
///
/// Linux: `net/core/page_pool.c`, 6.18 to 7.3.
async fn page_pool_empty_ring<P: Platform>(pp: &PagePool<P>) {
    loop {
        // ptr_ring_consume_bh()
        let word = {
            let _guard = pp.ring.consumer_lock.lock().await;
            let word = pp.ring.next().load_in_step();
            if word != 0 {
                pp.ring.discard_one();
                pp.counts.rmw_in_step(Rmw::Sub(1));
            }
            word
        };
        let Some(niov) = NiovRef::from_word(word) else { return };
        page_pool_return_netmem(pp, &niov).await;
    }
}

/// `page_pool_scrub`.
///
/// Linux: `net/core/page_pool.c`, 6.18 to 7.3.
async fn page_pool_scrub<P: Platform>(pp: &PagePool<P>) {
    // page_pool_empty_alloc_cache_once()
    if pp.destroyed.get() == 0 {
        while let Some(count) = pp.count.get().checked_sub(1) {
            pp.count.set(count);
            if let Some(niov) = NiovRef::from_word(pp.cache[count as usize].get()) {
                page_pool_return_netmem(pp, &niov).await;
            }
        }
    }
    pp.destroyed.set(1);
    page_pool_empty_ring(pp).await;
}

/// `page_pool_release`: the number of buffers that are not back. Frees the pool if all are.
///
/// Linux: `net/core/page_pool.c`, 6.18 to 7.3.
async fn page_pool_release<P: Platform>(pp: &Ptr<P, PagePool<P>>) -> u64 {
    let _func = P::func("page_pool_release");
    let ifq = pp.ifq();
    page_pool_scrub(pp).await;
    let inflight = page_pool_inflight(pp).await;
    if ifq.kernel.fixed(Defect::PoolRingRace) {
        // Producers have left the ring.
        drop(pp.ring.producer_lock.lock().await);
    }
    if inflight == 0 {
        __page_pool_destroy(pp).await;
    }
    inflight
}

/// `page_pool_inflight`.
///
/// Linux: `net/core/page_pool.c`, 6.18 to 7.3.
async fn page_pool_inflight<P: Platform>(pp: &PagePool<P>) -> u64 {
    pp.hold_cnt.get() - pp.counts.load().await / RELEASED
}

/// `page_pool_destroy`: at once if all buffers are back, otherwise by the release worker.
///
/// Linux: `net/core/page_pool.c`, 6.18 to 7.3.
pub async fn page_pool_destroy<P: Platform>(pp: &Ptr<P, PagePool<P>>) {
    let _func = P::func("page_pool_destroy");
    let ifq = pp.ifq();
    let inflight = page_pool_release(pp).await;
    if inflight != 0 {
        ifq.kernel.queue_work(Work::PagePoolRelease(pp.clone()));
    }
}

/// `page_pool_release_retry`, queued every second: what came back meanwhile is in the ring and not free. Here
/// the worker may look at any time after something came back.
///
/// # Divergence from Linux
/// - Simplified: no turn in which nothing has come back.
/// - Simplified: a timeout of another thread is longer than the second, so it ends after the worker's turn.
///
/// Linux: `net/core/page_pool.c`, 6.18 to 7.3.
pub async fn page_pool_release_retry<P: Platform>(pp: &Ptr<P, PagePool<P>>) {
    let _func = P::func("page_pool_release_retry");
    let mut inflight = page_pool_inflight(pp).await;
    loop {
        let released = pp.hold_cnt.get() - inflight;
        // A buffer in the ring, or one more released.
        pp.counts.wait_event(released * RELEASED + 1).await;
        inflight = page_pool_release(pp).await;
        if inflight == 0 {
            return;
        }
    }
}

/// `__page_pool_destroy`.
///
/// Linux: `net/core/page_pool.c`, 6.18 to 7.3.
#[allow(non_snake_case, reason = "the kernel's name")]
async fn __page_pool_destroy<P: Platform>(pp: &Ptr<P, PagePool<P>>) {
    let ifq = pp.ifq();
    pp.free();
    // Boxed: this may free the ifq, which closes its queue, which destroys a pool.
    Box::pin(io_pp_zc_destroy(&ifq)).await;
}
