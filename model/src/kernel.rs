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
    /// Pieces of work that were queued.
    pub work_queued: P::Gate,
    /// Pieces of work that have ended.
    pub work_done: P::Gate,
}

impl<P: Platform> Kernel<P> {
    /// `queue_work`, `call_rcu`.
    pub fn queue_work(&self, work: Work<P>) {
        self.work_queued.poke(Rmw::Add(1));
        P::queue_work(work);
    }

    /// Waits until no work is left (`flush_workqueue`), also not such as other work queues.
    pub async fn flush_work(&self) {
        loop {
            let queued = self.work_queued.load().await;
            self.work_done.wait_until(queued).await;
            if self.work_queued.load().await == queued {
                break;
            }
        }
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
