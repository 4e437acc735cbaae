//! The proposal of 2025-10-28 ("io_uring zcrx ifq sharing", v4) on Linux 6.18.15:
//! `IORING_ZCRX_IFQ_REG_SHARE`.
//!
//! An ifq has no pointer to a ring any more. `refs` counts the rings, and the last one frees the ifq.
//! Page pools hold no reference. The functions read as posted; see [`super::proxy_v1`] for how fixes are
//! written. With the fix of P21 page pools hold the ifq and `user_refs` counts the rings, as in Linux 6.19.

use crate::errno::{EBADFD, EFAULT, EINVAL, EOPNOTSUPP};
use crate::io_uring::ctx::IoRingCtx;
use crate::io_uring::uapi::IoUringZcrxIfqReg;
use crate::io_uring::zcrx::Ifq;
use crate::io_uring::zcrx::proxy_v1::{
    UringGuard, io_uring_register_get_file, io_zcrx_ifq_free, sets_unused_fields,
};
use crate::io_uring::zcrx::scrub::io_zcrx_scrub;
use crate::io_uring::zcrx::unregister::{
    io_unregister_zcrx, zcrx_unregister, zcrx_unregister_user,
};
use crate::platform::{Platform, Ptr, RawLock};
use crate::revision::Defect;
use crate::uaccess::copy_to_user;

/// `io_share_zcrx_ifq`: an id, in this ring, for the ifq of another ring. It takes the locks of the two rings
/// one after the other. Under `uring_lock`, which `own` holds.
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

    let src_ifq = {
        let mut src_lock = None;
        let mut src_mmap_lock = None;
        if kernel.fixed(Defect::P18) {
            // The reference to its file keeps the source ring from exiting, and its mmap_lock keeps the id.
            src_mmap_lock = Some(src_ctx.mmap_lock.lock().await);
        } else {
            *own = None;
            src_lock = Some(src_ctx.uring_lock.lock().await);
        }
        let src_ifq = src_ctx.zcrx_ctxs.load(src_id).await;
        if let Some(ifq) = &src_ifq {
            ifq.refs.inc().await;
            if counts_users(ifq) {
                ifq.user_refs.inc().await;
            }
        }
        drop(src_lock);
        drop(src_mmap_lock);
        src_ifq
    };
    kernel.files.fput(&file).await;
    if own.is_none() {
        *own = Some(ctx.uring_lock.lock().await);
    }
    let src_ifq = src_ifq.ok_or(-EINVAL)?;

    let id = {
        let _guard = ctx.mmap_lock.lock().await;
        ctx.zcrx_ctxs.alloc().await
    };
    let id = match id {
        Ok(id) => id,
        Err(errno) => {
            if kernel.fixed(Defect::P3) {
                io_zcrx_put_shared(&src_ifq).await;
            }
            return Err(errno);
        }
    };
    let (errno, defect) = 'err: {
        if copy_to_user(kernel).await.is_err() {
            break 'err (-EFAULT, Defect::P4);
        }
        let _guard = ctx.mmap_lock.lock().await;
        match ctx.zcrx_ctxs.store(id, &src_ifq).await {
            Ok(()) => return Ok(id),
            Err(errno) => (errno, Defect::P3),
        }
    };
    // err:
    {
        let _guard = ctx.mmap_lock.lock().await;
        ctx.zcrx_ctxs.erase(id).await;
    }
    if kernel.fixed(defect) {
        io_zcrx_put_shared(&src_ifq).await;
    }
    Err(errno)
}

/// Not in the proposal. Part of the fixes of M2 and P21: whether `user_refs` counts the rings.
fn counts_users<P: Platform>(ifq: &Ifq<P>) -> bool {
    ifq.kernel.fixed(Defect::M2) || ifq.kernel.fixed(Defect::P21)
}

/// Not in the proposal. Part of the fixes of P3 and P4: takes back what a share has taken.
async fn io_zcrx_put_shared<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
    if ifq.kernel.fixed(Defect::P21) {
        zcrx_unregister(ifq, None).await;
        return;
    }
    if counts_users(ifq) {
        zcrx_unregister_user(ifq, None).await;
    }
    if ifq.refs.dec_and_test().await {
        io_zcrx_scrub(ifq).await;
        io_zcrx_ifq_free(ifq).await;
    }
}

/// `io_unregister_zcrx_ifqs`: the ring's requests are gone. The last ring frees the ifq. Under `uring_lock`.
///
/// Linux: `io_uring/zcrx.c`, 6.18 with the proposal.
pub async fn io_unregister_zcrx_ifqs<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>) {
    let _func = P::func("io_unregister_zcrx_ifqs");
    let kernel = &ctx.kernel;
    ctx.uring_lock.assert_held();
    if kernel.fixed(Defect::P21) {
        io_unregister_zcrx(ctx).await;
        return;
    }
    loop {
        let ifq = {
            // M8: the value that the stack held before. Any value but zero shows the effect.
            let id = if kernel.fixed(Defect::M8) { 0 } else { 1 };
            let _guard = ctx.mmap_lock.lock().await;
            let Some((id, ifq)) = ctx.zcrx_ctxs.find(id) else { break };
            ctx.zcrx_ctxs.erase(id).await;
            ifq
        };
        if ifq.refs.dec_and_test().await {
            io_zcrx_scrub(&ifq).await;
            io_zcrx_ifq_free(&ifq).await;
        }
    }
}
