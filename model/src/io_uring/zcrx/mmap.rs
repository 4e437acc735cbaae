//! Mapping the region of a refill ring (`io_uring/memmap.c`, `io_zcrx_get_region`).

use crate::errno::{EINVAL, ENOMEM};
use crate::io_uring::ctx::IoRingCtx;
use crate::io_uring::submit::io_uring_ctx_get_file;
use crate::io_uring::zcrx::register::REGION_KERNEL;
use crate::kernel::Kernel;
use crate::platform::{PlainWord, Platform, RawLock};
use crate::revision::Defect;

/// `io_uring_mmap` of `IORING_MAP_OFF_ZCRX_REGION` and an id.
///
/// Divergence from Linux: user space unmaps at once; a mapping that stays holds the ring's file, and
/// pages of the region, never the ifq.
///
/// # Errors
/// -EBADF if `fd` is no ring; -EINVAL, before 7.2 -ENOMEM, if the ring has no ifq with this id, or the
/// region is not the kernel's own memory.
pub async fn io_uring_mmap<P: Platform>(
    kernel: &Kernel<P>,
    fd: i64,
    zcrx_id: i64,
) -> Result<(), i64> {
    let _func = P::func("io_uring_mmap");
    let (file, ctx) = io_uring_ctx_get_file(kernel, fd).await?;
    let ret = {
        let _guard = ctx.mmap_lock.lock().await;
        match io_zcrx_get_region(&ctx, zcrx_id).await {
            Some(REGION_KERNEL) => Ok(()),
            _ if kernel.variant.revision.says_why_not_mapped() => Err(-EINVAL),
            _ => Err(-ENOMEM),
        }
    };
    kernel.files.fput(&file).await;
    ret
}

/// `io_zcrx_get_region`. Under `mmap_lock`.
async fn io_zcrx_get_region<P: Platform>(ctx: &IoRingCtx<P>, zcrx_id: i64) -> Option<u64> {
    let ifq = ctx.zcrx_ctxs.load(u32::try_from(zcrx_id).ok()?).await?;
    match &ifq.proxy {
        Some(source) if !ctx.kernel.has(Defect::P15) => Some(source.region.get()),
        _ => Some(ifq.region.get()),
    }
}
