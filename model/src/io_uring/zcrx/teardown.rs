//! Unregistration and the end of an ifq: what the merged revisions have, and what both designs
//! share. The proposal's own way is in [`super::shutdown`].

use crate::invariant::Invariant;
use crate::io_uring::ctx::IoRingCtx;
use crate::io_uring::zcrx::area::{io_zcrx_free_area, io_zcrx_scrub, io_zcrx_unmap_areas};
use crate::io_uring::zcrx::events::zcrx_drop_ring_ctx;
use crate::io_uring::zcrx::{Ifq, NO_RXQ};
use crate::net::netdev::netif_mp_close_rxq;
use crate::platform::{PlainWord, Platform, Ptr, RawLock};
use crate::revision::Defect;

/// `io_close_queue`.
pub(super) async fn io_close_queue<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
    let _func = P::func("io_close_queue");
    let has_netdev = {
        let _guard = ifq.pp_lock.lock().await;
        let has_netdev = ifq.netdev.get() != 0;
        ifq.netdev.set(0);
        has_netdev
    };
    if let (true, Some(netdev)) = (has_netdev, &ifq.kernel.netdev) {
        let _netdev_guard = netdev.lock.lock().await;
        let if_rxq = ifq.if_rxq.get();
        if if_rxq != NO_RXQ {
            netif_mp_close_rxq(netdev, if_rxq as u32, ifq).await;
        }
        if ifq.kernel.variant.revision.unmaps_at_close() {
            let _guard = ifq.pp_lock.lock().await;
            io_zcrx_unmap_areas(ifq);
        }
        netdev.put();
    }
    ifq.if_rxq.set(NO_RXQ);
}

/// `io_zcrx_ifq_free`. Before 7.2 it closes a queue that is still open; before 7.3 it unmaps the area.
pub(super) async fn io_zcrx_ifq_free<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
    let _func = P::func("io_zcrx_ifq_free");
    let revision = ifq.kernel.variant.revision;
    if revision.closes_when_freed() {
        // Boxed, since closing a queue can put the last reference of its page pool's ifq.
        Box::pin(io_close_queue(ifq)).await;
    }
    if !revision.unmaps_at_close() {
        let _guard = ifq.pp_lock.lock().await;
        io_zcrx_unmap_areas(ifq);
    }
    if ifq.if_rxq.get() != NO_RXQ || ifq.netdev.get() != 0 {
        P::violation(Invariant::I5, format_args!("ifq{} freed with an open queue", ifq.number));
        return;
    }
    if ifq.notif.has_master() {
        P::violation(Invariant::I3, format_args!("ifq{} freed while it holds a ring", ifq.number));
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
pub async fn io_put_zcrx_ifq<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
    if ifq.refs.dec_and_test().await {
        io_zcrx_ifq_free(ifq).await;
    }
}

/// `zcrx_unregister_user`: one user fewer that may receive. The last one closes the queue and takes
/// back the buffers. `ctx`: the ring that leaves.
pub async fn zcrx_unregister_user<P: Platform>(
    ifq: &Ptr<P, Ifq<P>>,
    ctx: Option<&Ptr<P, IoRingCtx<P>>>,
) {
    let _func = P::func("zcrx_unregister_user");
    if ifq.kernel.variant.revision.has_events() {
        zcrx_drop_ring_ctx(ifq, ctx).await;
    }
    if ifq.user_refs.dec_and_test().await {
        io_close_queue(ifq).await;
        io_zcrx_scrub(ifq).await;
    }
}

/// `zcrx_unregister`.
pub async fn zcrx_unregister<P: Platform>(
    ifq: &Ptr<P, Ifq<P>>,
    ctx: Option<&Ptr<P, IoRingCtx<P>>>,
) {
    let _func = P::func("zcrx_unregister");
    zcrx_unregister_user(ifq, ctx).await;
    io_put_zcrx_ifq(ifq).await;
}

/// `io_terminate_zcrx` (7.1 and later): the ring will not receive any more. Its requests may still
/// point to its ifqs, so their `refs` stay. Under `uring_lock`.
pub async fn io_terminate_zcrx<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>) {
    let _func = P::func("io_terminate_zcrx");
    ctx.uring_lock.assert_held();
    let mut id = 0;
    loop {
        let found = {
            let _guard = ctx.mmap_lock.lock().await;
            ctx.zcrx_ctxs.find(id)
        };
        let Some((index, ifq)) = found else { break };
        if ctx.zcrx_ctxs.get_mark(index) {
            P::violation(Invariant::I2, format_args!("id {index} terminated twice"));
            break;
        }
        ctx.zcrx_ctxs.set_mark(index).await;
        id = index + 1;
        zcrx_unregister_user(&ifq, Some(ctx)).await;
        if ctx.kernel.has(Defect::EarlyPut) {
            io_put_zcrx_ifq(&ifq).await;
        }
    }
}

/// `io_unregister_zcrx`, in 6.19 `io_unregister_zcrx_ifqs`: the ring's requests are gone. Under
/// `uring_lock`.
pub async fn io_unregister_zcrx<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>) {
    let _func = P::func("io_unregister_zcrx");
    ctx.uring_lock.assert_held();
    let one_step = ctx.kernel.has(Defect::M2);
    while let Some((id, ifq)) = erase_next(ctx).await {
        if one_step {
            zcrx_unregister(&ifq, Some(ctx)).await;
            continue;
        }
        if !id.marked {
            P::violation(Invariant::I3, format_args!("id {} was never terminated", id.index));
            break;
        }
        // Requests that ran after the termination may have given buffers to user space.
        if ctx.kernel.variant.revision.has_second_scrub() && ifq.user_refs.read().await == 0 {
            io_zcrx_scrub(&ifq).await;
        }
        if !ctx.kernel.has(Defect::EarlyPut) {
            io_put_zcrx_ifq(&ifq).await;
        }
    }
}

/// An id that was taken out of the table.
pub(super) struct Erased {
    /// Its number.
    index: u32,
    /// Whether it was terminated before.
    pub(super) marked: bool,
}

/// One turn of the loop of unregistration: takes the first entry out of the table.
pub(super) async fn erase_next<P: Platform>(
    ctx: &IoRingCtx<P>,
) -> Option<(Erased, Ptr<P, Ifq<P>>)> {
    // What the stack held before; any number but zero will do to show it.
    let cursor = u32::from(ctx.kernel.has(Defect::M8));
    let _guard = ctx.mmap_lock.lock().await;
    let (index, ifq) = ctx.zcrx_ctxs.find(cursor)?;
    let marked = ctx.zcrx_ctxs.get_mark(index);
    ctx.zcrx_ctxs.erase(index).await;
    Some((Erased { index, marked }, ifq))
}
