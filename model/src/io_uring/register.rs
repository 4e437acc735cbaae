//! `io_uring_register(2)` (`io_uring/register.c`).

use crate::errno::{EEXIST, ENXIO};
use crate::io_uring::ctx::IoRingCtx;
use crate::io_uring::submit::io_uring_ctx_get_file;
use crate::io_uring::zcrx::register::{ZcrxIfqReg, io_register_zcrx};
use crate::io_uring::zcrx::rq::zcrx_flush_rq;
use crate::io_uring::zcrx::share::{import_zcrx, zcrx_export};
use crate::kernel::{Kernel, Task};
use crate::platform::{Platform, Ptr, RawLock};

/// Opcode and argument.
#[derive(Clone, Debug)]
pub enum Register<P: Platform> {
    /// `IORING_REGISTER_ZCRX_IFQ`.
    ZcrxIfq(ZcrxIfqReg<P>),
    /// `IORING_REGISTER_ZCRX_IFQ` with `ZCRX_REG_IMPORT`; `if_idx` is the descriptor.
    Import(i64),
    /// `IORING_REGISTER_ZCRX_CTRL`.
    ZcrxCtrl {
        /// `zcrx_id`.
        zcrx_id: i64,
        /// `op`.
        op: ZcrxCtrl,
    },
}

/// `enum zcrx_ctrl_op`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZcrxCtrl {
    /// `ZCRX_CTRL_FLUSH_RQ`.
    FlushRq,
    /// `ZCRX_CTRL_EXPORT`.
    Export,
}

/// `io_uring_register`.
///
/// # Errors
/// -EBADF if `fd` is no ring, -EEXIST if the task is not the ring's submitter, -ENXIO for an unknown
/// id, and the errors of the operation.
pub async fn io_uring_register<P: Platform>(
    kernel: &Kernel<P>,
    task: Task,
    fd: i64,
    arg: &Register<P>,
) -> Result<i64, i64> {
    let _func = P::func("io_uring_register");
    let (file, ctx) = io_uring_ctx_get_file(kernel, fd).await?;
    let ret = {
        let _guard = ctx.uring_lock.lock().await;
        if ctx.submitter_task == task { __io_uring_register(&ctx, arg).await } else { Err(-EEXIST) }
    };
    kernel.files.fput(&file).await;
    ret
}

#[allow(non_snake_case, reason = "the kernel's name")]
async fn __io_uring_register<P: Platform>(
    ctx: &Ptr<P, IoRingCtx<P>>,
    arg: &Register<P>,
) -> Result<i64, i64> {
    match arg {
        Register::ZcrxIfq(reg) => io_register_zcrx(ctx, reg).await.map(i64::from),
        Register::Import(fd) => import_zcrx(ctx, *fd).await.map(i64::from),
        Register::ZcrxCtrl { zcrx_id, op } => io_zcrx_ctrl(ctx, *zcrx_id, *op).await,
    }
}

/// `io_zcrx_ctrl`.
async fn io_zcrx_ctrl<P: Platform>(
    ctx: &IoRingCtx<P>,
    zcrx_id: i64,
    op: ZcrxCtrl,
) -> Result<i64, i64> {
    let _func = P::func("io_zcrx_ctrl");
    let id = u32::try_from(zcrx_id).map_err(|_| -ENXIO)?;
    let ifq = ctx.zcrx_ctxs.load(id).await.ok_or(-ENXIO)?;
    match op {
        ZcrxCtrl::FlushRq => {
            zcrx_flush_rq(&ifq).await;
            Ok(0)
        }
        ZcrxCtrl::Export => zcrx_export(&ifq).await.map(|fd| fd as i64),
    }
}
