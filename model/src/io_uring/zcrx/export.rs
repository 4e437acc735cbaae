//! Sharing in the merged versions: export to a file, import from it (`io_uring/zcrx.c`).

use crate::errno::{EBADF, EINVAL, ENFILE};
use crate::fault::FaultPoint;
use crate::fs::ReleaseFn;
use crate::io_uring::ctx::IoRingCtx;
use crate::io_uring::uapi::{IoUringZcrxIfqReg, ZCRX_REG_IMPORT};
use crate::io_uring::zcrx::Ifq;
use crate::io_uring::zcrx::unregister::zcrx_unregister;
use crate::platform::{AtomicWord, Platform, Ptr, RawLock};
use crate::revision::Defect;
use crate::uaccess::copy_to_user;

/// `zcrx_box_fops.release`.
///
/// Linux: `io_uring/zcrx.c`, 6.19 to 7.3.
pub fn zcrx_box_fops<P: Platform>() -> ReleaseFn {
    |private_data| {
        Box::pin(async move {
            if let Some(ifq) = Ptr::<P, Ifq<P>>::from_word(private_data) {
                zcrx_box_release(&ifq).await;
            }
        })
    }
}

/// `zcrx_box_release`: the last reference to an exported file is gone.
///
/// Linux: `io_uring/zcrx.c`, 6.19 to 7.3.
pub async fn zcrx_box_release<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
    let _func = P::func("zcrx_box_release");
    zcrx_unregister(ifq, None).await;
}

/// `zcrx_export`: a descriptor whose file is a user of the ifq. `zcrx_fd`: the field of the caller's
/// argument, plus one. `resv`: the reserved fields of the operation.
///
/// # Errors
/// -EINVAL for reserved fields; -ENFILE, -EMFILE, -EFAULT at the fault points; -EMFILE when the table
/// is full.
///
/// # Divergence from Linux
/// - Left out: further references to the file, among the registered files of a ring or in a message of a
///   Unix socket.
///
/// Linux: `io_uring/zcrx.c`, 6.19 to 7.3.
pub async fn zcrx_export<P: Platform>(
    ifq: &Ptr<P, Ifq<P>>,
    zcrx_fd: Option<&P::Atomic>,
    resv: u64,
) -> Result<usize, i64> {
    let _func = P::func("zcrx_export");
    let (kernel, files) = (&ifq.kernel, &ifq.kernel.files);
    if resv != 0 {
        return Err(-EINVAL);
    }
    if !kernel.fixed(Defect::M6) {
        return zcrx_export_fd_first(ifq, zcrx_fd).await;
    }
    ifq.refs.inc().await;
    ifq.user_refs.inc().await;
    // anon_inode_create_getfile()
    if P::fault(FaultPoint::AnonInode) {
        zcrx_unregister(ifq, None).await;
        return Err(-ENFILE);
    }
    let file = files.alloc(ifq.number, zcrx_box_fops::<P>(), ifq);
    let fd = match files.get_unused_fd().await {
        Ok(fd) => fd,
        Err(errno) => {
            files.fput(&file).await;
            return Err(errno);
        }
    };
    if let Err(errno) = copy_to_user(kernel).await {
        files.fput(&file).await;
        files.put_unused_fd(fd).await;
        return Err(errno);
    }
    if let Some(word) = zcrx_fd {
        word.store_in_step(fd as u64 + 1);
    }
    files.fd_install(fd, &file).await;
    Ok(fd)
}

/// `zcrx_export` from 6.19 to 7.1 (M6): the caller learns the number before the file exists.
///
/// Linux: `io_uring/zcrx.c`, 6.19 to 7.1.
async fn zcrx_export_fd_first<P: Platform>(
    ifq: &Ptr<P, Ifq<P>>,
    zcrx_fd: Option<&P::Atomic>,
) -> Result<usize, i64> {
    let (kernel, files) = (&ifq.kernel, &ifq.kernel.files);
    let fd = files.get_unused_fd().await?;
    if let Err(errno) = copy_to_user(kernel).await {
        files.put_unused_fd(fd).await;
        return Err(errno);
    }
    if let Some(word) = zcrx_fd {
        word.store_in_step(fd as u64 + 1);
    }
    ifq.refs.inc().await;
    ifq.user_refs.inc().await;
    // anon_inode_create_getfile()
    if P::fault(FaultPoint::AnonInode) {
        zcrx_unregister(ifq, None).await;
        files.put_unused_fd(fd).await;
        return Err(-ENFILE);
    }
    let file = files.alloc(ifq.number, zcrx_box_fops::<P>(), ifq);
    files.fd_install(fd, &file).await;
    Ok(fd)
}

/// `import_zcrx`: another id, in this ring, for the ifq behind a descriptor. Under `uring_lock`.
///
/// # Errors
/// -EINVAL for fields that an import does not use; -EBADF if the descriptor is no exported ifq, -ENOMEM
/// and -EFAULT at the fault points.
///
/// Linux: `io_uring/zcrx.c`, 6.19 to 7.3.
pub async fn import_zcrx<P: Platform>(
    ctx: &Ptr<P, IoRingCtx<P>>,
    reg: &IoUringZcrxIfqReg<P>,
) -> Result<u32, i64> {
    let _func = P::func("import_zcrx");
    let (kernel, files) = (&ctx.kernel, &ctx.kernel.files);
    if reg.if_rxq != 0
        || reg.rq_entries != 0
        || !reg.area_ptr.is_null()
        || !reg.region_ptr.is_null()
    {
        return Err(-EINVAL);
    }
    if !reg.event_desc.is_null() {
        return Err(-EINVAL);
    }
    // Fix of M1 (7.0).
    if kernel.fixed(Defect::M1) && reg.flags & !ZCRX_REG_IMPORT != 0 {
        return Err(-EINVAL);
    }
    let fd = reg.if_idx.cast_signed();
    let file = files.fget(i64::from(fd)).await.ok_or(-EBADF)?;
    let ret = 'fdput: {
        let Some(ifq) = file.private_data::<Ifq<P>>() else { break 'fdput Err(-EBADF) };
        ifq.refs.inc().await;
        ifq.user_refs.inc().await;
        let errno = 'err: {
            let id = {
                let _guard = ctx.mmap_lock.lock().await;
                match ctx.zcrx_ctxs.alloc().await {
                    Ok(id) => id,
                    Err(errno) => break 'err errno,
                }
            };
            let errno = 'err_xa_erase: {
                if let Err(errno) = copy_to_user(kernel).await {
                    break 'err_xa_erase errno;
                }
                let _guard = ctx.mmap_lock.lock().await;
                match ctx.zcrx_ctxs.store(id, &ifq).await {
                    Ok(()) => break 'fdput Ok(id),
                    Err(errno) => errno,
                }
            };
            // err_xa_erase:
            let _guard = ctx.mmap_lock.lock().await;
            ctx.zcrx_ctxs.erase(id).await;
            errno
        };
        // err: an import never sets master_ctx, so no ring leaves here.
        zcrx_unregister(&ifq, None).await;
        Err(errno)
    };
    files.fput(&file).await;
    ret
}
