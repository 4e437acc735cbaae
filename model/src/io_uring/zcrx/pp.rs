//! `io_uring_pp_zc_ops`: zcrx as a page pool's memory provider.

use crate::invariant::Invariant;
use crate::io_uring::ctx::ctx_refs_put;
use crate::io_uring::zcrx::Ifq;
use crate::io_uring::zcrx::area::{
    NiovRef, io_zcrx_map_area, io_zcrx_return_niov_freelist, io_zcrx_unmap_areas, maps_at_creation,
    report_lost_buffers, zcrx_get_free_niov,
};
use crate::io_uring::zcrx::events::zcrx_send_notif;
use crate::io_uring::zcrx::rq::io_zcrx_ring_refill;
use crate::io_uring::zcrx::teardown::{io_put_zcrx_ifq, io_zcrx_ifq_free};
use crate::net::page_pool::{ALLOC_CACHE, PagePool};
use crate::platform::{AtomicWord, PlainWord, Platform, Ptr, RawLock};
use crate::revision::Defect;
use crate::test::Event;

/// `io_pp_zc_init`: the pool holds the ifq; in the proposal's base it holds the ring.
pub async fn io_pp_zc_init<P: Platform>(pp: &PagePool<P>) {
    let ifq = &pp.ifq;
    if !maps_at_creation(ifq) {
        io_zcrx_map_area(ifq).await;
    }
    if !holds_ring(ifq) {
        ifq.refs.inc().await;
        return;
    }
    ifq.ctx.refs.get().await;
    if !ifq.kernel.has(Defect::M3) {
        ifq.pool_refs.inc().await;
    }
}

/// `io_pp_zc_destroy`.
pub async fn io_pp_zc_destroy<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
    let _func = P::func("io_pp_zc_destroy");
    if !holds_ring(ifq) {
        io_put_zcrx_ifq(ifq).await;
        return;
    }
    let ctx = ifq.ctx.clone();
    if !ifq.kernel.has(Defect::M3) {
        put_pool_ref(ifq).await;
    }
    ctx_refs_put(&ctx).await;
}

/// Drops one of [`Ifq::pool_refs`].
pub(super) async fn put_pool_ref<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
    if ifq.pool_refs.dec_and_test().await {
        io_zcrx_ifq_free(ifq).await;
    }
}

/// Whether page pools hold the ring that registered, and not the ifq.
pub(super) fn holds_ring<P: Platform>(ifq: &Ifq<P>) -> bool {
    ifq.kernel.variant.revision.has_proxies() && ifq.kernel.has(Defect::P8)
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
    if netmems.is_empty() {
        zcrx_send_notif(&pp.ifq, Event::AllocFail).await;
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
    for area in pp.ifq.areas() {
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
        report_lost_buffers(&pp.ifq);
    }
    netmems
}

/// `io_pp_zc_release_netmem`: the pool gives a buffer back for good.
pub async fn io_pp_zc_release_netmem<P: Platform>(niov: &NiovRef<P>) {
    // net_mp_niov_clear_page_pool()
    niov.pp().set(0);
    io_zcrx_return_niov_freelist(niov).await;
}

/// `io_pp_uninstall`: the device goes away. Under the netdev lock.
pub async fn io_pp_uninstall<P: Platform>(ifq: &Ifq<P>) {
    let _func = P::func("io_pp_uninstall");
    if ifq.kernel.has(Defect::UninstallRace) {
        {
            let _guard = ifq.pp_lock.lock().await;
            io_zcrx_drop_netdev(ifq);
        }
        // A ring that exits does not wait for the netdev lock any more.
        let _guard = ifq.pp_lock.lock().await;
        io_zcrx_unmap_areas(ifq);
        return;
    }
    let _guard = ifq.pp_lock.lock().await;
    io_zcrx_unmap_areas(ifq);
    io_zcrx_drop_netdev(ifq);
}

/// `io_zcrx_drop_netdev`. Under `pp_lock`.
fn io_zcrx_drop_netdev<P: Platform>(ifq: &Ifq<P>) {
    if ifq.netdev.get() != 0 {
        ifq.netdev.set(0);
        if let Some(netdev) = &ifq.kernel.netdev {
            netdev.put();
        }
    }
}
