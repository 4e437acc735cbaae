//! `IORING_OP_RECV_ZC` (`io_uring/net.c`).

use crate::errno::{EAGAIN, EINVAL};
use crate::io_uring::ctx::IoRingCtx;
use crate::io_uring::submit::{Req, Sqe};
use crate::io_uring::zcrx::Ifq;
use crate::io_uring::zcrx::recv::{RecvResult, io_zcrx_recv};
use crate::platform::{PlainWord, Platform, Ptr};
use crate::test::arg_modifier::ArgModifier;

/// What an issue asks its caller to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssueResult {
    /// `IOU_COMPLETE`: done, the result is in the request.
    Complete,
    /// `IOU_RETRY`: wait for the socket.
    Retry,
    /// `IOU_REQUEUE`: run again as task work.
    Requeue,
}

/// `io_recvzc_prep`: finds the ifq. No reference is taken: the id stays in the table as long as
/// requests of the ring live.
///
/// # Errors
/// -EINVAL if the ring has no ifq with this id, or for fields that must be zero.
pub async fn io_recvzc_prep<P: Platform>(
    ctx: &IoRingCtx<P>,
    sqe: &Sqe<P>,
) -> Result<Ptr<P, Ifq<P>>, i64> {
    let _func = P::func("io_recvzc_prep");
    if sqe.modifiers.has(ArgModifier::Addr) {
        return Err(-EINVAL);
    }
    let id = u32::try_from(sqe.zcrx_ifq_idx).map_err(|_| -EINVAL)?;
    let ifq = ctx.zcrx_ctxs.load(id).await.ok_or(-EINVAL)?;
    // One hop: the source of a proxy is no proxy.
    let ifq = ifq.proxy.clone().unwrap_or(ifq);
    if sqe.modifiers.has(ArgModifier::MsgFlags) || sqe.modifiers.has(ArgModifier::Oneshot) {
        return Err(-EINVAL);
    }
    Ok(ifq)
}

/// `io_recvzc`.
pub async fn io_recvzc<P: Platform>(req: &Ptr<P, Req<P>>, multishot: bool) -> IssueResult {
    let _func = P::func("io_recvzc");
    let Some(ifq) = &req.ifq else { return IssueResult::Complete };
    let len = req.len.get();
    let ret = io_zcrx_recv(req, ifq, multishot).await;
    if len != 0 && req.len.get() == 0 {
        req.res.set(0);
        return IssueResult::Complete;
    }
    match ret {
        RecvResult::Requeue => IssueResult::Requeue,
        RecvResult::Bytes(ret) if ret > 0 || ret == -EAGAIN => IssueResult::Retry,
        RecvResult::Bytes(ret) => {
            req.res.set(ret.cast_unsigned());
            IssueResult::Complete
        }
    }
}
