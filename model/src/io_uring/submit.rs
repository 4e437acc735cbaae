//! Requests: submission, waiting, completion (`io_uring/io_uring.c`, `io_uring/wait.c`).

use crate::capacity::exceeded;
use crate::errno::{EBADF, EBADFD, EEXIST, ETIME};
use crate::fs::File;
use crate::io_uring::cq::Cqe;
use crate::io_uring::ctx::{EVENT_WORK, IoRingCtx, ctx_refs_put};
use crate::io_uring::net::{IssueResult, io_recvzc, io_recvzc_prep};
use crate::io_uring::poll::io_arm_poll_handler;
use crate::io_uring::tctx::{io_get_task_ref, io_put_task, io_uring_add_tctx_node};
use crate::io_uring::tw::{IO_LOCAL_TW_DEFAULT_MAX, io_run_local_work};
use crate::io_uring::uapi::IORING_RECVSEND_POLL_FIRST;
use crate::io_uring::zcrx::Ifq;
use crate::kernel::{Kernel, Task};
use crate::net::tcp::{Sock, sock_fget, sock_fput};
use crate::platform::{Kind, PlainWord, Platform, Ptr, RawLock, WaitWord};
use crate::trace::Tracepoint;

/// `struct io_uring_sqe` of an `IORING_OP_RECV_ZC`.
#[derive(Clone, Debug)]
pub struct Sqe<P: Platform> {
    /// `user_data`.
    pub user_data: u64,
    /// `zcrx_ifq_idx`: the id of the ifq in the ring.
    pub zcrx_ifq_idx: u32,
    /// `fd`: the socket.
    pub sock: Ptr<P, Sock<P>>,
    /// `len`: bytes after which the request ends; 0: no limit.
    pub len: u32,
    /// `ioprio`: `IORING_RECV_*`.
    pub ioprio: u16,
    /// `msg_flags`; must be zero.
    pub msg_flags: u32,
    /// `addr`; must be zero.
    pub addr: u64,
}

/// `struct io_kiocb` with `struct io_recvzc`.
pub struct Req<P: Platform> {
    /// The ring.
    pub ctx: Ptr<P, IoRingCtx<P>>,
    /// `tctx->task`: the task that submitted it.
    pub task: Task,
    /// The socket; a reference to its file is held if [`Req::has_file`].
    pub sock: Ptr<P, Sock<P>>,
    /// The ifq that prep found. The request holds no reference.
    pub ifq: Option<Ptr<P, Ifq<P>>>,
    /// `user_data`.
    pub user_data: u64,
    /// Ownership and flags, see `poll.rs`.
    pub poll_refs: P::Atomic,
    /// Bytes still wanted; 0: no limit.
    pub len: P::Plain,
    /// `cqe.res`.
    pub res: P::Plain,
    /// `IORING_RECVSEND_POLL_FIRST`.
    pub poll_first: bool,
    /// `file` is set.
    pub has_file: bool,
}

impl<P: Platform> std::fmt::Debug for Req<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Req").field("user_data", &self.user_data).finish_non_exhaustive()
    }
}

/// `io_uring_ctx_get_file`: the ring behind a descriptor, and the reference to its file that keeps it.
///
/// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
pub async fn io_uring_ctx_get_file<P: Platform>(
    kernel: &Kernel<P>,
    fd: i64,
) -> Result<(Ptr<P, File<P>>, Ptr<P, IoRingCtx<P>>), i64> {
    let file = kernel.files.fget(fd).await.ok_or(-EBADF)?;
    if let Some(ctx) = file.private_data() {
        return Ok((file, ctx));
    }
    kernel.files.fput(&file).await;
    Err(-EBADF)
}

/// `io_uring_enter(fd, 1, 0, 0)`: submits one request.
///
/// # Errors
/// -EBADF if `fd` is no ring, -EBADFD if the ring is disabled, -EEXIST if the task is not the ring's
/// submitter.
///
/// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
pub async fn io_uring_enter_submit<P: Platform>(
    kernel: &Kernel<P>,
    task: Task,
    fd: i64,
    sqe: &Sqe<P>,
) -> Result<(), i64> {
    let _func = P::func("io_uring_enter");
    let (file, ctx) = io_uring_ctx_get_file(kernel, fd).await?;
    let ret = io_uring_enter_allowed(&ctx, task).await;
    if ret.is_ok() {
        io_uring_add_tctx_node(kernel, task, &ctx);
        let _guard = ctx.uring_lock.lock().await;
        io_submit_sqe(&ctx, task, sqe).await;
        io_submit_flush_completions(&ctx).await;
    }
    kernel.files.fput(&file).await;
    ret
}

/// Not in Linux: a function for the checks of `io_uring_enter` before it submits or waits.
///
/// # Errors
/// -EBADFD if the ring is disabled, -EEXIST if the task is not the ring's submitter.
async fn io_uring_enter_allowed<P: Platform>(ctx: &IoRingCtx<P>, task: Task) -> Result<(), i64> {
    if ctx.submitter.is_disabled().await {
        return Err(-EBADFD);
    }
    // __io_uring_add_tctx_node_from_submit(), io_allowed_run_tw()
    if ctx.submitter.task().await != Some(task) {
        return Err(-EEXIST);
    }
    Ok(())
}

/// `io_submit_sqe` and `io_queue_sqe`.
///
/// # Divergence from Linux
/// - Simplified: a request that fails in prep has the file, which Linux finds after prep.
///
/// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
async fn io_submit_sqe<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>, task: Task, sqe: &Sqe<P>) {
    let _func = P::func("io_submit_sqe");
    ctx.nr_req_allocated.set(ctx.nr_req_allocated.get() + 1);
    ctx.refs.get().await;
    io_get_task_ref(&ctx.kernel, task);
    let prep = io_recvzc_prep(ctx, sqe).await;
    // io_assign_file(), in io_issue_sqe(). A request that fails before it is given the file, too, and puts it
    // with its completion.
    let has_file = sock_fget(&sqe.sock).await;
    let prep = if has_file { prep } else { prep.and(Err(-EBADF)) };
    let req = Ptr::alloc(Kind::Req, ctx.number, || Req {
        ctx: ctx.clone(),
        task,
        sock: sqe.sock.clone(),
        ifq: prep.as_ref().ok().cloned(),
        user_data: sqe.user_data,
        poll_refs: P::atomic("poll_refs", 0),
        len: P::plain("len", u64::from(sqe.len)),
        res: P::plain("cqe.res", 0),
        poll_first: sqe.ioprio & IORING_RECVSEND_POLL_FIRST != 0,
        has_file,
    });
    if let Err(errno) = prep {
        io_req_defer_failed(&req, errno);
        return;
    }
    match io_recvzc(&req, false).await {
        IssueResult::Complete => io_req_complete_defer(&req),
        IssueResult::Retry | IssueResult::Requeue => io_arm_poll_handler(&req).await,
    }
}

/// `io_req_complete_defer`: the completion is posted by the next flush. Under `uring_lock`.
///
/// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
pub fn io_req_complete_defer<P: Platform>(req: &Ptr<P, Req<P>>) {
    let ctx = &req.ctx;
    let nr = ctx.nr_compl.get();
    match ctx.compl_reqs.get(nr as usize) {
        Some(slot) => slot.set(req.to_word()),
        None => exceeded("a request that has completed"),
    }
    ctx.nr_compl.set(nr + 1);
}

/// `io_req_defer_failed`.
///
/// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
pub fn io_req_defer_failed<P: Platform>(req: &Ptr<P, Req<P>>, errno: i64) {
    req.res.set(errno.cast_unsigned());
    io_req_complete_defer(req);
}

/// `io_submit_flush_completions`: posts the completions, makes them visible, frees the requests.
///
/// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
pub async fn io_submit_flush_completions<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>) {
    let nr = ctx.nr_compl.get() as usize;
    for slot in &ctx.compl_reqs[..nr] {
        let Some(req) = Ptr::<P, Req<P>>::from_word(slot.get()) else { continue };
        let cqe =
            Cqe { user_data: req.user_data, res: req.res.get().cast_signed(), more: false, off: 0 };
        ctx.cq.post_final(cqe).await;
    }
    ctx.cq.commit().await;
    for slot in &ctx.compl_reqs[..nr] {
        if let Some(req) = Ptr::<P, Req<P>>::from_word(slot.get()) {
            io_free_req(&req).await;
        }
    }
    ctx.nr_compl.set(0);
}

/// `io_free_batch_list` for one request.
///
/// # Divergence from Linux
/// - Simplified: the kernel gets and puts the ring's references in batches, through a cache of requests
///   that the exit worker empties.
///
/// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
async fn io_free_req<P: Platform>(req: &Ptr<P, Req<P>>) {
    if req.has_file {
        sock_fput(&req.sock).await;
    }
    let ctx = req.ctx.clone();
    ctx.nr_req_allocated.set(ctx.nr_req_allocated.get() - 1);
    io_put_task(&ctx.kernel, req.task);
    req.free();
    ctx_refs_put(&ctx).await;
}

/// `io_uring_enter(fd, 0, 1, IORING_ENTER_GETEVENTS)` with a timeout, then user space takes the completion
/// from the mapped queue. User space does not enter the kernel if a completion is there already.
///
/// # Errors
/// -EBADF, -EBADFD, -EEXIST as for submission; -ETIME if nothing else can run and no completion came.
///
/// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
pub async fn io_uring_wait_cqe<P: Platform>(
    kernel: &Kernel<P>,
    task: Task,
    fd: i64,
) -> Result<Cqe, i64> {
    let _func = P::func("io_uring_enter");
    let (file, ctx) = io_uring_ctx_get_file(kernel, fd).await?;
    let ret = match io_uring_enter_allowed(&ctx, task).await {
        Ok(()) => io_cqring_wait(&ctx).await,
        // User space has looked into the queue before it enters the kernel.
        Err(errno) => ctx.cq.take().await.ok_or(errno),
    };
    kernel.files.fput(&file).await;
    ret
}

/// `io_cqring_wait`.
///
/// Linux: `io_uring/wait.c`, 6.18 to 7.3.
async fn io_cqring_wait<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>) -> Result<Cqe, i64> {
    let _func = P::func("io_cqring_wait");
    let mut max_events = IO_LOCAL_TW_DEFAULT_MAX;
    loop {
        if let Some(cqe) = ctx.cq.take().await {
            return Ok(cqe);
        }
        io_run_local_work(ctx, max_events).await;
        // A sleeping task is woken when the number of entries that it waits for is there.
        max_events = 1;
        {
            let _guard = ctx.uring_lock.lock().await;
            ctx.cq.flush_overflow().await;
        }
        if ctx.cq.events().await > 0 {
            continue;
        }
        ctx.submitter.ask_for_wake_up().await;
        let woken = ctx.events.wait_event_timeout(EVENT_WORK).await.is_some();
        ctx.submitter.end_wait().await;
        if !woken {
            ctx.kernel.trace(&Tracepoint::CqWaitTimeout(&**ctx));
            return Err(-ETIME);
        }
    }
}
