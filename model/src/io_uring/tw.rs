//! Local task work (`io_uring/tw.c`).

use crate::io_uring::ctx::{EVENT_WORK, IoRingCtx};
use crate::io_uring::poll::io_poll_task_func;
use crate::io_uring::submit::{Req, io_submit_flush_completions};
use crate::io_uring::zcrx::notif::zcrx_notif_tw;
use crate::platform::{Label, PlainWord, Platform, Ptr, RawLock, Rmw, WaitWord};
use crate::revision::Defect;
use crate::trace::Tracepoint;

/// Requests that one ring can have at a time. Linux has no such limit.
pub const MAX_REQS: usize = 8;
/// Events that the work list can hold. Linux has no such limit. An event is in the list at most once
/// until it is armed again.
const MAX_NOTIFS: usize = 8;

// An entry: a request, or from bit 63 down this mark, the event's number, its `user_data`.
const NOTIF: u64 = 1 << 63;
const NOTIF_TYPE_SHIFT: u32 = 56;

/// `IO_LOCAL_TW_DEFAULT_MAX`: entries that one call runs that does not sleep.
pub const IO_LOCAL_TW_DEFAULT_MAX: u64 = 20;

/// `ctx->work_list`.
///
/// # Divergence from Linux
/// - Simplified: pushing onto the lock-free list is one step. In the kernel a consumer can see a node that
///   is published and not yet linked, and retries.
#[derive(Debug)]
pub struct WorkList<P: Platform> {
    lock: P::Lock,
    items: Vec<P::Plain>,
    head: P::Plain,
    tail: P::Plain,
}

impl<P: Platform> WorkList<P> {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        WorkList {
            lock: P::lock("work_list"),
            items: (0..MAX_REQS + MAX_NOTIFS)
                .map(|_| P::plain(Label::pointer("work_list[]", 0), 0))
                .collect(),
            head: P::plain("work_list.head", 0),
            tail: P::plain("work_list.tail", 0),
        }
    }

    fn slot(&self, position: u64) -> &P::Plain {
        &self.items[position as usize % (MAX_REQS + MAX_NOTIFS)]
    }
}

impl<P: Platform> Default for WorkList<P> {
    fn default() -> Self {
        Self::new()
    }
}

/// `io_req_local_work_add`: queues a request, and wakes a task that waits for the ring. The caller owns
/// `poll_refs` of the request.
pub async fn io_req_local_work_add<P: Platform>(ctx: &IoRingCtx<P>, req: &Ptr<P, Req<P>>) {
    push(ctx, req.to_word()).await;
}

/// `io_req_local_work_add` for an event.
pub async fn io_notif_local_work_add<P: Platform>(ctx: &IoRingCtx<P>, event: u32, user_data: u64) {
    push(ctx, NOTIF | u64::from(event) << NOTIF_TYPE_SHIFT | user_data).await;
}

async fn push<P: Platform>(ctx: &IoRingCtx<P>, entry: u64) {
    let _func = P::func("io_req_local_work_add");
    let list = &ctx.work_list;
    let _guard = list.lock.lock().await;
    let tail = list.tail.get();
    if tail - list.head.get() == list.items.len() as u64 {
        ctx.kernel.trace(&Tracepoint::CapacityExceeded { lost: "an entry of the work list" });
        return;
    }
    list.slot(tail).set(entry);
    list.tail.set(tail + 1);
    ctx.events.rmw_in_step(Rmw::Add(EVENT_WORK));
}

async fn pop<P: Platform>(ctx: &IoRingCtx<P>) -> Option<u64> {
    let list = &ctx.work_list;
    let _guard = list.lock.lock().await;
    let head = list.head.get();
    if head == list.tail.get() {
        return None;
    }
    list.head.set(head + 1);
    ctx.events.rmw_in_step(Rmw::Sub(EVENT_WORK));
    Some(list.slot(head).get())
}

/// `io_task_work.func` of an entry.
async fn run_entry<P: Platform>(ctx: &IoRingCtx<P>, entry: u64, cancel: bool) {
    if entry & NOTIF != 0 {
        let event = (entry & !NOTIF) >> NOTIF_TYPE_SHIFT;
        zcrx_notif_tw(ctx, event as u32, entry & ((1 << NOTIF_TYPE_SHIFT) - 1)).await;
    } else if let Some(req) = Ptr::<P, Req<P>>::from_word(entry) {
        io_poll_task_func(ctx, &req, cancel).await;
    }
}

/// `io_run_local_work`, by the task that submits, of at most `max_events` entries. Takes
/// `uring_lock`. Up to 7.1 it runs only the entries that are queued when it starts.
pub async fn io_run_local_work<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>, max_events: u64) {
    let _func = P::func("io_run_local_work");
    let _guard = ctx.uring_lock.lock().await;
    // io_should_terminate_tw(); constant while the lock is held.
    let cancel = ctx.refs.is_dying().await;
    let budget = if ctx.kernel.variant.revision.runs_newly_queued_work() {
        max_events
    } else {
        max_events.min(pending(ctx).await)
    };
    for _ in 0..budget {
        let Some(entry) = pop(ctx).await else { break };
        run_entry(ctx, entry, cancel).await;
    }
    io_submit_flush_completions(ctx).await;
}

async fn pending<P: Platform>(ctx: &IoRingCtx<P>) -> u64 {
    let list = &ctx.work_list;
    let _guard = list.lock.lock().await;
    list.tail.get() - list.head.get()
}

/// `io_cancel_local_task_work`: the ring is dying, so its work runs in cancel mode.
pub async fn io_cancel_local_task_work<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>) {
    let _func = P::func("io_cancel_local_task_work");
    let cancel = ctx.kernel.fixed(Defect::DyingTwRuns);
    let _guard = ctx.uring_lock.lock().await;
    while let Some(entry) = pop(ctx).await {
        run_entry(ctx, entry, cancel).await;
    }
    io_submit_flush_completions(ctx).await;
}
