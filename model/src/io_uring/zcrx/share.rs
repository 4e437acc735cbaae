//! Sharing: export to a file, import from it.

use crate::errno::{EBADF, ENFILE};
use crate::fault::FaultPoint;
use crate::fs::{File, FileOps};
use crate::io_uring::ctx::IoRingCtx;
use crate::io_uring::zcrx::Ifq;
use crate::io_uring::zcrx::teardown::zcrx_unregister;
use crate::platform::{AtomicWord, Platform, Ptr, RawLock};
use crate::revision::Defect;
use crate::uaccess::copy_to_user;

/// `zcrx_box_release`: the last reference to an exported file is gone.
pub async fn zcrx_box_release<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
    let _func = P::func("zcrx_box_release");
    zcrx_unregister(ifq, None).await;
}

/// `zcrx_export`: a descriptor whose file is a user of its own. `zcrx_fd`: where its number goes in
/// the caller's argument.
///
/// # Errors
/// -ENFILE, -EMFILE, -EFAULT at the fault points; -EMFILE when the table is full.
pub async fn zcrx_export<P: Platform>(
    ifq: &Ptr<P, Ifq<P>>,
    zcrx_fd: Option<&P::Atomic>,
) -> Result<usize, i64> {
    let _func = P::func("zcrx_export");
    if ifq.kernel.has(Defect::M6) {
        return export_number_first(ifq, zcrx_fd).await;
    }
    let files = &ifq.kernel.files;
    let file = box_file(ifq).await?;
    let fd = match files.get_unused_fd().await {
        Ok(fd) => fd,
        Err(errno) => {
            files.fput(&file).await;
            return Err(errno);
        }
    };
    if let Err(errno) = copy_fd_to_user(ifq, fd, zcrx_fd).await {
        files.fput(&file).await;
        files.put_unused_fd(fd).await;
        return Err(errno);
    }
    files.fd_install(fd, &file).await;
    Ok(fd)
}

/// The order before 7.2: the number is in user space's hands before there is a file.
async fn export_number_first<P: Platform>(
    ifq: &Ptr<P, Ifq<P>>,
    zcrx_fd: Option<&P::Atomic>,
) -> Result<usize, i64> {
    let files = &ifq.kernel.files;
    let fd = files.get_unused_fd().await?;
    if let Err(errno) = copy_fd_to_user(ifq, fd, zcrx_fd).await {
        files.put_unused_fd(fd).await;
        return Err(errno);
    }
    match box_file(ifq).await {
        Ok(file) => {
            files.fd_install(fd, &file).await;
            Ok(fd)
        }
        Err(errno) => {
            files.put_unused_fd(fd).await;
            Err(errno)
        }
    }
}

/// `anon_inode_create_getfile("[zcrx]")` with the references that the file holds.
async fn box_file<P: Platform>(ifq: &Ptr<P, Ifq<P>>) -> Result<Ptr<P, File<P>>, i64> {
    ifq.refs.inc().await;
    ifq.user_refs.inc().await;
    if P::fault(FaultPoint::AnonInode) {
        zcrx_unregister(ifq, None).await;
        return Err(-ENFILE);
    }
    Ok(ifq.kernel.files.alloc(ifq.number, FileOps::ZcrxBox(ifq.clone())))
}

async fn copy_fd_to_user<P: Platform>(
    ifq: &Ifq<P>,
    fd: usize,
    zcrx_fd: Option<&P::Atomic>,
) -> Result<(), i64> {
    copy_to_user(&ifq.kernel).await?;
    if let Some(word) = zcrx_fd {
        word.store_in_step(fd as u64 + 1);
    }
    Ok(())
}

/// `import_zcrx`: another id, in this ring, for the ifq behind a descriptor.
///
/// # Errors
/// -EBADF if the descriptor is no exported ifq, -ENOMEM and -EFAULT at the fault points, -EBUSY when
/// the ring has no id left.
pub async fn import_zcrx<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>, fd: i64) -> Result<u32, i64> {
    let _func = P::func("import_zcrx");
    let file = ctx.kernel.files.fget(fd).await.ok_or(-EBADF)?;
    let ret = import_from(ctx, &file).await;
    ctx.kernel.files.fput(&file).await;
    ret
}

async fn import_from<P: Platform>(
    ctx: &Ptr<P, IoRingCtx<P>>,
    file: &Ptr<P, File<P>>,
) -> Result<u32, i64> {
    let FileOps::ZcrxBox(ifq) = &file.f_op else { return Err(-EBADF) };
    ifq.refs.inc().await;
    ifq.user_refs.inc().await;
    let id = {
        let _guard = ctx.mmap_lock.lock().await;
        ctx.zcrx_ctxs.alloc().await
    };
    let ret = match id {
        Ok(id) => match publish(ctx, id, ifq).await {
            Ok(()) => return Ok(id),
            Err(errno) => {
                let _guard = ctx.mmap_lock.lock().await;
                ctx.zcrx_ctxs.erase(id).await;
                Err(errno)
            }
        },
        Err(errno) => Err(errno),
    };
    zcrx_unregister(ifq, None).await;
    ret
}

async fn publish<P: Platform>(
    ctx: &IoRingCtx<P>,
    id: u32,
    ifq: &Ptr<P, Ifq<P>>,
) -> Result<(), i64> {
    copy_to_user(&ctx.kernel).await?;
    let _guard = ctx.mmap_lock.lock().await;
    ctx.zcrx_ctxs.store(id, ifq).await
}
