//! The task that may use a ring, and its wake-up (`io_uring/io_uring.c`, `io_uring/wait.h`).

use crate::kernel::Task;
use crate::platform::{AtomicWord, Order, Platform, Rmw};
use crate::prim::sched::wake_up_state;

/// `IO_CQ_WAKE_INIT`, -1: nobody waits.
const IO_CQ_WAKE_INIT: u64 = u32::MAX as u64;

/// The part of `struct io_ring_ctx` that says who may use the ring: `submitter_task`, the flag
/// `IORING_SETUP_R_DISABLED`, and `cq_wait_nr`.
///
/// # Divergence from Linux
/// - Simplified: only a ring that was set up disabled has these words. The task of another ring is known
///   when the ring is made.
/// - Simplified: `cq_wait_nr` decides no wake-up of a waiter. A waiter here waits for one completion, so
///   that each added entry wakes it, and [`crate::io_uring::ctx::IoRingCtx::events`] does.
#[derive(Debug)]
pub struct Submitter<P: Platform> {
    /// The task that set the ring up.
    creator: Task,
    /// For a ring that was set up with `IORING_SETUP_R_DISABLED`.
    disabled: Option<DisabledRing<P>>,
}

#[derive(Debug)]
struct DisabledRing<P: Platform> {
    /// `IORING_SETUP_R_DISABLED` in `flags`. Written under `uring_lock`.
    r_disabled: P::Atomic,
    /// `submitter_task`: [`Task::to_word`], or 0 for NULL. Written under `uring_lock`.
    submitter_task: P::Atomic,
    /// `cq_wait_nr`.
    cq_wait_nr: P::Atomic,
}

impl<P: Platform> Submitter<P> {
    /// Of a ring that `creator` sets up.
    #[must_use]
    pub fn new(creator: Task, disabled: bool) -> Self {
        let disabled = disabled.then(|| DisabledRing {
            r_disabled: P::atomic("flags & R_DISABLED", 1),
            submitter_task: P::atomic("submitter_task", 0),
            cq_wait_nr: P::atomic("cq_wait_nr", IO_CQ_WAKE_INIT),
        });
        Submitter { creator, disabled }
    }

    /// Whether `flags` has `IORING_SETUP_R_DISABLED`, read with `smp_load_acquire`.
    pub async fn is_disabled(&self) -> bool {
        match &self.disabled {
            Some(ring) => ring.r_disabled.load(Order::Acquire).await != 0,
            None => false,
        }
    }

    /// `submitter_task`; `None`: NULL.
    pub async fn task(&self) -> Option<Task> {
        match &self.disabled {
            Some(ring) => Task::from_word(ring.submitter_task.load(Order::Relaxed).await),
            None => Some(self.creator),
        }
    }

    /// `submitter_task` under `uring_lock`.
    #[must_use]
    pub fn task_locked(&self) -> Option<Task> {
        match &self.disabled {
            Some(ring) => Task::from_word(ring.submitter_task.load_in_step()),
            None => Some(self.creator),
        }
    }

    /// Makes a disabled ring one of `task`; whether the ring was disabled. Under `uring_lock`.
    pub async fn enable(&self, task: Task) -> bool {
        let Some(ring) = &self.disabled else { return false };
        if ring.r_disabled.load_in_step() == 0 {
            return false;
        }
        ring.submitter_task.store(task.to_word(), Order::Relaxed).await;
        ring.r_disabled.store(0, Order::Release).await;
        true
    }

    /// Sets `cq_wait_nr`: the next added entry wakes `submitter_task`.
    pub async fn ask_for_wake_up(&self) {
        if let Some(ring) = &self.disabled {
            ring.cq_wait_nr.store(1, Order::Relaxed).await;
        }
    }

    /// Sets `cq_wait_nr` to `IO_CQ_WAKE_INIT`, after a wait.
    pub async fn end_wait(&self) {
        if let Some(ring) = &self.disabled {
            ring.cq_wait_nr.store(IO_CQ_WAKE_INIT, Order::Relaxed).await;
        }
    }

    /// The part of `io_req_local_work_add` after the entry is in the list: wakes `submitter_task` if
    /// `cq_wait_nr` asks for it. `lazy`: `IOU_F_TWQ_LAZY_WAKE`.
    ///
    /// Linux: `io_uring/tw.c`, 6.18 to 7.3.
    pub async fn wake_after_add(&self, lazy: bool) {
        let Some(ring) = &self.disabled else { return };
        let asked = |nr_wait: u64| nr_wait != 0 && nr_wait != IO_CQ_WAKE_INIT;
        if !asked(ring.cq_wait_nr.load(Order::Relaxed).await) {
            return;
        }
        if lazy {
            if ring.cq_wait_nr.rmw(Rmw::Sub(1), Order::Full).await != 1 {
                return;
            }
        } else if !asked(ring.cq_wait_nr.rmw(Rmw::Xchg(IO_CQ_WAKE_INIT), Order::Full).await) {
            return;
        }
        wake_up_state::<P, _>(self.task().await.as_ref(), "wake_up_state(ctx->submitter_task)");
    }
}
