//! `io_uring_register(2)` (`io_uring/register.c`) and `IORING_REGISTER_ZCRX_CTRL` (`io_uring/zcrx.c`).

use crate::errno::{EBADFD, EEXIST, EFAULT, EINVAL, ENXIO, EOPNOTSUPP};
use crate::io_uring::cancel::{CancelBy, io_sync_cancel};
use crate::io_uring::ctx::IoRingCtx;
use crate::io_uring::submit::io_uring_ctx_get_file;
use crate::io_uring::uapi::{IoUringZcrxIfqReg, ZcrxCtrl, ZcrxCtrlOp};
use crate::io_uring::zcrx::area::zcrx_ctrl_add_area;
use crate::io_uring::zcrx::export::zcrx_export;
use crate::io_uring::zcrx::notif::zcrx_arm_notif;
use crate::io_uring::zcrx::proxy_v1::{UringGuard, io_register_zcrx_ifq};
use crate::io_uring::zcrx::refill::zcrx_flush_rq;
use crate::io_uring::zcrx::register::io_register_zcrx;
use crate::kernel::{Current, Kernel, Task};
use crate::platform::{Platform, Ptr, RawLock};
use crate::uaccess::{UserPtr, copy_from_user};

/// Opcode and argument.
#[derive(Debug)]
pub enum Register<'a, P: Platform> {
    /// `IORING_REGISTER_ZCRX_IFQ`.
    ZcrxIfq {
        /// `arg`.
        arg: UserPtr<IoUringZcrxIfqReg<P>>,
    },
    /// `IORING_REGISTER_ZCRX_CTRL`.
    ZcrxCtrl {
        /// `arg`.
        arg: UserPtr<ZcrxCtrl<'a, P>>,
        /// `nr_args`; must be zero.
        nr_args: u32,
    },
    /// `IORING_REGISTER_ENABLE_RINGS`.
    EnableRings,
    /// `IORING_REGISTER_SYNC_CANCEL`.
    SyncCancel(CancelBy<P>),
}

/// `io_uring_register`.
///
/// # Errors
/// -EINVAL for an opcode that the revision does not know, -EBADF if `fd` is no ring, -EEXIST if the
/// ring has a submitter and the task is not it, and the errors of the operation.
///
/// Linux: `io_uring/register.c`, 6.18 to 7.3.
pub async fn io_uring_register<P: Platform>(
    kernel: &Kernel<P>,
    current: Current,
    fd: i64,
    opcode: &Register<'_, P>,
) -> Result<i64, i64> {
    let _func = P::func("io_uring_register");
    if matches!(opcode, Register::ZcrxCtrl { .. }) && !kernel.variant.revision.has_ctrl() {
        return Err(-EINVAL);
    }
    let (file, ctx) = io_uring_ctx_get_file(kernel, fd).await?;
    let ret = {
        let mut guard = Some(ctx.uring_lock.lock().await);
        __io_uring_register(&ctx, current, opcode, &mut guard).await
    };
    kernel.files.fput(&file).await;
    ret
}

/// `__io_uring_register`. Under `uring_lock`, which `guard` holds.
///
/// Linux: `io_uring/register.c`, 6.18 to 7.3.
#[allow(non_snake_case, reason = "the kernel's name")]
async fn __io_uring_register<'a, P: Platform>(
    ctx: &'a Ptr<P, IoRingCtx<P>>,
    current: Current,
    opcode: &Register<'_, P>,
    guard: &mut UringGuard<'a, P>,
) -> Result<i64, i64> {
    if ctx.submitter.task_locked().is_some_and(|task| task != current.task) {
        return Err(-EEXIST);
    }
    match opcode {
        Register::ZcrxIfq { arg } if ctx.kernel.variant.revision.has_clone() => {
            io_register_zcrx_ifq(ctx, current, arg, guard).await.map(i64::from)
        }
        Register::ZcrxIfq { arg } => io_register_zcrx(ctx, current, arg).await.map(i64::from),
        Register::ZcrxCtrl { arg, nr_args } => io_zcrx_ctrl(ctx, arg, *nr_args).await,
        Register::SyncCancel(by) => io_sync_cancel(ctx, by).await,
        Register::EnableRings => io_register_enable_rings(ctx, current.task).await,
    }
}

/// `io_register_enable_rings`: the ring belongs to the caller from now on. Under `uring_lock`.
///
/// # Errors
/// -EBADFD if the ring is not disabled.
///
/// # Divergence from Linux
/// - Left out: restrictions, which can be registered only before this; `poll_wq`, SQPOLL.
///
/// Linux: `io_uring/register.c`, 6.18 to 7.3.
async fn io_register_enable_rings<P: Platform>(
    ctx: &IoRingCtx<P>,
    current: Task,
) -> Result<i64, i64> {
    let _func = P::func("io_register_enable_rings");
    if ctx.submitter.enable(current).await { Ok(0) } else { Err(-EBADFD) }
}

/// `io_zcrx_ctrl` (6.19).
///
/// # Errors
/// -EINVAL for `nr_args`, -EFAULT for an argument that cannot be read and for its reserved fields,
/// -ENXIO for an unknown id, -EOPNOTSUPP for an operation that the revision does not have, and the
/// errors of the operation.
///
/// Linux: `io_uring/zcrx.c`, 6.19 to 7.3.
async fn io_zcrx_ctrl<P: Platform>(
    ctx: &IoRingCtx<P>,
    arg: &UserPtr<ZcrxCtrl<'_, P>>,
    nr_args: u32,
) -> Result<i64, i64> {
    let _func = P::func("io_zcrx_ctrl");
    if nr_args != 0 {
        return Err(-EINVAL);
    }
    let ctrl = copy_from_user::<P, _>(arg)?;
    if ctrl.resv != 0 {
        return Err(-EFAULT);
    }
    let zcrx = ctx.zcrx_ctxs.load(ctrl.zcrx_id).await.ok_or(-ENXIO)?;
    let revision = ctx.kernel.variant.revision;
    match &ctrl.op {
        ZcrxCtrlOp::FlushRq => zcrx_flush_rq(&zcrx, ctrl.op_resv).await.map(|()| 0),
        ZcrxCtrlOp::Export(zcrx_fd) => {
            zcrx_export(&zcrx, *zcrx_fd, ctrl.op_resv).await.map(|fd| fd as i64)
        }
        ZcrxCtrlOp::ArmEvent(event_type) if revision.has_events() => {
            zcrx_arm_notif(&zcrx, *event_type, ctrl.op_resv).await.map(|()| 0)
        }
        ZcrxCtrlOp::AddArea(area_ptr) if revision.has_add_area() => {
            zcrx_ctrl_add_area(&zcrx, area_ptr, ctrl.op_resv).await.map(|()| 0)
        }
        ZcrxCtrlOp::ArmEvent(_) | ZcrxCtrlOp::AddArea(_) => Err(-EOPNOTSUPP),
    }
}
