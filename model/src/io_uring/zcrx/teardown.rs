//! Unregistration, in two steps, and the end of an ifq.

use crate::invariant::Invariant;
use crate::io_uring::ctx::IoRingCtx;
use crate::io_uring::zcrx::area::{io_zcrx_free_area, io_zcrx_scrub, io_zcrx_unmap_areas};
use crate::io_uring::zcrx::{Ifq, NO_RXQ};
use crate::net::netdev::netif_mp_close_rxq;
use crate::platform::{PlainWord, Platform, Ptr, RawLock};
use crate::revision::Defect;

/// `io_close_queue`.
async fn io_close_queue<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
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
        let _guard = ifq.pp_lock.lock().await;
        io_zcrx_unmap_areas(ifq);
    }
    ifq.if_rxq.set(NO_RXQ);
}

/// `io_zcrx_ifq_free`.
fn io_zcrx_ifq_free<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
    let _func = P::func("io_zcrx_ifq_free");
    if ifq.if_rxq.get() != NO_RXQ || ifq.netdev.get() != 0 {
        P::violation(Invariant::I5, format_args!("ifq{} freed with an open queue", ifq.number));
        return;
    }
    if let Some(area) = ifq.area() {
        io_zcrx_free_area(&area);
    }
    // io_free_rbuf_ring()
    ifq.rq.ring.pins.unpin();
    ifq.free();
}

/// `io_put_zcrx_ifq`.
pub async fn io_put_zcrx_ifq<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
    let _func = P::func("io_put_zcrx_ifq");
    if ifq.refs.dec_and_test().await {
        io_zcrx_ifq_free(ifq);
    }
}

/// `zcrx_unregister_user`: one user fewer that may receive. The last one closes the queue and takes
/// back the buffers.
pub async fn zcrx_unregister_user<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
    let _func = P::func("zcrx_unregister_user");
    // Would drop master_ctx, which only events set.
    drop(ifq.ctx_lock.lock().await);
    if ifq.user_refs.dec_and_test().await {
        io_close_queue(ifq).await;
        io_zcrx_scrub(ifq).await;
    }
}

/// `zcrx_unregister`.
pub async fn zcrx_unregister<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
    let _func = P::func("zcrx_unregister");
    zcrx_unregister_user(ifq).await;
    io_put_zcrx_ifq(ifq).await;
}

/// `io_terminate_zcrx`: the ring will not receive any more. Its requests may still point to its
/// ifqs, so their `refs` stay. Under `uring_lock`.
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
        zcrx_unregister_user(&ifq).await;
        if ctx.kernel.variant.has(Defect::EarlyPut) {
            io_put_zcrx_ifq(&ifq).await;
        }
    }
}

/// `io_unregister_zcrx`: the ring's requests are gone. Under `uring_lock`.
pub async fn io_unregister_zcrx<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>) {
    let _func = P::func("io_unregister_zcrx");
    ctx.uring_lock.assert_held();
    loop {
        let found = {
            let _guard = ctx.mmap_lock.lock().await;
            let found = ctx.zcrx_ctxs.find(0);
            if let Some((id, _)) = found {
                if !ctx.zcrx_ctxs.get_mark(id) {
                    P::violation(Invariant::I3, format_args!("id {id} was never terminated"));
                    break;
                }
                ctx.zcrx_ctxs.erase(id).await;
            }
            found
        };
        let Some((_, ifq)) = found else { break };
        // Requests that ran after the termination may have given buffers to user space.
        if ifq.user_refs.read().await == 0 {
            io_zcrx_scrub(&ifq).await;
        }
        if !ctx.kernel.variant.has(Defect::EarlyPut) {
            io_put_zcrx_ifq(&ifq).await;
        }
    }
}
