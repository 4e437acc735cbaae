//! Local task work (`io_uring/tw.c`).

use crate::io_uring::ctx::{EVENT_WORK, IoRingCtx};
use crate::io_uring::poll::io_poll_task_func;
use crate::io_uring::submit::{Req, io_submit_flush_completions};
use crate::platform::{PlainWord, Platform, Ptr, RawLock, Rmw, WaitWord};
use crate::revision::Defect;

/// Requests that one ring may have at a time.
///
/// Divergence from Linux: there the number is bounded by memory.
pub const MAX_REQS: usize = 8;

/// `ctx->work_list`.
///
/// Divergence from Linux: pushing onto the lock-free list is one step here; in the kernel a consumer
/// can see a producer that has published its node and not linked it yet, and retries.
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
            items: (0..MAX_REQS).map(|_| P::plain("work_list[]", 0)).collect(),
            head: P::plain("work_list.head", 0),
            tail: P::plain("work_list.tail", 0),
        }
    }

    fn slot(&self, position: u64) -> &P::Plain {
        &self.items[position as usize % MAX_REQS]
    }
}

impl<P: Platform> Default for WorkList<P> {
    fn default() -> Self {
        Self::new()
    }
}

/// `io_req_local_work_add`: queues a request whose owner of `poll_refs` the caller is, and wakes
/// whoever waits for the ring.
pub async fn io_req_local_work_add<P: Platform>(ctx: &IoRingCtx<P>, req: &Ptr<P, Req<P>>) {
    let _func = P::func("io_req_local_work_add");
    let list = &ctx.work_list;
    let _guard = list.lock.lock().await;
    let tail = list.tail.get();
    list.slot(tail).set(req.to_word());
    list.tail.set(tail + 1);
    ctx.events.poke(Rmw::Add(EVENT_WORK));
}

async fn pop<P: Platform>(ctx: &IoRingCtx<P>) -> Option<Ptr<P, Req<P>>> {
    let list = &ctx.work_list;
    let _guard = list.lock.lock().await;
    let head = list.head.get();
    if head == list.tail.get() {
        return None;
    }
    list.head.set(head + 1);
    ctx.events.poke(Rmw::Sub(EVENT_WORK));
    Ptr::from_word(list.slot(head).get())
}

/// `io_run_local_work`, by the task that submits. Takes `uring_lock`. Returns how many were run.
pub async fn io_run_local_work<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>) -> usize {
    let _func = P::func("io_run_local_work");
    let _guard = ctx.uring_lock.lock().await;
    // io_should_terminate_tw(); constant while the lock is held.
    let cancel = ctx.refs.is_dying().await;
    let mut ran = 0;
    while let Some(req) = pop(ctx).await {
        io_poll_task_func(ctx, &req, cancel).await;
        ran += 1;
    }
    io_submit_flush_completions(ctx).await;
    ran
}

/// `io_cancel_local_task_work`: the ring is going away, its work is run in cancel mode.
pub async fn io_cancel_local_task_work<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>) {
    let _func = P::func("io_cancel_local_task_work");
    let cancel = !ctx.kernel.variant.has(Defect::DyingTwRuns);
    let _guard = ctx.uring_lock.lock().await;
    while let Some(req) = pop(ctx).await {
        io_poll_task_func(ctx, &req, cancel).await;
    }
    io_submit_flush_completions(ctx).await;
}
