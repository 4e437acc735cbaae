//! What a task has in flight, on all of its rings (`io_uring/tctx.c`).

use crate::io_uring::ctx::IoRingCtx;
use crate::kernel::{Kernel, Task};
use crate::platform::{AtomicWord, Label, Platform, Ptr, RawLock, Rmw, WaitWord};

/// `struct io_uring_task`.
///
/// # Divergence from Linux
/// - Simplified: only a task that gives up its rings before the run ends (`exec`) has one. For other tasks
///   nothing asks what they have in flight.
/// - Left out: io-wq, registered ring descriptors, `inflight_tracked` (no request here is on a ring's own
///   file, so it is zero).
#[derive(Debug)]
pub struct Tctx<P: Platform> {
    /// The task.
    pub task: Task,
    /// `xa`: the rings that the task has set up or submitted to, by number; 0: none.
    nodes: Vec<P::Atomic>,
    /// `inflight`: requests of the task on all rings.
    inflight: P::Atomic,
    /// `in_cancel`.
    in_cancel: P::Atomic,
    /// `wait`: counts what a cancelling task may have to look at: added entries and ended requests.
    pub(super) wait: P::WaitQueue,
    /// Not in Linux: held while the task cancels. See [`io_tctx_exit`].
    pub(super) cancelling: P::Lock,
}

impl<P: Platform> Tctx<P> {
    /// For a task, in a kernel with this number of rings.
    #[must_use]
    pub fn new(task: Task, rings: usize) -> Self {
        let node = |_| P::atomic(Label::pointer("tctx.xa", 0), 0);
        Tctx {
            task,
            nodes: (0..rings).map(node).collect(),
            inflight: P::atomic("tctx.inflight", 0),
            in_cancel: P::atomic("tctx.in_cancel", 0),
            wait: P::wait_queue("tctx.wait", 0),
            cancelling: P::lock("tctx.cancelling"),
        }
    }

    /// `tctx_inflight`.
    ///
    /// Linux: `io_uring/cancel.c`, 6.18 to 7.3.
    pub(super) fn inflight(&self) -> u64 {
        self.inflight.load_in_step()
    }

    pub(super) fn set_in_cancel(&self, in_cancel: bool) {
        self.in_cancel.store_in_step(in_cancel.into());
    }

    /// `wake_up(&tctx->wait)`, if the task is cancelling.
    fn wake_up(&self) {
        if self.in_cancel.load_in_step() != 0 {
            self.wait.add_in_step(Rmw::Add(1));
        }
    }

    /// The rings in `xa`.
    ///
    /// # Divergence from Linux
    /// - Simplified: by number. In Linux by address.
    pub(super) fn rings(&self) -> impl Iterator<Item = Ptr<P, IoRingCtx<P>>> + '_ {
        self.nodes.iter().filter_map(|node| Ptr::from_word(node.load_in_step()))
    }

    /// `io_uring_del_tctx_node` for all rings.
    ///
    /// Linux: `io_uring/tctx.c`, 6.18 to 7.3.
    pub(super) fn clean(&self) {
        self.nodes.iter().for_each(|node| node.store_in_step(0));
    }
}

/// `__io_uring_add_tctx_node`: the task uses the ring.
///
/// Linux: `io_uring/tctx.c`, 6.18 to 7.3.
pub fn io_uring_add_tctx_node<P: Platform>(
    kernel: &Kernel<P>,
    task: Task,
    ctx: &Ptr<P, IoRingCtx<P>>,
) {
    if let Some(tctx) = kernel.tctx(task) {
        tctx.nodes[ctx.number as usize].store_in_step(ctx.to_word());
    }
}

/// `io_get_task_refs` for one request.
///
/// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
pub fn io_get_task_ref<P: Platform>(kernel: &Kernel<P>, task: Task) {
    if let Some(tctx) = kernel.tctx(task) {
        tctx.inflight.store_in_step(tctx.inflight() + 1);
    }
}

/// `io_put_task`: a request of the task has ended.
///
/// Linux: `io_uring/io_uring.c`, 6.18 to 7.3.
pub fn io_put_task<P: Platform>(kernel: &Kernel<P>, task: Task) {
    if let Some(tctx) = kernel.tctx(task) {
        tctx.inflight.store_in_step(tctx.inflight() - 1);
        tctx.wake_up();
    }
}

/// Not in Linux: local work was added to a ring. A task that cancels its requests looks at it.
pub fn local_work_added<P: Platform>(ctx: &IoRingCtx<P>) {
    ctx.kernel.tctxs.iter().for_each(Tctx::wake_up);
}

/// Not in Linux: a function for the end of `io_ring_exit_work`, which asks the tasks that used the ring to forget
/// it (`io_tctx_exit_cb`), and waits until they have. A task that does not cancel does it at once here, and a
/// task that cancels does it at the end.
pub async fn io_tctx_exit<P: Platform>(ctx: &IoRingCtx<P>) {
    for tctx in &ctx.kernel.tctxs {
        let _guard = tctx.cancelling.lock().await;
        tctx.nodes[ctx.number as usize].store_in_step(0);
    }
}
