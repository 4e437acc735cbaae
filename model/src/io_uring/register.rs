//! `io_uring_register(2)` (`io_uring/register.c`).

use crate::errno::{EEXIST, EFAULT, EINVAL, ENXIO, EOPNOTSUPP};
use crate::io_uring::ctx::IoRingCtx;
use crate::io_uring::submit::io_uring_ctx_get_file;
use crate::io_uring::zcrx::area::{AreaReg, zcrx_ctrl_add_area};
use crate::io_uring::zcrx::clone::{CloneReg, UringGuard};
use crate::io_uring::zcrx::events::zcrx_arm_notif;
use crate::io_uring::zcrx::register::{ZcrxIfqReg, io_register_zcrx, io_register_zcrx_shared};
use crate::io_uring::zcrx::rq::zcrx_flush_rq;
use crate::io_uring::zcrx::share::zcrx_export;
use crate::kernel::{Kernel, Task};
use crate::platform::{Platform, Ptr, RawLock};
use crate::test::Event;
use crate::test::arg_modifier::{ArgModifier, ArgModifiers};
use crate::uaccess::copy_from_user;

/// Opcode and argument.
#[derive(Debug)]
pub enum Register<'a, P: Platform> {
    /// `IORING_REGISTER_ZCRX_IFQ`.
    ZcrxIfq(ZcrxIfqReg<P>),
    /// `IORING_REGISTER_ZCRX_IFQ` with flag 1: `IORING_ZCRX_IFQ_REG_CLONE` in the proposal,
    /// `ZCRX_REG_IMPORT` in the merged revisions.
    SharedIfq(CloneReg),
    /// `IORING_REGISTER_ZCRX_CTRL`.
    ZcrxCtrl {
        /// `zcrx_id`.
        zcrx_id: i64,
        /// `op`.
        op: ZcrxCtrl<'a, P>,
        /// What is unusual about the argument.
        modifiers: ArgModifiers,
    },
}

/// `enum zcrx_ctrl_op` and the operation's part of the argument.
#[derive(Debug)]
pub enum ZcrxCtrl<'a, P: Platform> {
    /// `ZCRX_CTRL_FLUSH_RQ`.
    FlushRq,
    /// `ZCRX_CTRL_EXPORT`, with the word that the descriptor's number, plus one, is written to.
    Export(&'a P::Atomic),
    /// `ZCRX_CTRL_ARM_EVENT`.
    ArmEvent(Event),
    /// `ZCRX_CTRL_ADD_AREA`.
    AddArea(AreaReg<P>),
}

/// `io_uring_register`.
///
/// # Errors
/// -EINVAL for an opcode that the revision does not know, -EBADF if `fd` is no ring, -EEXIST if the
/// task is not the ring's submitter, and the errors of the operation.
pub async fn io_uring_register<P: Platform>(
    kernel: &Kernel<P>,
    task: Task,
    fd: i64,
    arg: &Register<'_, P>,
) -> Result<i64, i64> {
    let _func = P::func("io_uring_register");
    if matches!(arg, Register::ZcrxCtrl { .. }) && !kernel.variant.revision.has_ctrl() {
        return Err(-EINVAL);
    }
    let (file, ctx) = io_uring_ctx_get_file(kernel, fd).await?;
    let ret = {
        let mut guard = Some(ctx.uring_lock.lock().await);
        if ctx.submitter_task == task {
            __io_uring_register(&ctx, arg, &mut guard).await
        } else {
            Err(-EEXIST)
        }
    };
    kernel.files.fput(&file).await;
    ret
}

#[allow(non_snake_case, reason = "the kernel's name")]
async fn __io_uring_register<'a, P: Platform>(
    ctx: &'a Ptr<P, IoRingCtx<P>>,
    arg: &Register<'_, P>,
    guard: &mut UringGuard<'a, P>,
) -> Result<i64, i64> {
    match arg {
        Register::ZcrxIfq(reg) => io_register_zcrx(ctx, reg).await.map(i64::from),
        Register::SharedIfq(reg) => io_register_zcrx_shared(ctx, reg, guard).await.map(i64::from),
        Register::ZcrxCtrl { zcrx_id, op, modifiers } => {
            io_zcrx_ctrl(ctx, *zcrx_id, op, *modifiers).await
        }
    }
}

/// `io_zcrx_ctrl`.
///
/// # Errors
/// -EINVAL for `nr_args`, -EFAULT for an argument that cannot be read and for its reserved fields,
/// -ENXIO for an unknown id, -EOPNOTSUPP for an operation that the revision does not have, and the
/// errors of the operation.
async fn io_zcrx_ctrl<P: Platform>(
    ctx: &IoRingCtx<P>,
    zcrx_id: i64,
    op: &ZcrxCtrl<'_, P>,
    modifiers: ArgModifiers,
) -> Result<i64, i64> {
    let _func = P::func("io_zcrx_ctrl");
    if modifiers.has(ArgModifier::NrArgs) {
        return Err(-EINVAL);
    }
    copy_from_user::<P>(!modifiers.has(ArgModifier::ArgFault))?;
    if modifiers.has(ArgModifier::Resv) {
        return Err(-EFAULT);
    }
    let id = u32::try_from(zcrx_id).map_err(|_| -ENXIO)?;
    let ifq = ctx.zcrx_ctxs.load(id).await.ok_or(-ENXIO)?;
    let revision = ctx.kernel.variant.revision;
    match op {
        ZcrxCtrl::FlushRq | ZcrxCtrl::Export(_) if modifiers.has(ArgModifier::OpResv) => {
            Err(-EINVAL)
        }
        ZcrxCtrl::FlushRq => {
            zcrx_flush_rq(&ifq).await;
            Ok(0)
        }
        ZcrxCtrl::Export(zcrx_fd) => zcrx_export(&ifq, Some(*zcrx_fd)).await.map(|fd| fd as i64),
        ZcrxCtrl::ArmEvent(event) if revision.has_events() => {
            zcrx_arm_notif(&ifq, *event, modifiers).await.map(|()| 0)
        }
        ZcrxCtrl::AddArea(reg) if revision.has_add_area() => {
            zcrx_ctrl_add_area(&ifq, reg).await.map(|()| 0)
        }
        ZcrxCtrl::ArmEvent(_) | ZcrxCtrl::AddArea(_) => Err(-EOPNOTSUPP),
    }
}
