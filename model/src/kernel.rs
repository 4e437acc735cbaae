//! What is global in the modelled kernel.

use crate::fs::Files;
use crate::net::netdev::Netdev;
use crate::platform::{Kind, Platform, Ptr, Rmw, WaitWord};
use crate::revision::{Defect, Variant};
use crate::work::{Work, WorkKind};

/// The one kernel, process and network namespace of a run.
pub struct Kernel<P: Platform> {
    /// Which code it runs.
    pub variant: Variant,
    /// The process's file table.
    pub files: Files<P>,
    /// The network device, if the test has one.
    pub netdev: Option<Ptr<P, Netdev<P>>>,
    /// The test's own threads.
    pub threads: WorkCounter<P>,
    /// Work of the kernel's own.
    pub work: WorkCounter<P>,
    /// Page pools that wait for buffers; those may lie in a socket until it is closed.
    pub page_pools: WorkCounter<P>,
    /// System calls that run, but for those that wait by their own wish; see
    /// [`Kernel::begin_syscall`].
    pub syscalls: P::WaitQueue,
    /// Nobody raises it: what a page fault waits for that user space does not serve.
    pub user_page: P::WaitQueue,
}

/// How much work is queued or runs. One word, so that who waits is woken when there is none, and not
/// before.
#[derive(Debug)]
pub struct WorkCounter<P: Platform> {
    /// [`IDLE`], less one for each piece.
    idle: P::WaitQueue,
}

const IDLE: u64 = 1 << 32;

impl<P: Platform> WorkCounter<P> {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        WorkCounter { idle: P::wait_queue("work", IDLE) }
    }

    /// One piece is queued.
    pub fn begin(&self) {
        self.idle.add_in_step(Rmw::Sub(1));
    }

    /// Whether a piece has not ended. Only while nothing else runs.
    #[must_use]
    pub fn pending(&self) -> bool {
        self.idle.rmw_in_step(Rmw::Add(0)) != IDLE
    }

    /// One piece has ended. Part of its last step: like the release of a lock, only who waits for
    /// it can tell the difference.
    pub fn done(&self) {
        self.idle.add_in_step(Rmw::Add(1));
    }

    /// Waits until none is left (`flush_workqueue`), also not such as other work queues.
    pub async fn flush(&self) {
        self.idle.wait_event(IDLE).await;
    }

    /// As [`WorkCounter::flush`], but gives up when nothing else can run any more: what is left waits
    /// for something that user space still has to do.
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
    /// A kernel of this variant that runs nothing yet, with descriptors for so many rings and exports.
    #[must_use]
    pub fn alloc(
        variant: &Variant,
        (rings, exports): (usize, usize),
        netdev: Option<&Ptr<P, Netdev<P>>>,
    ) -> Ptr<P, Self> {
        Ptr::alloc(Kind::Harness, 0, || Kernel {
            variant: variant.clone(),
            netdev: netdev.cloned(),
            threads: WorkCounter::new(),
            work: WorkCounter::new(),
            page_pools: WorkCounter::new(),
            syscalls: P::wait_queue("syscalls", 0),
            user_page: P::wait_queue("user_page", 0),
            files: Files::new(rings, rings + exports),
        })
    }

    /// A task enters the kernel. Part of the step that is running, as [`Kernel::end_syscall`].
    pub fn begin_syscall(&self) {
        self.syscalls.add_in_step(Rmw::Add(1));
    }

    /// A task leaves the kernel.
    pub fn end_syscall(&self) {
        self.syscalls.add_in_step(Rmw::Sub(1));
    }

    /// Counts that a piece of work has ended.
    pub fn work_done(&self, kind: WorkKind) {
        match kind {
            WorkKind::Thread => self.threads.done(),
            WorkKind::Kernel => self.work.done(),
            WorkKind::PagePool => self.page_pools.done(),
        }
    }

    /// Whether a defect is there.
    #[must_use]
    pub fn has(&self, defect: Defect) -> bool {
        self.variant.has(defect)
    }

    /// `queue_work`, `call_rcu`.
    pub fn queue_work(&self, work: Work<P>) {
        let count = match work.kind() {
            WorkKind::Thread => &self.threads,
            WorkKind::Kernel => &self.work,
            WorkKind::PagePool => &self.page_pools,
        };
        count.begin();
        P::queue_work(work);
    }
}

impl<P: Platform> std::fmt::Debug for Kernel<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").field("variant", &self.variant).finish_non_exhaustive()
    }
}

/// `current`: a thread of user space. The number is that of the test's thread, or
/// [`Task::MAIN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task(pub u32);

impl Task {
    /// The thread that runs set-up and end, and drives the rings that no thread drives.
    pub const MAIN: Task = Task(u32::MAX);
}
