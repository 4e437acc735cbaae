//! Local task work (`io_uring/tw.c`).

use crate::capacity::{exceeded, slot};
use crate::io_uring::ctx::{EVENT_WORK, IoRingCtx};
use crate::io_uring::poll::io_poll_task_func;
use crate::io_uring::submit::{Req, io_submit_flush_completions};
use crate::io_uring::tctx::local_work_added;
use crate::io_uring::zcrx::notif::zcrx_notif_tw;
use crate::platform::{Label, PlainWord, Platform, Ptr, RawLock, Rmw, WaitWord};
use crate::revision::Defect;

const WORK_LIST: &str = "an entry of the work list";

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
    /// An empty list for at most `entries` entries at a time.
    #[must_use]
    pub fn new(entries: usize) -> Self {
        WorkList {
            lock: P::lock("work_list"),
            items: (0..entries).map(|_| P::plain(Label::pointer("work_list[]", 0), 0)).collect(),
            head: P::plain("work_list.head", 0),
            tail: P::plain("work_list.tail", 0),
        }
    }

    /// `mpscq_push` (7.2), before `llist_add`.
    async fn push(&self, events: &P::WaitQueue, entry: u64) {
        let _guard = self.lock.lock().await;
        let tail = self.tail.get();
        if tail - self.head.get() == self.items.len() as u64 {
            exceeded(WORK_LIST);
        }
        slot(&self.items, tail, WORK_LIST).set(entry);
        self.tail.set(tail + 1);
        // Wakes a task that waits for the ring.
        events.rmw_in_step(Rmw::Add(EVENT_WORK));
    }

    /// `mpscq_pop` (7.2), before a step of the list that `llist_del_all` returned.
    async fn pop(&self, events: &P::WaitQueue) -> Option<u64> {
        let _guard = self.lock.lock().await;
        let head = self.head.get();
        if head == self.tail.get() {
            return None;
        }
        self.head.set(head + 1);
        events.rmw_in_step(Rmw::Sub(EVENT_WORK));
        Some(slot(&self.items, head, WORK_LIST).get())
    }

    /// Number of queued entries.
    async fn len(&self) -> u64 {
        let _guard = self.lock.lock().await;
        self.tail.get() - self.head.get()
    }
}

/// An entry of the work list: a request, or an event with the `user_data` of its completion.
#[derive(Debug)]
pub enum TaskWork<'a, P: Platform> {
    /// `io_poll_task_func` of a request. The caller owns `poll_refs` of the request.
    Poll(&'a Ptr<P, Req<P>>),
    /// `zcrx_notif_tw` of an event.
    Notif {
        /// `ZCRX_EVENT_*`.
        event_type: u32,
        /// `user_data`, below 2^56.
        user_data: u64,
    },
}

/// In the word of an entry: the entry is an event. The next 7 bits are its type.
const NOTIF: u64 = 1 << 63;
const NOTIF_TYPE_SHIFT: u32 = 56;

impl<P: Platform> TaskWork<'_, P> {
    fn to_word(&self) -> u64 {
        match self {
            TaskWork::Poll(req) => req.to_word(),
            TaskWork::Notif { event_type, user_data } => {
                NOTIF | u64::from(*event_type) << NOTIF_TYPE_SHIFT | user_data
            }
        }
    }
}

/// `io_req_local_work_add`: queues an entry, and wakes a task that waits for the ring.
///
/// Linux: `io_uring/tw.c`, 6.18 to 7.3.
pub async fn io_req_local_work_add<P: Platform>(ctx: &IoRingCtx<P>, work: TaskWork<'_, P>) {
    let _func = P::func("io_req_local_work_add");
    ctx.work_list.push(&ctx.events, work.to_word()).await;
    local_work_added(ctx);
    // Poll handlers pass IOU_F_TWQ_LAZY_WAKE.
    ctx.submitter.wake_after_add(matches!(work, TaskWork::Poll(_))).await;
}

/// `io_task_work.func` of one entry, as `__io_run_local_work_loop` calls it.
///
/// Linux: `io_uring/tw.c`, 6.18 to 7.3.
async fn io_task_work_func<P: Platform>(ctx: &IoRingCtx<P>, entry: u64, cancel: bool) {
    if entry & NOTIF != 0 {
        let event_type = (entry & !NOTIF) >> NOTIF_TYPE_SHIFT;
        let user_data = entry & ((1 << NOTIF_TYPE_SHIFT) - 1);
        zcrx_notif_tw(ctx, event_type as u32, user_data).await;
    } else if let Some(req) = Ptr::<P, Req<P>>::from_word(entry) {
        io_poll_task_func(ctx, &req, cancel).await;
    }
}

/// `io_run_local_work`, by the task that submits, of at most `max_events` entries. Takes
/// `uring_lock`. Up to 7.1 it runs only the entries that are queued when it starts.
///
/// Linux: `io_uring/tw.c`, 6.18 to 7.3.
pub async fn io_run_local_work<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>, max_events: u64) {
    let _func = P::func("io_run_local_work");
    let _scope = P::scope();
    __io_run_local_work(ctx, max_events).await;
}

/// `__io_run_local_work`: as [`io_run_local_work`], and returns how many entries it ran.
///
/// Linux: `io_uring/tw.c`, 6.18 to 7.3.
#[allow(non_snake_case, reason = "the kernel's name")]
pub async fn __io_run_local_work<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>, max_events: u64) -> u64 {
    let _guard = ctx.uring_lock.lock().await;
    // io_should_terminate_tw(); constant while the lock is held.
    let cancel = ctx.refs.is_dying().await;
    let budget = if ctx.kernel.variant.revision.runs_newly_queued_work() {
        max_events
    } else {
        max_events.min(ctx.work_list.len().await)
    };
    let mut ran = 0;
    while ran < budget {
        let Some(entry) = ctx.work_list.pop(&ctx.events).await else { break };
        io_task_work_func(ctx, entry, cancel).await;
        ran += 1;
    }
    io_submit_flush_completions(ctx).await;
    ran
}

/// `io_cancel_local_task_work`: the ring is dying, so its work runs in cancel mode.
///
/// Linux: `io_uring/tw.c`, 6.18 to 7.3.
pub async fn io_cancel_local_task_work<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>) {
    let _func = P::func("io_cancel_local_task_work");
    let _scope = P::scope();
    let cancel = ctx.kernel.fixed(Defect::DyingTwRuns);
    let _guard = ctx.uring_lock.lock().await;
    while let Some(entry) = ctx.work_list.pop(&ctx.events).await {
        io_task_work_func(ctx, entry, cancel).await;
    }
    io_submit_flush_completions(ctx).await;
}
