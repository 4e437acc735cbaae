//! `io_uring_pp_zc_ops`: zcrx as a page pool's memory provider.

use crate::invariant::Invariant;
use crate::io_uring::zcrx::Ifq;
use crate::io_uring::zcrx::area::{NiovRef, io_zcrx_return_niov_freelist, zcrx_get_free_niov};
use crate::io_uring::zcrx::rq::io_zcrx_ring_refill;
use crate::io_uring::zcrx::teardown::io_put_zcrx_ifq;
use crate::net::page_pool::{ALLOC_CACHE, PagePool};
use crate::platform::{AtomicWord, PlainWord, Platform, Ptr, RawLock};

/// `io_pp_zc_init`: the pool holds the ifq.
pub async fn io_pp_zc_init<P: Platform>(pp: &PagePool<P>) {
    pp.ifq.refs.inc().await;
}

/// `io_pp_zc_destroy`.
pub async fn io_pp_zc_destroy<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
    let _func = P::func("io_pp_zc_destroy");
    io_put_zcrx_ifq(ifq).await;
}

/// `io_pp_zc_alloc_netmems`: fills the pool's cache from the refill ring, then from the free list.
pub async fn io_pp_zc_alloc_netmems<P: Platform>(pp: &Ptr<P, PagePool<P>>) {
    let _func = P::func("io_pp_zc_alloc_netmems");
    if pp.count.get() != 0 {
        P::violation(Invariant::I6, format_args!("refill of a page pool cache that is not empty"));
    }
    let mut netmems = io_zcrx_ring_refill(pp, ALLOC_CACHE).await;
    if netmems.is_empty() {
        netmems = io_zcrx_refill_slow(pp, ALLOC_CACHE).await;
    }
    for (slot, niov) in pp.cache.iter().zip(&netmems) {
        slot.set(niov.to_word());
    }
    pp.count.set(netmems.len() as u64);
}

/// `io_zcrx_refill_slow`.
async fn io_zcrx_refill_slow<P: Platform>(
    pp: &Ptr<P, PagePool<P>>,
    to_alloc: usize,
) -> Vec<NiovRef<P>> {
    let _func = P::func("io_zcrx_refill_slow");
    let _guard = pp.ifq.alloc_lock.lock().await;
    let mut netmems = Vec::new();
    let Some(area) = pp.ifq.area() else { return netmems };
    while netmems.len() < to_alloc
        && let Some(niov) = zcrx_get_free_niov(&area)
    {
        // net_mp_niov_set_page_pool()
        niov.pp().set(pp.to_word());
        niov.pp_ref_count().poke(1);
        pp.hold_cnt.set(pp.hold_cnt.get() + 1);
        netmems.push(niov);
    }
    netmems
}

/// `io_pp_zc_release_netmem`: the pool gives a buffer back for good.
pub async fn io_pp_zc_release_netmem<P: Platform>(niov: &NiovRef<P>) {
    // net_mp_niov_clear_page_pool()
    niov.pp().set(0);
    io_zcrx_return_niov_freelist(niov).await;
}
