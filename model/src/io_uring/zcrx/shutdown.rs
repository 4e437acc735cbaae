//! The end of a ring's ifqs in the proposal of 2025-10-23, on the 6.18 base: the exit worker calls
//! `io_shutdown_zcrx_ifqs` on every turn of its loop, `io_unregister_zcrx_ifqs` when the ring's
//! requests are gone.
//!
//! Each defect of the proposal is a switch where it is. With all of them off this is revision
//! `proxy-fixed`: the first turn ends the ring's use of each ifq (the last user closes the queue),
//! the references stay until the requests are gone.

use crate::invariant::Invariant;
use crate::io_uring::ctx::IoRingCtx;
use crate::io_uring::zcrx::area::{io_zcrx_scrub, user_holds_any};
use crate::io_uring::zcrx::clone::put_proxy_refs;
use crate::io_uring::zcrx::teardown::{
    erase_next, io_close_queue, io_put_zcrx_ifq, io_zcrx_ifq_free, zcrx_unregister_user,
};
use crate::io_uring::zcrx::{Ifq, NO_RXQ};
use crate::platform::{Kind, PlainWord, Platform, Ptr, RawLock};
use crate::revision::Defect;

/// `io_shutdown_zcrx_ifqs`. `polled`: nothing but the loop's timeout has led here. Under
/// `uring_lock`.
pub async fn io_shutdown_zcrx_ifqs<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>, polled: bool) {
    let _func = P::func("io_shutdown_zcrx_ifqs");
    ctx.uring_lock.assert_held();
    let mut next = 0;
    // xa_for_each()
    while let Some((id, ifq)) = ctx.zcrx_ctxs.find(next) {
        next = id + 1;
        if ctx.kernel.has(Defect::P12) && ifq.if_rxq.get() == NO_RXQ {
            continue;
        }
        match &ifq.proxy {
            None => shutdown_source(ctx, id, &ifq, polled).await,
            Some(source) => shutdown_proxy(ctx, id, &ifq, source).await,
        }
    }
}

async fn shutdown_source<P: Platform>(
    ctx: &Ptr<P, IoRingCtx<P>>,
    id: u32,
    ifq: &Ptr<P, Ifq<P>>,
    polled: bool,
) {
    let first = !ctx.zcrx_ctxs.get_mark(id);
    ctx.zcrx_ctxs.set_mark(id).await;
    if ctx.kernel.has(Defect::P10) {
        if ifq.refs.read().await > 1 {
            return;
        }
        if polled && !first && ifq.if_rxq.get() != NO_RXQ {
            P::violation(
                Invariant::I4,
                format_args!(
                    "ring {}: the last proxy is gone and nobody woke the exit worker; only its \
                     poll closes queue {}",
                    ctx.number,
                    ifq.if_rxq.get()
                ),
            );
        }
        io_zcrx_scrub(ifq).await;
        io_close_queue(ifq).await;
        return;
    }
    if first {
        zcrx_unregister_user(ifq, Some(ctx)).await;
    } else if ifq.user_refs.read().await == 0 {
        io_zcrx_scrub(ifq).await;
    }
}

async fn shutdown_proxy<P: Platform>(
    ctx: &Ptr<P, IoRingCtx<P>>,
    id: u32,
    ifq: &Ptr<P, Ifq<P>>,
    source: &Ptr<P, Ifq<P>>,
) {
    if ctx.zcrx_ctxs.get_mark(id) {
        return;
    }
    ctx.zcrx_ctxs.set_mark(id).await;
    if !ctx.kernel.has(Defect::P10) {
        zcrx_unregister_user(source, Some(ctx)).await;
    }
    if ctx.kernel.has(Defect::P9) {
        put_proxy_refs(source).await;
        ifq.if_rxq.set(NO_RXQ);
    }
}

/// `io_unregister_zcrx_ifqs`. Under `uring_lock`.
pub async fn io_unregister_zcrx_ifqs<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>) {
    let _func = P::func("io_unregister_zcrx_ifqs");
    ctx.uring_lock.assert_held();
    while let Some((_, ifq)) = erase_next(ctx).await {
        match &ifq.proxy {
            Some(source) => {
                if !ctx.kernel.has(Defect::P9) {
                    scrub_again(source).await;
                    put_proxy_refs(source).await;
                }
                ifq.free();
            }
            // Nobody else can hold it: proxies and page pools hold the ring.
            None if ctx.kernel.has(Defect::P8) => io_zcrx_ifq_free(&ifq).await,
            None => {
                scrub_again(&ifq).await;
                io_put_zcrx_ifq(&ifq).await;
            }
        }
    }
}

/// Requests that ran after the ring's last turn may have given buffers to user space.
async fn scrub_again<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
    let kernel = &ifq.kernel;
    if kernel.variant.revision.has_second_scrub()
        && !kernel.has(Defect::P12)
        && !kernel.has(Defect::P10)
        && ifq.user_refs.read().await == 0
    {
        io_zcrx_scrub(ifq).await;
    }
}

/// Nothing else runs and the ring still waits for references: reports those that nobody can give
/// back. What a live proxy holds is not among them, nor what a page pool holds as long as user space
/// has a buffer of it in a socket.
pub async fn check_stuck<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>) {
    let mut next = 0;
    while let Some((id, ifq)) = ctx.zcrx_ctxs.find(next) {
        next = id + 1;
        if ifq.proxy.is_some() {
            continue;
        }
        if ifq.if_rxq.get() == NO_RXQ && user_holds_any(&ifq) {
            P::violation(
                Invariant::I6,
                format_args!("ring {}: what user space holds is never taken back", ctx.number),
            );
        }
        if P::live(Kind::Proxy) == 0 && ctx.kernel.has(Defect::P10) && ifq.refs.read().await > 1 {
            never_ends(ctx);
        }
    }
    if P::live(Kind::Proxy) + P::live(Kind::PagePool) == 0 {
        never_ends(ctx);
    }
}

fn never_ends<P: Platform>(ctx: &IoRingCtx<P>) {
    P::violation(
        Invariant::I3,
        format_args!("ring {} never ends: references are left that nobody holds", ctx.number),
    );
}
