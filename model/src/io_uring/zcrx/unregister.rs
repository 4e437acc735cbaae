//! Unregistration and the end of an ifq in the merged versions (`io_uring/zcrx.c`). The functions that
//! the proposal replaces are in [`super::proxy_v1`].

use crate::bug::{Warning, warn_on_once};
use crate::io_uring::ctx::{IoRingCtx, ctx_refs_put};
use crate::io_uring::zcrx::area::{io_zcrx_free_area, io_zcrx_unmap_areas};
use crate::io_uring::zcrx::refs::{ifq_pcpu_release, kill_refs};
use crate::io_uring::zcrx::scrub::io_zcrx_scrub;
use crate::io_uring::zcrx::{Ifq, NO_RXQ};
use crate::net::netdev::netif_mp_close_rxq;
use crate::platform::{PlainWord, Platform, Ptr, RawLock};
use crate::revision::Defect;

/// `io_close_queue`.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
pub(super) async fn io_close_queue<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
    let _func = P::func("io_close_queue");
    let _scope = P::scope();
    let has_netdev = {
        let _guard = ifq.pp_lock.lock().await;
        let has_netdev = ifq.netdev.get() != 0;
        ifq.netdev.set(0);
        has_netdev
    };
    if let (true, Some(netdev)) = (has_netdev, &ifq.kernel.netdev) {
        let _netdev_guard = netdev.lock.lock().await;
        let kernel = &ifq.kernel;
        let unmaps = kernel.variant.revision.unmaps_at_close();
        if unmaps && !kernel.fixed(Defect::EarlyUnmap) {
            let _guard = ifq.pp_lock.lock().await;
            io_zcrx_unmap_areas(ifq);
        }
        let if_rxq = ifq.if_rxq.get();
        let mut stopped = true;
        if if_rxq != NO_RXQ {
            stopped = netif_mp_close_rxq(kernel, netdev, if_rxq as u32, ifq).await.is_ok();
        }
        if unmaps && (stopped || !kernel.fixed(Defect::UnmapAfterFailedRestart)) {
            let _guard = ifq.pp_lock.lock().await;
            io_zcrx_unmap_areas(ifq);
        }
        netdev.put();
    }
    ifq.if_rxq.set(NO_RXQ);
}

/// `io_zcrx_ifq_free`. Before 7.2 it closes a queue that is still open; before 7.3 it unmaps the area.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
pub(super) async fn io_zcrx_ifq_free<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
    let _func = P::func("io_zcrx_ifq_free");
    let _scope = P::scope();
    let (kernel, revision) = (&ifq.kernel, ifq.kernel.variant.revision);
    if revision.closes_when_freed() {
        // Boxed, because closing a queue can put the last reference of the page pool's ifq.
        Box::pin(io_close_queue(ifq)).await;
    }
    if !revision.unmaps_at_close() || kernel.fixed(Defect::UnmapAfterFailedRestart) {
        let _guard = ifq.pp_lock.lock().await;
        io_zcrx_unmap_areas(ifq);
    }
    let has_queue = ifq.if_rxq.get() != NO_RXQ || ifq.netdev.get() != 0;
    if warn_on_once(kernel, has_queue, Warning::IfqFreedWithQueue { ifq: ifq.number }) {
        return;
    }
    let has_ring = ifq.notif.master_ctx() != 0;
    if warn_on_once(kernel, has_ring, Warning::IfqFreedWithRing { ifq: ifq.number }) {
        return;
    }
    for area in ifq.areas() {
        io_zcrx_free_area(&area);
    }
    // io_free_rbuf_ring()
    if ifq.region.get() != 0 {
        ifq.rq.ring.pins.unpin();
    }
    ifq.free();
}

/// `io_put_zcrx_ifq`.
///
/// Linux: `io_uring/zcrx.c`, 6.19 to 7.3.
pub async fn io_put_zcrx_ifq<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
    let _scope = P::scope();
    if !ifq.refs.dec_and_test().await {
        return;
    }
    if ifq.kernel.variant.revision.has_percpu_refs() {
        ifq_pcpu_release(ifq);
    } else {
        io_zcrx_ifq_free(ifq).await;
    }
}

/// `zcrx_unregister_user`: one user fewer that may receive. The last user closes the queue and scrubs.
/// `ctx`: the ring that leaves.
///
/// Linux: `io_uring/zcrx.c`, 7.0 to 7.3.
pub async fn zcrx_unregister_user<P: Platform>(
    ifq: &Ptr<P, Ifq<P>>,
    ctx: Option<&Ptr<P, IoRingCtx<P>>>,
) {
    let _func = P::func("zcrx_unregister_user");
    let _scope = P::scope();
    if ifq.kernel.variant.revision.has_events() {
        let _guard = ifq.notif.ctx_lock.lock().await;
        if let Some(ctx) = ctx
            && ifq.notif.master_ctx() == ctx.to_word()
        {
            ifq.notif.set_master_ctx(None);
            ctx_refs_put(ctx).await;
        }
    }
    if ifq.user_refs.dec_and_test().await {
        io_close_queue(ifq).await;
        io_zcrx_scrub(ifq).await;
        kill_refs(ifq).await;
    }
}

/// `zcrx_unregister`.
///
/// Linux: `io_uring/zcrx.c`, 6.19 to 7.3.
pub async fn zcrx_unregister<P: Platform>(
    ifq: &Ptr<P, Ifq<P>>,
    ctx: Option<&Ptr<P, IoRingCtx<P>>>,
) {
    let _func = P::func("zcrx_unregister");
    let _scope = P::scope();
    zcrx_unregister_user(ifq, ctx).await;
    io_put_zcrx_ifq(ifq).await;
}

/// `io_terminate_zcrx`: the ring will not receive any more. Its requests may still point to its
/// ifqs, so the ring keeps its `refs`. Under `uring_lock`.
///
/// Linux: `io_uring/zcrx.c`, 7.0 to 7.3.
pub async fn io_terminate_zcrx<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>) {
    let _func = P::func("io_terminate_zcrx");
    let _scope = P::scope();
    let kernel = &ctx.kernel;
    ctx.uring_lock.assert_held();
    let mut id = 0;
    loop {
        let found = {
            let _guard = ctx.mmap_lock.lock().await;
            ctx.zcrx_ctxs.find(id)
        };
        let Some((index, ifq)) = found else { break };
        let marked = ctx.zcrx_ctxs.get_mark(index);
        if warn_on_once(kernel, marked, Warning::TerminatedTwice { id: index }) {
            break;
        }
        ctx.zcrx_ctxs.set_mark(index).await;
        id = index + 1;
        zcrx_unregister_user(&ifq, Some(ctx)).await;
        if !kernel.fixed(Defect::EarlyPut) {
            io_put_zcrx_ifq(&ifq).await;
        }
    }
}

/// `io_unregister_zcrx`: the ring's requests are gone. Under
/// `uring_lock`.
///
/// Linux: `io_uring/zcrx.c`, 7.1 to 7.3; `io_unregister_zcrx_ifqs`, 6.19 to 7.0.
pub async fn io_unregister_zcrx<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>) {
    let _func = P::func("io_unregister_zcrx");
    let _scope = P::scope();
    let kernel = &ctx.kernel;
    ctx.uring_lock.assert_held();
    loop {
        // M8: the value that the stack held before. Any value but zero shows the effect.
        let id = if kernel.fixed(Defect::M8) { 0 } else { 1 };
        let ifq = {
            let _guard = ctx.mmap_lock.lock().await;
            let Some((index, ifq)) = ctx.zcrx_ctxs.find(id) else { break };
            let unmarked = kernel.fixed(Defect::M2) && !ctx.zcrx_ctxs.get_mark(index);
            if warn_on_once(kernel, unmarked, Warning::NotTerminated { id: index }) {
                break;
            }
            ctx.zcrx_ctxs.erase(index).await;
            ifq
        };
        if !kernel.fixed(Defect::M2) {
            zcrx_unregister(&ifq, Some(ctx)).await;
            continue;
        }
        // Requests that ran after the termination may have handed out buffers.
        {
            let _scope = P::scope();
            if kernel.variant.revision.has_second_scrub() && ifq.user_refs.read().await == 0 {
                io_zcrx_scrub(&ifq).await;
            }
        }
        if kernel.fixed(Defect::EarlyPut) {
            io_put_zcrx_ifq(&ifq).await;
        }
    }
}
