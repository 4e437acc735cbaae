//! What is global in the modelled kernel.

use crate::fs::Files;
use crate::net::netdev::Netdev;
use crate::platform::{Platform, Ptr, Rmw, WaitWord};
use crate::revision::Variant;
use crate::work::Work;

/// The one kernel, process and network namespace of a run.
pub struct Kernel<P: Platform> {
    /// Which code it runs.
    pub variant: Variant,
    /// The process's file table.
    pub files: Files<P>,
    /// The network device, if the test has one.
    pub netdev: Option<Ptr<P, Netdev<P>>>,
    /// Work that ends by itself.
    pub work: WorkCount<P>,
    /// Page pools that wait for buffers; those may lie in a socket until it is closed.
    pub page_pools: WorkCount<P>,
}

/// How many pieces of work were queued and how many have ended.
#[derive(Debug)]
pub struct WorkCount<P: Platform> {
    queued: P::Gate,
    done: P::Gate,
}

impl<P: Platform> WorkCount<P> {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        WorkCount { queued: P::gate("work_queued", 0), done: P::gate("work_done", 0) }
    }

    /// One piece has ended. Part of its last step: like the release of a lock, only who waits for
    /// it can tell the difference.
    pub fn done(&self) {
        self.done.poke(Rmw::Add(1));
    }

    /// Waits until none is left (`flush_workqueue`), also not such as other work queues.
    pub async fn flush(&self) {
        let mut queued = self.queued();
        while queued > self.done.wait_until(queued).await || queued != self.queued() {
            queued = self.queued();
        }
    }

    fn queued(&self) -> u64 {
        self.queued.poke(Rmw::Add(0))
    }
}

impl<P: Platform> Default for WorkCount<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Platform> Kernel<P> {
    /// `queue_work`, `call_rcu`.
    pub fn queue_work(&self, work: Work<P>) {
        let count = match work {
            Work::PagePoolRelease(_) => &self.page_pools,
            Work::TestThread(..) | Work::RingExit(_) | Work::PercpuRefSwitch(_) => &self.work,
        };
        count.queued.poke(Rmw::Add(1));
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
