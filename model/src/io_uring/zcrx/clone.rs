//! Sharing by proxy: `IORING_ZCRX_IFQ_REG_CLONE` of the proposal of 2025-10-23.
//!
//! Each defect of the proposal is a switch where it is. With all of them off this is revision
//! `proxy-fixed`.

use crate::errno::{EBADF, EBADFD, EINVAL, ENOMEM, EOPNOTSUPP};
use crate::fault::FaultPoint;
use crate::fs::{File, FileOps};
use crate::invariant::Invariant;
use crate::io_uring::ctx::{IoRingCtx, ctx_refs_put};
use crate::io_uring::zcrx::Ifq;
use crate::io_uring::zcrx::teardown::{io_put_zcrx_ifq, zcrx_unregister_user};
use crate::kernel::Kernel;
use crate::platform::{Kind, PlainWord, Platform, Ptr, RawLock};
use crate::revision::Defect;
use crate::test::arg_modifier::{ArgModifier, ArgModifiers};
use crate::uaccess::copy_to_user;

/// `struct io_uring_zcrx_ifq_reg` of a clone.
#[derive(Clone, Copy, Debug)]
pub struct CloneReg {
    /// The source ring's descriptor.
    pub if_idx: i64,
    /// The ifq's id in the source ring.
    pub if_rxq: i64,
    /// What is unusual about it.
    pub modifiers: ArgModifiers,
}

/// The hold of `uring_lock` by the system call that is running; `None` while it is dropped.
pub type UringGuard<'a, P> = Option<<<P as Platform>::Lock as RawLock>::Guard<'a>>;

/// `io_clone_zcrx_ifq`: another id, in this ring, for the ifq of another ring.
///
/// # Errors
/// -EBADF, -EOPNOTSUPP for a descriptor that is no ring, -EBADFD for the ring itself, -EINVAL for an
/// unknown id and (without P19) for fields that must be zero, -ENOMEM and -EFAULT at the fault
/// points, -EBUSY when the ring has no id left.
pub async fn io_clone_zcrx_ifq<'a, P: Platform>(
    ctx: &'a Ptr<P, IoRingCtx<P>>,
    reg: &CloneReg,
    own: &mut UringGuard<'a, P>,
) -> Result<u32, i64> {
    let _func = P::func("io_clone_zcrx_ifq");
    let kernel = &ctx.kernel;
    if !kernel.has(Defect::P19) {
        check_fields(reg.modifiers)?;
    }
    let file = io_uring_register_get_file(kernel, reg.if_idx).await?;
    let FileOps::IoUring(src_ctx) = &file.f_op else { return Err(-EOPNOTSUPP) };
    if src_ctx.to_word() == ctx.to_word() {
        if !kernel.has(Defect::P1) {
            kernel.files.fput(&file).await;
        }
        return Err(-EBADFD);
    }
    let ret = if kernel.has(Defect::P18) {
        *own = None;
        let src = lock_two_rings(ctx, src_ctx, own).await;
        let ret = clone_from(ctx, src_ctx, reg).await;
        drop(src);
        ret
    } else {
        clone_from(ctx, src_ctx, reg).await
    };
    kernel.files.fput(&file).await;
    ret
}

/// What the proposal leaves unchecked: every field that a clone does not use must be zero.
fn check_fields(modifiers: ArgModifiers) -> Result<(), i64> {
    const UNUSED: [ArgModifier; 7] = [
        ArgModifier::Flags,
        ArgModifier::Resv,
        ArgModifier::ZcrxId,
        ArgModifier::RqEntries,
        ArgModifier::AreaPtr,
        ArgModifier::RegionPtr,
        ArgModifier::EventDesc,
    ];
    if UNUSED.iter().any(|modifier| modifiers.has(*modifier)) { Err(-EINVAL) } else { Ok(()) }
}

/// `io_uring_register_get_file` (`io_uring/register.c`), not for registered rings.
async fn io_uring_register_get_file<P: Platform>(
    kernel: &Kernel<P>,
    fd: i64,
) -> Result<Ptr<P, File<P>>, i64> {
    let file = kernel.files.fget(fd).await.ok_or(-EBADF)?;
    if matches!(file.f_op, FileOps::IoUring(_)) {
        return Ok(file);
    }
    kernel.files.fput(&file).await;
    Err(-EOPNOTSUPP)
}

/// `lock_two_rings` (`io_uring/rsrc.c`): in the order of their addresses.
async fn lock_two_rings<'a, 'b, P: Platform>(
    ctx: &'a Ptr<P, IoRingCtx<P>>,
    src_ctx: &'b Ptr<P, IoRingCtx<P>>,
    own: &mut UringGuard<'a, P>,
) -> <P::Lock as RawLock>::Guard<'b> {
    if ctx.to_word() > src_ctx.to_word() {
        let src = src_ctx.uring_lock.lock().await;
        *own = Some(ctx.uring_lock.lock().await);
        return src;
    }
    *own = Some(ctx.uring_lock.lock().await);
    src_ctx.uring_lock.lock().await
}

/// What follows the look at the file: find the source, hold it, publish a proxy for it.
async fn clone_from<P: Platform>(
    ctx: &Ptr<P, IoRingCtx<P>>,
    src_ctx: &Ptr<P, IoRingCtx<P>>,
    reg: &CloneReg,
) -> Result<u32, i64> {
    let kernel = &ctx.kernel;
    let src_ifq = get_source(src_ctx, reg.if_rxq).await?;
    if P::fault(FaultPoint::ProxyAlloc) {
        if kernel.has(Defect::P5) {
            P::violation(
                Invariant::I1,
                format_args!("null pointer dereference: ifq->proxy with both ring locks held"),
            );
        }
        put_source(&src_ifq).await;
        return Err(-ENOMEM);
    }
    let proxy = alloc_proxy(ctx, &src_ifq);
    let id = match publish(ctx, &proxy).await {
        Ok(id) => id,
        Err(errno) => {
            proxy.free();
            if !kernel.has(Defect::P3) {
                put_source(&src_ifq).await;
            }
            return Err(errno);
        }
    };
    if let Err(errno) = copy_to_user(kernel).await {
        {
            let _guard = ctx.mmap_lock.lock().await;
            ctx.zcrx_ctxs.erase(id).await;
        }
        proxy.free();
        if !kernel.has(Defect::P4) {
            put_source(&src_ifq).await;
        }
        return Err(errno);
    }
    Ok(id)
}

/// Finds the source ifq and takes what a proxy holds. With P18 both rings' `uring_lock` is held;
/// without it the source's `mmap_lock` keeps its table as it is, and the reference to its file keeps
/// the source ring from exiting.
async fn get_source<P: Platform>(
    src_ctx: &Ptr<P, IoRingCtx<P>>,
    src_id: i64,
) -> Result<Ptr<P, Ifq<P>>, i64> {
    let kernel = &src_ctx.kernel;
    let _guard = if kernel.has(Defect::P18) { None } else { Some(src_ctx.mmap_lock.lock().await) };
    if kernel.has(Defect::P8) {
        src_ctx.refs.get().await;
    }
    let found = match u32::try_from(src_id) {
        Ok(id) => src_ctx.zcrx_ctxs.load(id).await,
        Err(_) => None,
    };
    let Some(found) = found else {
        if kernel.has(Defect::P8) && !kernel.has(Defect::P2) {
            ctx_refs_put(src_ctx).await;
        }
        return Err(-EINVAL);
    };
    // A proxy of a proxy is a proxy of its source, whose ring the first proxy keeps, too.
    let ifq = match &found.proxy {
        Some(source) if !kernel.has(Defect::P7) => source.clone(),
        _ => found,
    };
    if kernel.has(Defect::P8) && ifq.ctx.to_word() != src_ctx.to_word() {
        ifq.ctx.refs.get().await;
        ctx_refs_put(src_ctx).await;
    }
    ifq.refs.inc().await;
    if !kernel.has(Defect::P10) {
        ifq.user_refs.inc().await;
    }
    Ok(ifq)
}

/// Gives back what [`get_source`] took.
async fn put_source<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
    if !ifq.kernel.has(Defect::P10) {
        zcrx_unregister_user(ifq, None).await;
    }
    put_proxy_refs(ifq).await;
}

/// Drops a proxy's hold of its source: `refs`, and the source ring's percpu ref.
pub(super) async fn put_proxy_refs<P: Platform>(source: &Ptr<P, Ifq<P>>) {
    let pins_ring = source.kernel.has(Defect::P8);
    let ctx = source.ctx.clone();
    if !pins_ring {
        io_put_zcrx_ifq(source).await;
        return;
    }
    source.refs.dec().await;
    ctx_refs_put(&ctx).await;
}

fn alloc_proxy<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>, source: &Ptr<P, Ifq<P>>) -> Ptr<P, Ifq<P>> {
    let proxy = Ptr::alloc(Kind::Proxy, ctx.number, || Ifq::proxy_of(ctx, source));
    if ctx.kernel.has(Defect::P12) {
        proxy.if_rxq.set(source.if_rxq.get());
    }
    proxy
}

/// Reserves an id and stores the proxy, both under `mmap_lock`.
async fn publish<P: Platform>(ctx: &IoRingCtx<P>, proxy: &Ptr<P, Ifq<P>>) -> Result<u32, i64> {
    let _guard = ctx.mmap_lock.lock().await;
    let id = ctx.zcrx_ctxs.alloc().await?;
    if let Err(errno) = ctx.zcrx_ctxs.store(id, proxy).await {
        ctx.zcrx_ctxs.erase(id).await;
        return Err(errno);
    }
    Ok(id)
}
