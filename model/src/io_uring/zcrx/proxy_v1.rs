//! The proposal of 2025-10-23 ("io_uring zcrx: allow sharing of ifqs with other instances", v1) on
//! Linux 6.18.15: `IORING_ZCRX_IFQ_REG_CLONE`; and v2 of 2025-10-25, which names the flag
//! `IORING_ZCRX_IFQ_REG_PROXY` and the function `io_proxy_zcrx_ifq`.
//!
//! The functions stand in the order of the patch's hunks and read as posted. A fix is one statement
//! that asks `kernel.fixed(ID)`, at the place where a patch would put it. With all fixes this is
//! revision `proxy-fixed`. One hunk lies elsewhere: `io_recvzc_prep` in [`crate::io_uring::net`].

use crate::errno::{EBADF, EBADFD, EFAULT, EINVAL, ENOMEM, EOPNOTSUPP, EPERM};
use crate::fault::FaultPoint;
use crate::fs::File;
use crate::io_uring::ctx::{IoRingCtx, ctx_refs_put};
use crate::io_uring::uapi::{IO_RQ_MAX_ENTRIES, IORING_ZCRX_IFQ_REG_CLONE, IoUringZcrxIfqReg};
use crate::io_uring::zcrx::refill::ZcrxRq;
use crate::io_uring::zcrx::register::{io_allocate_rbuf_ring, zcrx_register_netdev};
use crate::io_uring::zcrx::scrub::io_zcrx_scrub;
use crate::io_uring::zcrx::unregister::{
    self, io_close_queue, io_put_zcrx_ifq, zcrx_unregister, zcrx_unregister_user,
};
use crate::io_uring::zcrx::{Ifq, NO_RXQ, io_zcrx_ifq_alloc};
use crate::io_uring::zcrx::{share_v3, share_v4};
use crate::kernel::{Current, Kernel};
use crate::platform::{Kind, PlainWord, Platform, Ptr, RawLock};
use crate::prim::slab::{deref, kzalloc};
use crate::revision::Defect;
use crate::uaccess::{UserPtr, copy_from_user, copy_to_user};

/// The hold of `uring_lock` by the running system call; `None` while the call has released it.
pub type UringGuard<'a, P> = Option<<<P as Platform>::Lock as RawLock>::Guard<'a>>;

/// `lock_two_rings` (`io_uring/rsrc.c`): in the order of their addresses.
///
/// Linux: `io_uring/rsrc.c`, 6.18 with the proposal.
pub(super) async fn lock_two_rings<'a, 'b, P: Platform>(
    ctx1: &'a Ptr<P, IoRingCtx<P>>,
    ctx2: &'b Ptr<P, IoRingCtx<P>>,
) -> (<P::Lock as RawLock>::Guard<'a>, <P::Lock as RawLock>::Guard<'b>) {
    if ctx1.to_word() > ctx2.to_word() {
        let second = ctx2.uring_lock.lock().await;
        return (ctx1.uring_lock.lock().await, second);
    }
    let first = ctx1.uring_lock.lock().await;
    (first, ctx2.uring_lock.lock().await)
}

/// `io_uring_register_get_file` (`io_uring/register.c`).
///
/// # Divergence from Linux
/// - Left out: registered ring descriptors.
///
/// Linux: `io_uring/register.c`, 6.18 with the proposal.
pub(super) async fn io_uring_register_get_file<P: Platform>(
    kernel: &Kernel<P>,
    fd: i64,
) -> Result<Ptr<P, File<P>>, i64> {
    let file = kernel.files.fget(fd).await.ok_or(-EBADF)?;
    // io_is_uring_fops()
    if file.private_data::<IoRingCtx<P>>().is_some() {
        return Ok(file);
    }
    kernel.files.fput(&file).await;
    Err(-EOPNOTSUPP)
}

/// `io_zcrx_ifq_free`: a proxy has nothing of its own to release.
///
/// Linux: `io_uring/zcrx.c`, 6.18 with the proposal.
pub(super) async fn io_zcrx_ifq_free<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
    if ifq.proxy.is_some() {
        // goto free
        ifq.free();
        return;
    }
    unregister::io_zcrx_ifq_free(ifq).await;
}

/// `io_clone_zcrx_ifq`: another id, in this ring, for the ifq of another ring. Under `uring_lock`, which
/// `own` holds.
///
/// # Errors
/// -EBADF, -EOPNOTSUPP for a descriptor that is no ring, -EBADFD for the ring itself, -EINVAL for an
/// unknown id and (with the fix of P19) for unused fields that are set, -ENOMEM and -EFAULT at the fault
/// points.
///
/// Linux: `io_uring/zcrx.c`, 6.18 with the proposal.
pub async fn io_clone_zcrx_ifq<'a, P: Platform>(
    ctx: &'a Ptr<P, IoRingCtx<P>>,
    reg: &IoUringZcrxIfqReg<P>,
    own: &mut UringGuard<'a, P>,
) -> Result<u32, i64> {
    let _func = P::func("io_clone_zcrx_ifq");
    let kernel = &ctx.kernel;
    if kernel.fixed(Defect::P19) && sets_unused_fields(reg) {
        return Err(-EINVAL);
    }
    let src_fd = reg.if_idx.cast_signed();
    let src_id = reg.if_rxq;

    let file = io_uring_register_get_file(kernel, i64::from(src_fd)).await?;
    let src_ctx = file.private_data::<IoRingCtx<P>>().ok_or(-EOPNOTSUPP)?;
    if src_ctx.to_word() == ctx.to_word() {
        if kernel.fixed(Defect::P1) {
            kernel.files.fput(&file).await;
        }
        return Err(-EBADFD);
    }

    let mut src_lock = None;
    let mut src_mmap_lock = None;
    if kernel.fixed(Defect::P18) {
        // The reference to its file keeps the source ring from exiting, and its mmap_lock keeps the id.
        src_mmap_lock = Some(src_ctx.mmap_lock.lock().await);
    } else {
        *own = None;
        let (ctx_lock, lock) = lock_two_rings(ctx, &src_ctx).await;
        (*own, src_lock) = (Some(ctx_lock), Some(lock));
    }

    let ret = 'err_unlock: {
        let checks_source = kernel.variant.revision.clone_checks_source();
        let early_get = !checks_source || !kernel.fixed(Defect::P2);
        if early_get && !kernel.fixed(Defect::P8) {
            src_ctx.refs.get().await;
        }
        let src_ifq = src_ctx.zcrx_ctxs.load(src_id).await;
        // v2 refuses a proxy; with P7 it does not.
        let refuses_proxy = checks_source && kernel.fixed(Defect::P7);
        let Some(mut src_ifq) = src_ifq.filter(|ifq| !refuses_proxy || ifq.proxy.is_none()) else {
            if early_get && kernel.fixed(Defect::P2) && !kernel.fixed(Defect::P8) {
                ctx_refs_put(&src_ctx).await;
            }
            break 'err_unlock Err(-EINVAL);
        };
        if !early_get && !kernel.fixed(Defect::P8) {
            src_ctx.refs.get().await;
        }
        // Fix of P7: a clone of a proxy is a proxy of the source, whose ring the first proxy keeps.
        if kernel.fixed(Defect::P7)
            && let Some(source) = src_ifq.proxy.clone()
        {
            src_ifq = source;
            if !kernel.fixed(Defect::P8) && src_ifq.ctx.to_word() != src_ctx.to_word() {
                src_ifq.ctx.refs.get().await;
                ctx_refs_put(&src_ctx).await;
            }
        }
        src_ifq.refs.inc().await;
        if kernel.fixed(Defect::P10) {
            src_ifq.user_refs.inc().await;
        }
        drop(src_mmap_lock.take());

        let ifq = kzalloc(FaultPoint::ProxyAlloc, Kind::Proxy, ctx.number, || {
            // The refill ring of a proxy is never used: page pools and flushes use the source's.
            Ifq::new(ctx, ctx.number, Some(src_ifq.clone()), 0, ZcrxRq::new(&src_ifq.rq.ring, 0))
        });
        if kernel.fixed(Defect::P5) && ifq.is_none() {
            io_zcrx_put_source(&src_ifq).await;
            break 'err_unlock Err(-ENOMEM);
        }
        let ifq = match deref(ifq, "ifq->proxy") {
            Ok(ifq) => ifq,
            Err(errno) => break 'err_unlock Err(errno),
        };
        if !kernel.fixed(Defect::P12) {
            ifq.if_rxq.set(src_ifq.if_rxq.get());
        }

        let (errno, defect) = 'err_free: {
            let id = {
                let _guard = ctx.mmap_lock.lock().await;
                let id = match ctx.zcrx_ctxs.alloc().await {
                    Ok(id) => id,
                    Err(errno) => break 'err_free (errno, Defect::P3),
                };
                if let Err(errno) = ctx.zcrx_ctxs.store(id, &ifq).await {
                    ctx.zcrx_ctxs.erase(id).await;
                    break 'err_free (errno, Defect::P3);
                }
                id
            };
            if copy_to_user(kernel).await.is_ok() {
                break 'err_unlock Ok(id);
            }
            // err:
            let _guard = ctx.mmap_lock.lock().await;
            ctx.zcrx_ctxs.erase(id).await;
            (-EFAULT, Defect::P4)
        };
        // err_free: as posted, the source keeps both references.
        ifq.free();
        if kernel.fixed(defect) {
            io_zcrx_put_source(&src_ifq).await;
        }
        Err(errno)
    };
    // err_unlock:
    drop(src_lock);
    drop(src_mmap_lock);
    kernel.files.fput(&file).await;
    ret
}

/// Not in the proposal. Fix of P19: whether a field is set that a clone does not use.
pub(super) fn sets_unused_fields<P: Platform>(reg: &IoUringZcrxIfqReg<P>) -> bool {
    reg.flags & !IORING_ZCRX_IFQ_REG_CLONE != 0
        || reg.resv != 0
        || reg.zcrx_id != 0
        || reg.rq_entries != 0
        || !reg.area_ptr.is_null()
        || !reg.region_ptr.is_null()
        || !reg.event_desc.is_null()
}

/// Not in the proposal. Part of the fixes of P3, P4 and P5: takes back all that a clone has taken of its
/// source.
async fn io_zcrx_put_source<P: Platform>(src_ifq: &Ptr<P, Ifq<P>>) {
    if src_ifq.kernel.fixed(Defect::P10) {
        zcrx_unregister_user(src_ifq, None).await;
    }
    io_zcrx_put_proxy_refs(src_ifq).await;
}

/// Not in the proposal. Part of the fixes of P3, P4, P5 and P9: puts the references that a proxy
/// holds. With the fix of P8 a proxy holds no reference on the source's ring.
async fn io_zcrx_put_proxy_refs<P: Platform>(src_ifq: &Ptr<P, Ifq<P>>) {
    if src_ifq.kernel.fixed(Defect::P8) {
        io_put_zcrx_ifq(src_ifq).await;
        return;
    }
    let src_ctx = src_ifq.ctx.clone();
    src_ifq.refs.dec().await;
    ctx_refs_put(&src_ctx).await;
}

/// `io_register_zcrx_ifq` of 6.18 with the proposal's branch. Under `uring_lock`, which `own` holds.
///
/// # Errors
/// -EPERM, -EINVAL and -EFAULT for the caller, its ring and the argument; the errors of
/// [`io_clone_zcrx_ifq`]; -ENODEV without a device, the device's errors; -ENOMEM and -EFAULT at the
/// fault points.
///
/// # Divergence from Linux
/// - Left out: dma-buf areas.
/// - Simplified: the three `copy_to_user` at the end are one.
///
/// Linux: `io_uring/zcrx.c`, 6.18 with the proposal.
pub async fn io_register_zcrx_ifq<'a, P: Platform>(
    ctx: &'a Ptr<P, IoRingCtx<P>>,
    current: Current,
    arg: &UserPtr<IoUringZcrxIfqReg<P>>,
    own: &mut UringGuard<'a, P>,
) -> Result<u32, i64> {
    let _func = P::func("io_register_zcrx_ifq");
    let kernel = &ctx.kernel;
    if !current.cap_net_admin {
        return Err(-EPERM);
    }
    if !ctx.setup.defer_taskrun || !ctx.setup.cqe32 && !ctx.setup.cqe_mixed {
        return Err(-EINVAL);
    }
    let reg = copy_from_user::<P, _>(arg)?;
    if reg.flags & IORING_ZCRX_IFQ_REG_CLONE != 0 {
        let revision = kernel.variant.revision;
        return if revision.has_proxies() {
            io_clone_zcrx_ifq(ctx, reg, own).await
        } else if revision.has_shutdown() {
            share_v3::io_share_zcrx_ifq(ctx, reg, own).await
        } else {
            share_v4::io_share_zcrx_ifq(ctx, reg, own).await
        };
    }
    let rd = copy_from_user::<P, _>(&reg.region_ptr)?;
    // __resv covers what later became rx_buf_len and event_desc.
    let resv = reg.resv != 0 || reg.rx_buf_len != 0 || !reg.event_desc.is_null();
    if resv || reg.zcrx_id != 0 {
        return Err(-EINVAL);
    }
    if reg.if_rxq == u32::MAX || reg.rq_entries == 0 || reg.flags != 0 {
        return Err(-EINVAL);
    }
    let mut rq_entries = reg.rq_entries;
    if rq_entries > IO_RQ_MAX_ENTRIES {
        if !ctx.setup.clamp {
            return Err(-EINVAL);
        }
        rq_entries = IO_RQ_MAX_ENTRIES;
    }
    rq_entries = rq_entries.next_power_of_two();
    let area = copy_from_user::<P, _>(&reg.area_ptr)?;

    if P::fault(FaultPoint::IfqAlloc) {
        return Err(-ENOMEM);
    }
    let ifq = io_zcrx_ifq_alloc(ctx, reg.number, || ZcrxRq::new(&rd.mem, rq_entries));

    let errno = 'ifq_free: {
        // Reserves the id.
        let id = {
            let _guard = ctx.mmap_lock.lock().await;
            match ctx.zcrx_ctxs.alloc().await {
                Ok(id) => id,
                Err(errno) => break 'ifq_free errno,
            }
        };
        let errno = 'err: {
            if let Err(errno) = io_allocate_rbuf_ring(&ifq, rq_entries, rd).await {
                break 'err errno;
            }
            if let Err(errno) = zcrx_register_netdev(&ifq, reg, area).await {
                break 'err errno;
            }
            {
                // Publishes the ifq.
                let _guard = ctx.mmap_lock.lock().await;
                if let Err(errno) = ctx.zcrx_ctxs.store(id, &ifq).await {
                    break 'err errno;
                }
            }
            if copy_to_user(kernel).await.is_err() {
                break 'err -EFAULT;
            }
            area.mem.set_token(0);
            return Ok(id);
        };
        // err:
        let _guard = ctx.mmap_lock.lock().await;
        ctx.zcrx_ctxs.erase(id).await;
        errno
    };
    // ifq_free:
    if !kernel.fixed(Defect::M3) {
        io_zcrx_ifq_free(&ifq).await;
    } else if ifq.pools_hold_ring() {
        io_close_queue(&ifq).await;
        io_zcrx_scrub(&ifq).await;
        if ifq.pool_refs.dec_and_test().await {
            io_zcrx_ifq_free(&ifq).await;
        }
    } else {
        zcrx_unregister(&ifq, Some(ctx)).await;
    }
    Err(errno)
}

/// `io_shutdown_zcrx_ifqs`: `io_ring_exit_work` calls it on every turn of its loop. Under `uring_lock`.
///
/// Linux: `io_uring/zcrx.c`, 6.18 with the proposal.
pub async fn io_shutdown_zcrx_ifqs<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>) {
    let _func = P::func("io_shutdown_zcrx_ifqs");
    let kernel = &ctx.kernel;
    ctx.uring_lock.assert_held();
    let mut index = 0;
    // xa_for_each()
    while let Some((id, ifq)) = ctx.zcrx_ctxs.find(index) {
        index = id + 1;
        if !kernel.fixed(Defect::P12) && ifq.if_rxq.get() == NO_RXQ {
            continue;
        }
        // Fixes of P10 and P12: a mark, and not if_rxq, says that the ring is no user any more.
        let marked = ctx.zcrx_ctxs.get_mark(id);
        if !marked && (kernel.fixed(Defect::P10) || kernel.fixed(Defect::P12)) {
            ctx.zcrx_ctxs.set_mark(id).await;
        }
        if let Some(source) = &ifq.proxy {
            if marked {
                continue;
            }
            if kernel.fixed(Defect::P10) {
                zcrx_unregister_user(source, Some(ctx)).await;
            }
            if !kernel.fixed(Defect::P9) {
                if kernel.fixed(Defect::P8) {
                    io_put_zcrx_ifq(source).await;
                } else {
                    source.refs.dec().await;
                    ctx_refs_put(&source.ctx).await;
                }
                ifq.if_rxq.set(NO_RXQ);
            }
        } else if kernel.fixed(Defect::P10) {
            if !marked {
                zcrx_unregister_user(&ifq, Some(ctx)).await;
            } else if ifq.user_refs.read().await == 0 {
                io_zcrx_scrub(&ifq).await;
            }
        } else {
            if ifq.refs.read().await > 1 {
                continue;
            }
            io_zcrx_scrub(&ifq).await;
            io_close_queue(&ifq).await;
        }
    }
}

/// `io_unregister_zcrx_ifqs`: the ring's requests are gone. Under `uring_lock`.
///
/// Linux: `io_uring/zcrx.c`, 6.18 with the proposal.
pub async fn io_unregister_zcrx_ifqs<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>) {
    let _func = P::func("io_unregister_zcrx_ifqs");
    let kernel = &ctx.kernel;
    ctx.uring_lock.assert_held();
    loop {
        let ifq = {
            // M8: the value that the stack held before. Any value but zero shows the effect.
            let id = if kernel.fixed(Defect::M8) { 0 } else { 1 };
            let _guard = ctx.mmap_lock.lock().await;
            let Some((id, ifq)) = ctx.zcrx_ctxs.find(id) else { break };
            ctx.zcrx_ctxs.erase(id).await;
            ifq
        };
        // Part of the fixes of P9 and P12: the requests are gone now, and may have handed out buffers.
        let source = ifq.proxy.clone().unwrap_or_else(|| ifq.clone());
        let holds_refs = match ifq.proxy {
            Some(_) => kernel.fixed(Defect::P9),
            None => kernel.fixed(Defect::P8),
        };
        if holds_refs
            && kernel.fixed(Defect::P12)
            && kernel.fixed(Defect::P10)
            && source.user_refs.read().await == 0
        {
            io_zcrx_scrub(&source).await;
        }
        if ifq.proxy.is_some() && kernel.fixed(Defect::P9) {
            io_zcrx_put_proxy_refs(&source).await;
        }
        if ifq.proxy.is_none() && kernel.fixed(Defect::P8) {
            io_put_zcrx_ifq(&ifq).await;
        } else {
            io_zcrx_ifq_free(&ifq).await;
        }
    }
}
