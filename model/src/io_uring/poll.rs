//! Polling for requests that have to wait (`io_uring/poll.c`).

use crate::capacity::exceeded;
use crate::errno::ECANCELED;
use crate::io_uring::ctx::IoRingCtx;
use crate::io_uring::net::{IssueResult, io_recvzc};
use crate::io_uring::submit::{Req, io_req_complete_defer, io_req_defer_failed};
use crate::io_uring::tw::{TaskWork, io_req_local_work_add};
use crate::kernel::Task;
use crate::net::tcp::{POLLRDHUP, tcp_poll};
use crate::platform::{AtomicWord, Order, PlainWord, Platform, Ptr, Rmw};

// poll_refs: the thread that raises the low bits from zero owns the request.
const IO_POLL_CANCEL_FLAG: u64 = 1 << 31;
const IO_POLL_REF_MASK: u64 = (1 << 20) - 1;

/// `io_poll_get_ownership`.
///
/// # Divergence from Linux
/// - Simplified: from 128 wake-ups on that the owner has not handled, the kernel sets `IO_POLL_RETRY_FLAG`
///   instead of counting. Either makes the owner poll the socket again.
///
/// Linux: `io_uring/poll.c`, 6.18 to 7.3.
async fn io_poll_get_ownership<P: Platform>(req: &Req<P>) -> bool {
    req.poll_refs.rmw(Rmw::Add(1), Order::Full).await & IO_POLL_REF_MASK == 0
}

/// `__io_poll_execute`, by the owner of the request.
///
/// Linux: `io_uring/poll.c`, 6.18 to 7.3.
async fn io_poll_execute_owned<P: Platform>(req: &Ptr<P, Req<P>>, mask: u64) {
    req.res.set(mask);
    io_req_local_work_add(&req.ctx, TaskWork::Poll(req)).await;
}

/// `io_poll_wake`: called by the socket's wait queue with the queue's lock held.
///
/// Linux: `io_uring/poll.c`, 6.18 to 7.3.
pub async fn io_poll_wake<P: Platform>(req: &Ptr<P, Req<P>>, mask: u64) {
    let _func = P::func("io_poll_wake");
    if io_poll_get_ownership(req).await {
        io_poll_execute_owned(req, mask).await;
    }
}

/// `io_arm_poll_handler` for a multishot receive. Under `uring_lock`.
///
/// # Divergence from Linux
/// - Left out: the allocation of `struct async_poll` fails, and the request goes to io-wq.
///
/// Linux: `io_uring/poll.c`, 6.18 to 7.3.
pub async fn io_arm_poll_handler<P: Platform>(req: &Ptr<P, Req<P>>) {
    let _func = P::func("io_arm_poll_handler");
    req.sock.add_wait_queue(req).await;
    let mask = tcp_poll(&req.sock).await;
    io_poll_req_insert(req);
    if mask != 0 && io_poll_get_ownership(req).await {
        io_poll_execute_owned(req, mask).await;
    }
}

/// `io_poll_req_insert`. Under `uring_lock`.
///
/// Linux: `io_uring/poll.c`, 6.18 to 7.3.
fn io_poll_req_insert<P: Platform>(req: &Ptr<P, Req<P>>) {
    match req.ctx.cancel_table.iter().find(|slot| slot.get() == 0) {
        Some(slot) => slot.set(req.to_word()),
        None => exceeded("an armed request"),
    }
}

/// `hash_del` of a request from `cancel_table`. Under `uring_lock`.
///
/// Linux: `io_uring/poll.c`, 6.18 to 7.3.
fn hash_del<P: Platform>(req: &Ptr<P, Req<P>>) {
    let word = req.to_word();
    if let Some(slot) = req.ctx.cancel_table.iter().find(|slot| slot.get() == word) {
        slot.set(0);
    }
}

/// What `io_poll_check_events` asks its caller to do.
enum PollAction {
    /// `IOU_POLL_NO_ACTION`.
    NoAction,
    /// `IOU_POLL_REMOVE_POLL_USE_RES`.
    RemoveUseRes,
    /// `IOU_POLL_REQUEUE`.
    Requeue,
    /// An error.
    Fail(i64),
}

/// `io_poll_check_events`, by the owner of the request. Under `uring_lock`.
///
/// Linux: `io_uring/poll.c`, 6.18 to 7.3.
async fn io_poll_check_events<P: Platform>(req: &Ptr<P, Req<P>>, cancel: bool) -> PollAction {
    let _func = P::func("io_poll_check_events");
    if cancel {
        return PollAction::Fail(-ECANCELED);
    }
    loop {
        let mut retry = false;
        let mut v = req.poll_refs.load(Order::Relaxed).await;
        if v & IO_POLL_CANCEL_FLAG != 0 {
            return PollAction::Fail(-ECANCELED);
        }
        if v & IO_POLL_REF_MASK != 1 {
            req.res.set(0);
        }
        v &= IO_POLL_REF_MASK;
        if req.res.get() == 0 {
            req.res.set(tcp_poll(&req.sock).await);
        }
        if req.res.get() != 0 {
            if req.res.get() & POLLRDHUP != 0 && v != 1 {
                req.poll_refs.rmw(Rmw::Sub(v - 1), Order::Relaxed).await;
                v = 1;
                retry = true;
            }
            match io_recvzc(req, true).await {
                IssueResult::Complete => return PollAction::RemoveUseRes,
                IssueResult::Requeue => return PollAction::Requeue,
                IssueResult::Retry => {}
            }
            req.res.set(0);
        }
        if retry {
            continue;
        }
        let cmpxchg = Rmw::CmpXchg { old: v, new: 0 };
        if req.poll_refs.rmw(cmpxchg, Order::Full).await == v {
            return PollAction::NoAction;
        }
    }
}

/// `io_poll_task_func`.
///
/// Linux: `io_uring/poll.c`, 6.18 to 7.3.
pub async fn io_poll_task_func<P: Platform>(
    ctx: &IoRingCtx<P>,
    req: &Ptr<P, Req<P>>,
    cancel: bool,
) {
    let _func = P::func("io_poll_task_func");
    let action = io_poll_check_events(req, cancel).await;
    match action {
        PollAction::NoAction => return,
        PollAction::Requeue => {
            req.res.set(0);
            io_req_local_work_add(ctx, TaskWork::Poll(req)).await;
            return;
        }
        PollAction::RemoveUseRes | PollAction::Fail(_) => {}
    }
    // io_poll_remove_entries()
    req.sock.remove_wait_queue(req).await;
    hash_del(req);
    match action {
        PollAction::Fail(errno) => io_req_defer_failed(req, errno),
        _ => io_req_complete_defer(req),
    }
}

/// For checks: the armed requests of a ring that no wake-up has claimed.
pub fn observe_idle_requests<P: Platform>(
    ctx: &IoRingCtx<P>,
) -> impl Iterator<Item = Ptr<P, Req<P>>> + '_ {
    let armed =
        ctx.cancel_table.iter().filter_map(|slot| Ptr::<P, Req<P>>::from_word(slot.observe()));
    armed.filter(|req| req.poll_refs.load_in_step() == 0)
}

/// `io_poll_remove_all`: whether it found a request. `task`: only requests of this task. Under
/// `uring_lock`.
///
/// Linux: `io_uring/poll.c`, 6.18 to 7.3.
pub async fn io_poll_remove_all<P: Platform>(ctx: &IoRingCtx<P>, task: Option<Task>) -> bool {
    let _func = P::func("io_poll_remove_all");
    let mut found = false;
    for slot in &ctx.cancel_table {
        if let Some(req) = Ptr::<P, Req<P>>::from_word(slot.get())
            && task.is_none_or(|task| req.task == task)
        {
            slot.set(0);
            io_poll_cancel_req(&req).await;
            found = true;
        }
    }
    found
}

/// `io_poll_cancel`, for all armed requests that match, or the first: their number. A request stays armed
/// until its task work has run. Under `uring_lock`.
///
/// Linux: `io_uring/poll.c`, 6.18 to 7.3.
pub async fn io_poll_cancel<P: Platform>(
    ctx: &IoRingCtx<P>,
    matches: impl Fn(&Req<P>) -> bool,
    all: bool,
) -> i64 {
    let _func = P::func("io_poll_cancel");
    let mut nr = 0;
    for slot in &ctx.cancel_table {
        if let Some(req) = Ptr::<P, Req<P>>::from_word(slot.get())
            && matches(&req)
        {
            io_poll_cancel_req(&req).await;
            nr += 1;
            if !all {
                break;
            }
        }
    }
    nr
}

/// `io_poll_cancel_req`.
///
/// Linux: `io_uring/poll.c`, 6.18 to 7.3.
async fn io_poll_cancel_req<P: Platform>(req: &Ptr<P, Req<P>>) {
    let _func = P::func("io_poll_cancel_req");
    req.poll_refs.rmw(Rmw::Or(IO_POLL_CANCEL_FLAG), Order::Relaxed).await;
    if io_poll_get_ownership(req).await {
        io_poll_execute_owned(req, 0).await;
    }
}
