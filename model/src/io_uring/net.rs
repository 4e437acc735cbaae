//! `IORING_OP_RECV_ZC` (`io_uring/net.c`).

use crate::errno::{EAGAIN, EINVAL};
use crate::io_uring::ctx::IoRingCtx;
use crate::io_uring::submit::{Req, Sqe};
use crate::io_uring::uapi::{IORING_RECV_MULTISHOT, IORING_RECVSEND_POLL_FIRST};
use crate::io_uring::zcrx::Ifq;
use crate::io_uring::zcrx::recvmsg::{RecvResult, io_zcrx_recv};
use crate::platform::{PlainWord, Platform, Ptr};

/// What the issue of a request asks its caller to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssueResult {
    /// `IOU_COMPLETE`: done, the result is in the request.
    Complete,
    /// `IOU_RETRY`: wait for the socket.
    Retry,
    /// `IOU_REQUEUE`: run again as task work.
    Requeue,
}

/// `io_recvzc_prep`: finds the ifq. The request takes no reference: the id stays in the table until all
/// requests of the ring have ended.
///
/// # Errors
/// -EINVAL if the ring has no ifq with this id, or for fields that must be zero.
///
/// Linux: `io_uring/net.c`, 6.18 to 7.3.
pub async fn io_recvzc_prep<P: Platform>(
    ctx: &IoRingCtx<P>,
    sqe: &Sqe<P>,
) -> Result<Ptr<P, Ifq<P>>, i64> {
    let _func = P::func("io_recvzc_prep");
    if sqe.addr != 0 {
        return Err(-EINVAL);
    }
    let mut ifq = ctx.zcrx_ctxs.load(sqe.zcrx_ifq_idx).await.ok_or(-EINVAL)?;
    // The proposal's hunk. It follows one pointer: a source is no proxy.
    if let Some(proxy) = ifq.proxy.clone() {
        ifq = proxy;
    }
    if sqe.msg_flags != 0 {
        return Err(-EINVAL);
    }
    if sqe.ioprio & !(IORING_RECVSEND_POLL_FIRST | IORING_RECV_MULTISHOT) != 0 {
        return Err(-EINVAL);
    }
    if sqe.ioprio & IORING_RECV_MULTISHOT == 0 {
        return Err(-EINVAL);
    }
    Ok(ifq)
}

/// `io_recvzc`. `multishot`: the request is polled (`IO_URING_F_MULTISHOT`, and `REQ_F_POLLED`).
///
/// Linux: `io_uring/net.c`, 6.18 to 7.3.
pub async fn io_recvzc<P: Platform>(req: &Ptr<P, Req<P>>, multishot: bool) -> IssueResult {
    let _func = P::func("io_recvzc");
    let Some(ifq) = &req.ifq else { return IssueResult::Complete };
    if !multishot && req.poll_first {
        return IssueResult::Retry;
    }
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
