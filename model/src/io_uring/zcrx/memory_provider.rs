//! `io_uring_pp_zc_ops`: zcrx as a page pool's memory provider (`io_uring/zcrx.c`).

use crate::bug::{Warning, warn_on_once};
use crate::io_uring::ctx::ctx_refs_put;
use crate::io_uring::uapi::ZCRX_EVENT_ALLOC_FAIL;
use crate::io_uring::zcrx::Ifq;
use crate::io_uring::zcrx::area::{io_zcrx_map_area, io_zcrx_unmap_areas};
use crate::io_uring::zcrx::niov::{NiovRef, io_zcrx_return_niov_freelist, zcrx_get_free_niov};
use crate::io_uring::zcrx::notif::zcrx_send_notif;
use crate::io_uring::zcrx::refill::io_zcrx_ring_refill;
use crate::io_uring::zcrx::unregister::{io_put_zcrx_ifq, io_zcrx_ifq_free};
use crate::net::page_pool::{PP_ALLOC_CACHE_REFILL, PagePool};
use crate::platform::{AtomicWord, PlainWord, Platform, Ptr, RawLock};
use crate::revision::Defect;
use crate::trace::Tracepoint;

/// `io_pp_zc_init`: the pool holds the ifq, in 6.18 the ring. Until 7.0 it maps the area.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
pub async fn io_pp_zc_init<P: Platform>(pp: &PagePool<P>) {
    let ifq = &pp.ifq();
    if !ifq.kernel.variant.revision.has_nodev() {
        io_zcrx_map_area(ifq).await;
    }
    if ifq.pools_hold_nothing() {
        return;
    }
    if !ifq.pools_hold_ring() {
        ifq.refs.inc().await;
        return;
    }
    ifq.ctx.refs.get().await;
    if ifq.kernel.fixed(Defect::M3) {
        ifq.pool_refs.inc().await;
    }
}

/// `io_pp_zc_destroy`.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
pub async fn io_pp_zc_destroy<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
    let _func = P::func("io_pp_zc_destroy");
    if ifq.pools_hold_nothing() {
        return;
    }
    if !ifq.pools_hold_ring() {
        io_put_zcrx_ifq(ifq).await;
        return;
    }
    let ctx = ifq.ctx.clone();
    if ifq.kernel.fixed(Defect::M3) && ifq.pool_refs.dec_and_test().await {
        io_zcrx_ifq_free(ifq).await;
    }
    ctx_refs_put(&ctx).await;
}

/// `io_pp_zc_alloc_netmems`: fills the pool's cache from the refill ring, otherwise from the free list.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
pub async fn io_pp_zc_alloc_netmems<P: Platform>(pp: &Ptr<P, PagePool<P>>) {
    let _func = P::func("io_pp_zc_alloc_netmems");
    let (ifq, count) = (pp.ifq(), pp.count.get());
    if warn_on_once(&ifq.kernel, count != 0, Warning::AllocCacheNotEmpty) {
        return;
    }
    let mut netmems = io_zcrx_ring_refill(pp, PP_ALLOC_CACHE_REFILL).await;
    if netmems.is_empty() {
        netmems = io_zcrx_refill_slow(pp, PP_ALLOC_CACHE_REFILL).await;
    }
    if netmems.is_empty() {
        zcrx_send_notif(&ifq, ZCRX_EVENT_ALLOC_FAIL).await;
    }
    if netmems.len() > pp.cache.len() {
        ifq.kernel.trace(&Tracepoint::PoolOverfull(&*ifq));
        netmems.truncate(pp.cache.len());
    }
    for (slot, niov) in pp.cache.iter().zip(&netmems) {
        slot.set(niov.to_word());
    }
    pp.count.set(netmems.len() as u64);
}

/// `io_zcrx_refill_slow`.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
async fn io_zcrx_refill_slow<P: Platform>(
    pp: &Ptr<P, PagePool<P>>,
    to_alloc: usize,
) -> Vec<NiovRef<P>> {
    let _func = P::func("io_zcrx_refill_slow");
    let ifq = pp.ifq();
    let _guard = ifq.alloc_lock.lock().await;
    let mut netmems = Vec::new();
    for area in ifq.areas() {
        while netmems.len() < to_alloc
            && let Some(niov) = zcrx_get_free_niov(&area)
        {
            // net_mp_niov_set_page_pool()
            niov.pp().set(pp.to_word());
            niov.pp_ref_count().store_in_step(1);
            pp.hold_cnt.set(pp.hold_cnt.get() + 1);
            netmems.push(niov);
        }
    }
    if netmems.is_empty() {
        ifq.kernel.trace(&Tracepoint::NoFreeNiov(&*ifq));
    }
    netmems
}

/// `io_pp_zc_release_netmem`: the pool releases a buffer.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
pub async fn io_pp_zc_release_netmem<P: Platform>(niov: &NiovRef<P>) {
    // net_mp_niov_clear_page_pool()
    niov.pp().set(0);
    io_zcrx_return_niov_freelist(niov).await;
}

/// `io_pp_uninstall`: the device is being unregistered. Under the netdev lock.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
pub async fn io_pp_uninstall<P: Platform>(ifq: &Ifq<P>) {
    let _func = P::func("io_pp_uninstall");
    if !ifq.kernel.fixed(Defect::UninstallRace) {
        {
            let _guard = ifq.pp_lock.lock().await;
            io_zcrx_drop_netdev(ifq);
        }
        // From here on an exiting ring does not wait for the netdev lock.
        let _guard = ifq.pp_lock.lock().await;
        io_zcrx_unmap_areas(ifq);
        return;
    }
    let _guard = ifq.pp_lock.lock().await;
    io_zcrx_unmap_areas(ifq);
    io_zcrx_drop_netdev(ifq);
}

/// `io_zcrx_drop_netdev`. Under `pp_lock`.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
fn io_zcrx_drop_netdev<P: Platform>(ifq: &Ifq<P>) {
    if ifq.netdev.get() != 0 {
        ifq.netdev.set(0);
        if let Some(netdev) = &ifq.kernel.netdev {
            netdev.put();
        }
    }
}
