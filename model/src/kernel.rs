//! What is global in the modelled kernel.

use std::rc::Rc;

use crate::capacity::Capacities;
use crate::fs::Files;
use crate::io_uring::tctx::Tctx;
use crate::net::netdev::Netdev;
use crate::platform::{Kind, Platform, Ptr, Rmw, WaitWord};
use crate::revision::{Defect, Variant};
use crate::trace::{Tracepoint, Tracer};
use crate::work::Work;

/// The one kernel, process and network namespace of a run.
pub struct Kernel<P: Platform> {
    /// Which code it runs.
    pub variant: Variant,
    /// The process's file table.
    pub files: Files<P>,
    /// The network device, if the test has one.
    pub netdev: Option<Ptr<P, Netdev<P>>>,
    /// Work items and RCU callbacks.
    pub work: WorkCounter<P>,
    /// Page pools that wait for buffers. A buffer may lie in a socket until the socket is closed.
    pub page_pools: WorkCounter<P>,
    /// Number of system calls that run and do not wait for user space.
    pub syscalls: P::WaitQueue,
    /// What a page fault waits for. No thread ever raises it.
    pub user_page: P::WaitQueue,
    /// How much rings, connections and ifqs must be able to hold.
    pub capacities: Capacities,
    /// What the tasks have in flight that give up their rings before the run ends.
    pub tctxs: Vec<Tctx<P>>,
    /// What listens to the tracepoints.
    pub tracer: Rc<dyn Tracer<P>>,
}

/// Counts work items that are queued or run. One word, so that a waiter is woken when the count is
/// zero and not before.
#[derive(Debug)]
pub struct WorkCounter<P: Platform> {
    /// [`IDLE`], less one for each item.
    idle: P::WaitQueue,
}

const IDLE: u64 = 1 << 32;

impl<P: Platform> WorkCounter<P> {
    /// No items.
    #[must_use]
    pub fn new() -> Self {
        WorkCounter { idle: P::wait_queue("work", IDLE) }
    }

    /// One item is queued.
    pub fn begin(&self) {
        self.idle.add_in_step(Rmw::Sub(1));
    }

    /// Whether an item has not ended. Only while nothing else runs.
    #[must_use]
    pub fn pending(&self) -> bool {
        self.idle.rmw_in_step(Rmw::Add(0)) != IDLE
    }

    /// One item has ended. Part of its last step: only a waiter can tell the difference, as with the
    /// release of a lock.
    pub fn done(&self) {
        self.idle.add_in_step(Rmw::Add(1));
    }

    /// `flush_workqueue`: waits until no item is left, including items that other items queue.
    pub async fn flush(&self) {
        self.idle.wait_event(IDLE).await;
    }

    /// As [`WorkCounter::flush`], but gives up when nothing else in the system can run. The items that are
    /// left then wait for user space.
    pub async fn wait_quiescent(&self) {
        self.idle.wait_event_timeout(IDLE).await;
    }
}

impl<P: Platform> Default for WorkCounter<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Platform> Kernel<P> {
    /// An idle kernel of this variant, whose objects can hold what `capacities` says.
    #[must_use]
    pub fn alloc(
        variant: &Variant,
        capacities: Capacities,
        netdev: Option<&Ptr<P, Netdev<P>>>,
        tracer: Rc<dyn Tracer<P>>,
    ) -> Ptr<P, Self> {
        Ptr::alloc(Kind::Harness, 0, || Kernel {
            variant: variant.clone(),
            netdev: netdev.cloned(),
            work: WorkCounter::new(),
            page_pools: WorkCounter::new(),
            syscalls: P::wait_queue("syscalls", 0),
            user_page: P::wait_queue("user_page", 0),
            tctxs: (capacities.tctxs.iter())
                .map(|task| Tctx::new(Task(*task), capacities.rings.len()))
                .collect(),
            tracer,
            files: Files::new(capacities.open_fds, capacities.open_fds + capacities.exports),
            capacities,
        })
    }

    /// `task->io_uring`, if the task needs one.
    #[must_use]
    pub fn tctx(&self, task: Task) -> Option<&Tctx<P>> {
        self.tctxs.iter().find(|tctx| tctx.task == task)
    }

    /// A task enters the kernel. Part of the running step, as [`Kernel::end_syscall`].
    pub fn begin_syscall(&self) {
        self.syscalls.add_in_step(Rmw::Add(1));
    }

    /// A task leaves the kernel.
    pub fn end_syscall(&self) {
        self.syscalls.add_in_step(Rmw::Sub(1));
    }

    /// Whether the modelled code has a defect.
    #[must_use]
    pub fn has(&self, defect: Defect) -> bool {
        self.variant.has(defect)
    }

    /// Whether the modelled code has the fix of a defect.
    #[must_use]
    pub fn fixed(&self, defect: Defect) -> bool {
        !self.variant.has(defect)
    }

    /// Reports that the kernel code has reached a tracepoint.
    pub fn trace(&self, event: &Tracepoint<'_, P>) {
        self.tracer.event(event);
    }

    /// `queue_work`, `call_rcu`.
    pub fn queue_work(&self, work: Work<P>) {
        work.counter(self).begin();
        P::start_thread(work.into_thread());
    }
}

impl<P: Platform> std::fmt::Debug for Kernel<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").field("variant", &self.variant).finish_non_exhaustive()
    }
}

/// A task of user space. The number is that of the test's thread, or [`Task::MAIN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task(pub u32);

impl Task {
    /// The thread that runs set-up and end, and drives the rings that no thread drives.
    pub const MAIN: Task = Task(u32::MAX);

    /// A pointer to the task, as a word; never zero.
    #[must_use]
    pub fn to_word(self) -> u64 {
        u64::from(self.0) + 1
    }

    /// The task of [`Task::to_word`]; `None` for zero.
    #[must_use]
    pub fn from_word(word: u64) -> Option<Task> {
        word.checked_sub(1).map(|number| Task(number as u32))
    }
}

/// `current`: the task that makes a system call, with its credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Current {
    /// The task.
    pub task: Task,
    /// `capable(CAP_NET_ADMIN)`.
    pub cap_net_admin: bool,
}

impl Current {
    /// A task with `CAP_NET_ADMIN`.
    #[must_use]
    pub fn privileged(task: Task) -> Self {
        Current { task, cap_net_admin: true }
    }
}
