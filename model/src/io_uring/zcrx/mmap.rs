//! Mapping the region of a refill ring (`io_uring/memmap.c`).

use crate::errno::{EINVAL, ENOMEM};
use crate::io_uring::ctx::IoRingCtx;
use crate::io_uring::submit::io_uring_ctx_get_file;
use crate::io_uring::zcrx::register::REGION_KERNEL;
use crate::kernel::Kernel;
use crate::platform::{PlainWord, Platform, RawLock};
use crate::revision::Defect;

/// `io_uring_mmap` of `IORING_MAP_OFF_ZCRX_REGION` and an id.
///
/// # Divergence from Linux
/// - Left out: the mapping itself. It would hold the ring's file and the pages of the region, never the
///   ifq.
///
/// # Errors
/// -EBADF if `fd` is no ring; -EINVAL, before 7.2 -ENOMEM, if the ring has no ifq with this id, or the
/// region is not the kernel's own memory.
///
/// Linux: `io_uring/memmap.c`, 6.18 to 7.3.
pub async fn io_uring_mmap<P: Platform>(
    kernel: &Kernel<P>,
    fd: i64,
    zcrx_id: u32,
) -> Result<(), i64> {
    let _func = P::func("io_uring_mmap");
    let (file, ctx) = io_uring_ctx_get_file(kernel, fd).await?;
    let ret = {
        let _guard = ctx.mmap_lock.lock().await;
        match io_zcrx_get_region(&ctx, zcrx_id).await {
            Some(REGION_KERNEL) => Ok(()),
            _ if kernel.variant.revision.mmap_fails_with_einval() => Err(-EINVAL),
            _ => Err(-ENOMEM),
        }
    };
    kernel.files.fput(&file).await;
    ret
}

/// `io_zcrx_get_region` (`io_uring/zcrx.c`): [`crate::io_uring::zcrx::Ifq::region`] of an id. Under
/// `mmap_lock`.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
async fn io_zcrx_get_region<P: Platform>(ctx: &IoRingCtx<P>, zcrx_id: u32) -> Option<u64> {
    let ifq = ctx.zcrx_ctxs.load(zcrx_id).await?;
    if ctx.kernel.fixed(Defect::P15)
        && let Some(source) = &ifq.proxy
    {
        return Some(source.region.get());
    }
    Some(ifq.region.get())
}
