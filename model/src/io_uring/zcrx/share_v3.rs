//! The proposal of 2025-10-26 ("io_uring zcrx ifq sharing", v3) on Linux 6.18.15:
//! `IORING_ZCRX_IFQ_REG_SHARE`.
//!
//! There is no proxy: both rings have the ifq in their tables. `refs` counts the rings. A ring that shares an
//! ifq also holds the percpu ref of the ring that registered it. The functions read as posted; see
//! [`super::proxy_v1`] for how fixes are written. With the fix of P8 the ifq holds itself: page pools have a
//! reference, and `user_refs` counts the rings.

use crate::errno::{EBADFD, EFAULT, EINVAL, EOPNOTSUPP};
use crate::io_uring::ctx::{IoRingCtx, ctx_refs_put};
use crate::io_uring::uapi::IoUringZcrxIfqReg;
use crate::io_uring::zcrx::Ifq;
use crate::io_uring::zcrx::proxy_v1::{
    UringGuard, io_uring_register_get_file, io_zcrx_ifq_free, lock_two_rings, sets_unused_fields,
};
use crate::io_uring::zcrx::scrub::io_zcrx_scrub;
use crate::io_uring::zcrx::unregister::{
    io_close_queue, io_put_zcrx_ifq, zcrx_unregister, zcrx_unregister_user,
};
use crate::platform::{Platform, Ptr, RawLock};
use crate::revision::Defect;
use crate::uaccess::copy_to_user;

/// `io_share_zcrx_ifq`: an id, in this ring, for the ifq of another ring. Under `uring_lock`, which `own`
/// holds.
///
/// # Errors
/// -EBADF, -EOPNOTSUPP for a descriptor that is no ring, -EBADFD for the ring itself, -EINVAL for an
/// unknown id and (with the fix of P19) for unused fields that are set, -ENOMEM and -EFAULT at the fault
/// points.
///
/// Linux: `io_uring/zcrx.c`, 6.18 with the proposal.
pub async fn io_share_zcrx_ifq<'a, P: Platform>(
    ctx: &'a Ptr<P, IoRingCtx<P>>,
    reg: &IoUringZcrxIfqReg<P>,
    own: &mut UringGuard<'a, P>,
) -> Result<u32, i64> {
    let _func = P::func("io_share_zcrx_ifq");
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
        let Some(src_ifq) = src_ctx.zcrx_ctxs.load(src_id).await else {
            break 'err_unlock Err(-EINVAL);
        };
        if !kernel.fixed(Defect::P8) {
            // P7: the ring that the descriptor names need not be the one that registered the ifq.
            let pinned = if kernel.fixed(Defect::P7) { &src_ifq.ctx } else { &src_ctx };
            // The exit puts the reference of another ring only.
            if pinned.to_word() != ctx.to_word() {
                pinned.refs.get().await;
            }
        }
        src_ifq.refs.inc().await;
        if kernel.fixed(Defect::P8) {
            src_ifq.user_refs.inc().await;
        }
        drop(src_mmap_lock.take());

        let id = {
            let _guard = ctx.mmap_lock.lock().await;
            let stored = match ctx.zcrx_ctxs.alloc().await {
                Ok(id) => match ctx.zcrx_ctxs.store(id, &src_ifq).await {
                    Ok(()) => Ok(id),
                    Err(errno) => {
                        ctx.zcrx_ctxs.erase(id).await;
                        Err(errno)
                    }
                },
                Err(errno) => Err(errno),
            };
            match stored {
                Ok(id) => id,
                Err(errno) => {
                    if kernel.fixed(Defect::P3) {
                        io_zcrx_put_shared(ctx, &src_ifq).await;
                    }
                    break 'err_unlock Err(errno);
                }
            }
        };
        if copy_to_user(kernel).await.is_ok() {
            break 'err_unlock Ok(id);
        }
        // err:
        {
            let _guard = ctx.mmap_lock.lock().await;
            ctx.zcrx_ctxs.erase(id).await;
        }
        if kernel.fixed(Defect::P4) {
            io_zcrx_put_shared(ctx, &src_ifq).await;
        }
        Err(-EFAULT)
    };
    // err_unlock:
    drop(src_lock);
    drop(src_mmap_lock);
    kernel.files.fput(&file).await;
    ret
}

/// Not in the proposal. Part of the fixes of P3 and P4: takes back what a share has taken.
async fn io_zcrx_put_shared<P: Platform>(ctx: &IoRingCtx<P>, ifq: &Ptr<P, Ifq<P>>) {
    if ifq.kernel.fixed(Defect::P8) {
        zcrx_unregister(ifq, None).await;
        return;
    }
    let owner = ifq.ctx.clone();
    if ifq.refs.dec_and_test().await {
        io_zcrx_scrub(ifq).await;
        io_close_queue(ifq).await;
    }
    if owner.number != ctx.number {
        ctx_refs_put(&owner).await;
    }
}

/// `io_shutdown_zcrx_ifqs`: `io_ring_exit_work` calls it on every turn of its loop. A mark says that the ring
/// is no user any more. Under `uring_lock`.
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
        if ctx.zcrx_ctxs.get_mark(id) {
            continue;
        }
        if kernel.fixed(Defect::P8) {
            ctx.zcrx_ctxs.set_mark(id).await;
            zcrx_unregister_user(&ifq, Some(ctx)).await;
            if !kernel.fixed(Defect::P9) {
                io_put_zcrx_ifq(&ifq).await;
            }
            continue;
        }
        // P9: the requests of this ring still use the ifq.
        if ctx.to_word() != ifq.ctx.to_word() && !kernel.fixed(Defect::P9) {
            ctx_refs_put(&ifq.ctx).await;
        }
        if ifq.refs.dec_and_test().await {
            io_zcrx_scrub(&ifq).await;
            io_close_queue(&ifq).await;
        }
        ctx.zcrx_ctxs.set_mark(id).await;
    }
}

/// `io_unregister_zcrx_ifqs`: the ring's requests are gone. The ring that registered an ifq frees it. Under
/// `uring_lock`.
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
        if kernel.fixed(Defect::P8) {
            // The requests are gone now, and may have handed out buffers.
            if kernel.fixed(Defect::P9) {
                if ifq.user_refs.read().await == 0 {
                    io_zcrx_scrub(&ifq).await;
                }
                io_put_zcrx_ifq(&ifq).await;
            }
            continue;
        }
        if ctx.to_word() != ifq.ctx.to_word() {
            if kernel.fixed(Defect::P9) {
                ctx_refs_put(&ifq.ctx).await;
            }
            if !kernel.fixed(Defect::P20) {
                break;
            }
            continue;
        }
        io_zcrx_ifq_free(&ifq).await;
    }
}
