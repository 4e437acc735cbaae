//! Cancellation (`io_uring/cancel.c`, before 7.0 `io_uring/io_uring.c`).

use crate::errno::{EBADF, ENOENT};
use crate::io_uring::ctx::IoRingCtx;
use crate::io_uring::poll::{io_poll_cancel, io_poll_remove_all};
use crate::io_uring::submit::Req;
use crate::io_uring::tw::__io_run_local_work;
use crate::kernel::{Kernel, Task};
use crate::net::tcp::{Sock, sock_fget, sock_fput};
use crate::platform::{Platform, Ptr, RawLock, WaitWord};
use crate::revision::Defect;

/// `struct io_uring_sync_cancel_reg`: which requests to cancel.
#[derive(Debug)]
pub enum CancelBy<P: Platform> {
    /// The one with this `user_data`.
    UserData(u64),
    /// `IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL`: all on this connection.
    Fd(Ptr<P, Sock<P>>),
    /// `IORING_ASYNC_CANCEL_ANY`: all.
    Any,
}

/// `io_sync_cancel`: cancels armed requests of a ring. Each of them completes with -ECANCELED when the ring
/// runs its local work. Under `uring_lock`.
///
/// # Errors
/// -ENOENT if no request has the `user_data`, -EBADF if the descriptor of the connection is closed.
///
/// # Divergence from Linux
/// - Left out: io-wq, and with it the wait for requests that run there; other kinds of requests.
///
/// Linux: `io_uring/cancel.c`, 6.18 to 7.3.
pub async fn io_sync_cancel<P: Platform>(ctx: &IoRingCtx<P>, by: &CancelBy<P>) -> Result<i64, i64> {
    let _func = P::func("io_sync_cancel");
    // io_cancel_req_match()
    let matches = |req: &Req<P>| match by {
        CancelBy::UserData(user_data) => req.user_data == *user_data,
        CancelBy::Fd(sock) => req.sock.to_word() == sock.to_word(),
        CancelBy::Any => true,
    };
    let all = !matches!(by, CancelBy::UserData(_));
    if let CancelBy::Fd(sock) = by
        && !sock_fget(sock).await
    {
        return Err(-EBADF);
    }
    let nr = io_poll_cancel(ctx, matches, all).await;
    if let CancelBy::Fd(sock) = by {
        sock_fput(sock).await;
    }
    match (all, nr) {
        (true, nr) => Ok(nr),
        (false, 0) => Err(-ENOENT),
        (false, _) => Ok(0),
    }
}

/// `io_uring_task_cancel` in `begin_new_exec`: the task executes another program.
///
/// # Divergence from Linux
/// - Left out: what follows. The descriptors of rings and of exports are `O_CLOEXEC`. The tasks of a test
///   share one file table, so that `unshare_files` gives the task a table of its own, and only that is
///   closed.
///
/// Linux: `fs/exec.c`, 6.18 to 7.3.
pub async fn begin_new_exec<P: Platform>(kernel: &Kernel<P>, task: Task) {
    let _func = P::func("begin_new_exec");
    io_uring_cancel_generic(kernel, task).await;
}

/// `io_uring_cancel_generic(true)`: cancels all requests of a task, on all of its rings.
///
/// # Divergence from Linux
/// - Left out: `cancel_all == false`, of a task that exits. It cancels only requests that are tracked
///   (`inflight_tracked`), and there are none here.
///
/// Linux: `io_uring/cancel.c`, 6.18 to 7.3.
async fn io_uring_cancel_generic<P: Platform>(kernel: &Kernel<P>, task: Task) {
    let _func = P::func("io_uring_cancel_generic");
    let Some(tctx) = kernel.tctx(task) else { return };
    let _guard = tctx.cancelling.lock().await;
    tctx.set_in_cancel(true);
    loop {
        let seen = tctx.wait.load().await;
        if tctx.inflight() == 0 {
            break;
        }
        let mut found = false;
        for ctx in tctx.rings() {
            found |= io_uring_try_cancel_requests(&ctx, Some(task)).await;
        }
        if !found {
            tctx.wait.wait_event(seen + 1).await;
        }
    }
    tctx.clean();
    tctx.set_in_cancel(false);
}

/// `io_uring_try_cancel_requests(ctx, tctx, true, false)`: whether it found anything. `task`: only requests
/// of this task; `None`: those of all.
///
/// Linux: `io_uring/cancel.c`, 6.18 to 7.3.
pub async fn io_uring_try_cancel_requests<P: Platform>(
    ctx: &Ptr<P, IoRingCtx<P>>,
    task: Option<Task>,
) -> bool {
    let _func = P::func("io_uring_try_cancel_requests");
    if ctx.setup.defer_taskrun
        && (!ctx.kernel.fixed(Defect::DisabledRingWake) || io_allowed_defer_tw_run(ctx, task).await)
    {
        ctx.submitter.ask_for_wake_up().await;
    }
    let mut found = false;
    if io_allowed_defer_tw_run(ctx, task).await {
        found |= __io_run_local_work(ctx, u64::MAX).await > 0;
    }
    let _guard = ctx.uring_lock.lock().await;
    io_poll_remove_all(ctx, task).await || found
}

/// `io_allowed_defer_tw_run`: whether `current` is the ring's submitter. `None`: a worker of the kernel.
///
/// Linux: `io_uring/tw.h`, 6.18 to 7.3.
async fn io_allowed_defer_tw_run<P: Platform>(ctx: &IoRingCtx<P>, current: Option<Task>) -> bool {
    match current {
        Some(task) => ctx.submitter.task().await == Some(task),
        None => false,
    }
}
