//! A ring's life and death (`io_uring/io_uring.c`).

use crate::fs::ReleaseFn;
use crate::io_uring::cancel::io_uring_try_cancel_requests;
use crate::io_uring::cq::{Cq, CqeCache};
use crate::io_uring::submitter::Submitter;
use crate::io_uring::tctx::{io_tctx_exit, io_uring_add_tctx_node};
use crate::io_uring::tw::{WorkList, io_cancel_local_task_work};
use crate::io_uring::zcrx::Ifq;
use crate::io_uring::zcrx::unregister::{io_terminate_zcrx, io_unregister_zcrx};
use crate::io_uring::zcrx::{proxy_v1, share_v3, share_v4};
use crate::kernel::{Kernel, Task};
use crate::platform::{AtomicWord, Kind, Label, Order, Platform, Ptr, RawLock, Rmw, WaitWord};
use crate::prim::completion::{Completion, complete, completion_on_stack, wait_for_completion};
use crate::prim::percpu_ref::PercpuRef;
use crate::prim::xarray::XArray;
use crate::revision::Defect;
use crate::trace::Tracepoint;
use crate::work::Work;

/// In [`IoRingCtx::events`]: one entry of the work list.
pub const EVENT_WORK: u64 = 1;
/// In [`IoRingCtx::events`]: `ref_comp` is complete.
pub const EVENT_REF_COMP: u64 = 1 << 32;

/// The set-up flags of a ring, besides `SINGLE_ISSUER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingFlags {
    /// `IORING_SETUP_DEFER_TASKRUN`.
    pub defer_taskrun: bool,
    /// `IORING_SETUP_CQE32`.
    pub cqe32: bool,
    /// `IORING_SETUP_CQE_MIXED`.
    pub cqe_mixed: bool,
    /// `IORING_SETUP_CLAMP`.
    pub clamp: bool,
    /// `IORING_SETUP_R_DISABLED`.
    pub disabled: bool,
}

impl Default for RingFlags {
    /// `DEFER_TASKRUN | CQE32`.
    ///
    /// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
    fn default() -> Self {
        RingFlags {
            defer_taskrun: true,
            cqe32: true,
            cqe_mixed: false,
            clamp: false,
            disabled: false,
        }
    }
}

/// `struct io_ring_ctx`.
///
/// # Divergence from Linux
/// - Simplified: a ring without `DEFER_TASKRUN` or `CQE32` can have no ifq; in all else it behaves like a
///   ring with both.
pub struct IoRingCtx<P: Platform> {
    /// Number of the ring in the test.
    pub number: u32,
    /// `flags`.
    pub setup: RingFlags,
    /// The kernel.
    pub kernel: Ptr<P, Kernel<P>>,
    /// The only task that may register and enter, and its wake-up.
    pub submitter: Submitter<P>,
    /// Serialises submission, task work, registration.
    pub uring_lock: P::Lock,
    /// Serialises changes of `zcrx_ctxs` and mmap.
    pub mmap_lock: P::Lock,
    /// References of requests, page pools, proxies and events.
    pub refs: PercpuRef<P>,
    /// What a waiter waits for: [`EVENT_WORK`] for each entry of the work list, and
    /// [`EVENT_REF_COMP`].
    pub events: P::WaitQueue,
    /// The ifqs by id.
    pub zcrx_ctxs: XArray<P, Ifq<P>>,
    /// Local task work.
    pub work_list: WorkList<P>,
    /// Armed requests, under `uring_lock`.
    pub cancel_table: Vec<P::Plain>,
    /// Requests that have completed and are not yet posted, under `uring_lock`.
    pub compl_reqs: Vec<P::Plain>,
    /// Length of `compl_reqs`.
    pub nr_compl: P::Plain,
    /// Requests that exist, under `uring_lock`.
    pub nr_req_allocated: P::Plain,
    /// The completion that the release of the file waits for, if it waits.
    exit_comp: Option<P::Atomic>,
    /// The completion queue.
    pub cq: Cq<P>,
}

impl<P: Platform> std::fmt::Debug for IoRingCtx<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IoRingCtx").field("number", &self.number).finish_non_exhaustive()
    }
}

impl<P: Platform> IoRingCtx<P> {
    /// For checks: whether rings share the ifq itself and not a proxy of it.
    #[must_use]
    pub fn observe_shares_ifqs(&self) -> bool {
        !self.kernel.variant.revision.has_proxies()
    }
}

/// `io_uring_setup` with the usual flags.
///
/// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
#[must_use]
pub fn io_ring_ctx_alloc<P: Platform>(
    kernel: &Ptr<P, Kernel<P>>,
    number: u32,
    submitter_task: Task,
) -> Ptr<P, IoRingCtx<P>> {
    io_uring_setup(kernel, number, submitter_task, RingFlags::default())
}

/// `io_uring_setup` and `io_ring_ctx_alloc`.
///
/// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
#[must_use]
pub fn io_uring_setup<P: Platform>(
    kernel: &Ptr<P, Kernel<P>>,
    number: u32,
    submitter_task: Task,
    setup: RingFlags,
) -> Ptr<P, IoRingCtx<P>> {
    let capacity = kernel.capacities.ring(number);
    let words = |label: Label| (0..capacity.requests).map(|_| P::plain(label, 0)).collect();
    let ctx = Ptr::alloc(Kind::Ctx, number, || IoRingCtx {
        number,
        setup,
        kernel: kernel.clone(),
        submitter: Submitter::new(submitter_task, setup.disabled),
        uring_lock: P::lock("uring_lock"),
        mmap_lock: P::lock("mmap_lock"),
        refs: PercpuRef::new("refs"),
        events: P::wait_queue("events", 0),
        zcrx_ctxs: XArray::new("zcrx_ctxs", capacity.ids),
        work_list: WorkList::new(capacity.requests + capacity.events),
        cancel_table: words(Label::pointer("cancel_table", 0)),
        compl_reqs: words(Label::pointer("compl_reqs", 0)),
        nr_compl: P::plain("nr_compl", 0),
        nr_req_allocated: P::plain("nr_req_allocated", 0),
        exit_comp: (kernel.variant.revision.release_waits())
            .then(|| P::atomic(Label::pointer("exit_comp", 0), 0)),
        cq: Cq::new(
            capacity.requests + capacity.events,
            setup.cqe_mixed.then(|| CqeCache::new(kernel.fixed(Defect::MixedCqeCache))),
        ),
    });
    io_uring_add_tctx_node(kernel, submitter_task, &ctx);
    ctx
}

/// `percpu_ref_put(&ctx->refs)`; the last one runs `io_ring_ctx_ref_free`.
///
/// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
pub async fn ctx_refs_put<P: Platform>(ctx: &IoRingCtx<P>) {
    let _scope = P::scope();
    if ctx.refs.put().await {
        io_ring_ctx_ref_free(ctx).await;
    }
}

/// `percpu_ref_switch_to_atomic_rcu`: the RCU callback that follows `percpu_ref_kill`.
///
/// Linux: `lib/percpu-refcount.c`, 6.18 to 7.3.
pub async fn percpu_ref_switch_to_atomic_rcu<P: Platform>(ctx: &IoRingCtx<P>) {
    let _func = P::func("percpu_ref_switch_to_atomic_rcu");
    if ctx.refs.switch_to_atomic_rcu().await {
        io_ring_ctx_ref_free(ctx).await;
    }
}

/// `io_ring_ctx_ref_free`: `complete(&ctx->ref_comp)`.
///
/// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
async fn io_ring_ctx_ref_free<P: Platform>(ctx: &IoRingCtx<P>) {
    ctx.events.rmw(Rmw::Add(EVENT_REF_COMP)).await;
}

/// `io_uring_fops.release`.
///
/// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
pub fn io_uring_fops<P: Platform>() -> ReleaseFn {
    |private_data| {
        Box::pin(async move {
            if let Some(ctx) = Ptr::<P, IoRingCtx<P>>::from_word(private_data) {
                io_uring_release(&ctx).await;
            }
        })
    }
}

/// `io_uring_release`: the last reference to the ring's file is gone.
///
/// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
pub async fn io_uring_release<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>) {
    let _func = P::func("io_uring_release");
    let Some(word) = &ctx.exit_comp else {
        io_ring_ctx_wait_and_kill(ctx).await;
        return;
    };
    let exit_comp = completion_on_stack::<P>(ctx.number);
    word.store(exit_comp.to_word(), Order::Relaxed).await;
    io_ring_ctx_wait_and_kill(ctx).await;
    wait_for_completion(&exit_comp).await;
    exit_comp.free();
}

/// `io_ring_ctx_wait_and_kill`.
///
/// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
async fn io_ring_ctx_wait_and_kill<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>) {
    let _func = P::func("io_ring_ctx_wait_and_kill");
    {
        let _guard = ctx.uring_lock.lock().await;
        ctx.refs.kill().await;
        ctx.kernel.queue_work(Work::PercpuRefSwitch(ctx.clone()));
    }
    ctx.kernel.queue_work(Work::RingExit(ctx.clone()));
}

/// `io_ring_exit_work`.
///
/// # Divergence from Linux
/// - Simplified: the kernel wakes up every 50 ms and looks for task work; here the worker wakes up
///   when there is some. In the proposal the loop itself tears ifqs down, so its timeout is an
///   event. It happens when nothing else can run. A second timeout in a row would find the same, so
///   the worker then waits without a timeout.
/// - Left out: io-wq, SQPOLL, iopoll.
///
/// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
pub async fn io_ring_exit_work<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>) {
    let _func = P::func("io_ring_exit_work");
    let kernel = &ctx.kernel;
    let revision = kernel.variant.revision;
    let shutdown = revision.has_shutdown();
    if !shutdown && kernel.fixed(Defect::M2) {
        let _guard = ctx.uring_lock.lock().await;
        io_terminate_zcrx(ctx).await;
    }
    let mut timed_out = false;
    loop {
        if shutdown {
            let _guard = ctx.uring_lock.lock().await;
            if timed_out {
                kernel.trace(&Tracepoint::ExitPoll(&**ctx));
            }
            if revision.has_proxies() {
                proxy_v1::io_shutdown_zcrx_ifqs(ctx).await;
            } else {
                share_v3::io_shutdown_zcrx_ifqs(ctx).await;
            }
        }
        {
            let _scope = P::scope();
            loop {
                io_cancel_local_task_work(ctx).await;
                if !io_uring_try_cancel_requests(ctx, None).await {
                    break;
                }
            }
        }
        // wait_for_completion_interruptible_timeout(&ctx->ref_comp, interval)
        let mut events = None;
        if shutdown {
            events = ctx.events.wait_event_timeout(EVENT_WORK).await;
            if events.is_none() && !timed_out {
                timed_out = true;
                continue;
            }
            if events.is_none() {
                kernel.trace(&Tracepoint::ExitStuck(&**ctx));
            }
            timed_out = false;
        } else {
            kernel.trace(&Tracepoint::ExitWait(&**ctx));
        }
        let events = match events {
            Some(events) => events,
            None => ctx.events.wait_event(EVENT_WORK).await,
        };
        if events >= EVENT_REF_COMP {
            break;
        }
    }
    if let Some(word) = &ctx.exit_comp
        && let Some(exit_comp) = Ptr::<P, Completion<P>>::from_word(word.load(Order::Relaxed).await)
    {
        complete::<P>(&exit_comp).await;
    }
    io_tctx_exit(ctx).await;
    io_ring_ctx_free(ctx).await;
}

/// `io_ring_ctx_free`.
///
/// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
async fn io_ring_ctx_free<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>) {
    let _func = P::func("io_ring_ctx_free");
    {
        let _guard = ctx.uring_lock.lock().await;
        let revision = ctx.kernel.variant.revision;
        if revision.has_proxies() {
            proxy_v1::io_unregister_zcrx_ifqs(ctx).await;
        } else if revision.has_shutdown() {
            share_v3::io_unregister_zcrx_ifqs(ctx).await;
        } else if revision.has_clone() {
            share_v4::io_unregister_zcrx_ifqs(ctx).await;
        } else {
            io_unregister_zcrx(ctx).await;
        }
    }
    ctx.free();
}
