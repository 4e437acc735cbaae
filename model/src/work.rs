//! Threads that start while a run goes on: work items, RCU callbacks, the test's own threads.

use crate::io_uring::ctx::{self, IoRingCtx};
use crate::kernel::Kernel;
use crate::net::page_pool::{PagePool, page_pool_release_retry};
use crate::platform::{Platform, Ptr};
use crate::run::{ModelRun, run_thread};

/// One thread to be started.
pub enum Work<P: Platform> {
    /// A thread of the test, by index.
    TestThread(Ptr<P, ModelRun<P>>, usize),
    /// `io_ring_exit_work` of a ring.
    RingExit(Ptr<P, IoRingCtx<P>>),
    /// `percpu_ref_switch_to_atomic_rcu` of a ring's `refs`, after `percpu_ref_kill`.
    PercpuRefSwitch(Ptr<P, IoRingCtx<P>>),
    /// `page_pool_release_retry` of a page pool that was destroyed while buffers were out.
    PagePoolRelease(Ptr<P, PagePool<P>>),
}

/// Slots from here on are the kernel's own threads; below are those of user space.
pub const FIRST_KERNEL_SLOT: u32 = 0x100;

/// Who waits for a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkKind {
    /// A thread of the test.
    Thread,
    /// The kernel's own.
    Kernel,
    /// A page pool that waits for its buffers; they may lie in a socket until that is closed.
    PagePool,
}

impl<P: Platform> Work<P> {
    /// Who waits for it.
    #[must_use]
    pub fn kind(&self) -> WorkKind {
        match self {
            Work::TestThread(..) => WorkKind::Thread,
            Work::RingExit(_) | Work::PercpuRefSwitch(_) => WorkKind::Kernel,
            Work::PagePoolRelease(_) => WorkKind::PagePool,
        }
    }

    /// A number that no two threads of a run share, and that does not depend on the order in which
    /// they start. Zero is left to the thread that runs set-up and end.
    #[must_use]
    pub fn slot(&self) -> u32 {
        match self {
            Work::TestThread(_, index) => 1 + *index as u32,
            Work::RingExit(ctx) => FIRST_KERNEL_SLOT + ctx.number * 2,
            Work::PercpuRefSwitch(ctx) => FIRST_KERNEL_SLOT + 1 + ctx.number * 2,
            Work::PagePoolRelease(pp) => 2 * FIRST_KERNEL_SLOT + pp.ifq.number,
        }
    }

    /// The object that it works on, as a word.
    #[must_use]
    pub fn word(&self) -> u64 {
        match self {
            Work::TestThread(world, _) => world.to_word(),
            Work::RingExit(ctx) | Work::PercpuRefSwitch(ctx) => ctx.to_word(),
            Work::PagePoolRelease(pp) => pp.to_word(),
        }
    }

    /// The name of its column in a trace.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Work::TestThread(world, index) => world.test.threads[*index].name.clone(),
            Work::RingExit(ctx) => format!("exit-{}", ctx.number),
            Work::PercpuRefSwitch(ctx) => format!("rcu-{}", ctx.number),
            Work::PagePoolRelease(pp) => format!("pp-{}", pp.ifq.number),
        }
    }

    /// Does it.
    pub async fn run(self) {
        let kernel: Ptr<P, Kernel<P>> = match &self {
            Work::TestThread(world, _) => world.kernel.clone(),
            Work::RingExit(ctx) | Work::PercpuRefSwitch(ctx) => ctx.kernel.clone(),
            Work::PagePoolRelease(pp) => pp.ifq.kernel.clone(),
        };
        let kind = self.kind();
        match self {
            Work::TestThread(world, index) => run_thread(&world, index).await,
            Work::RingExit(ctx) => ctx::io_ring_exit_work(&ctx).await,
            Work::PercpuRefSwitch(ctx) => ctx::percpu_ref_switch_to_atomic_rcu(&ctx).await,
            Work::PagePoolRelease(pp) => page_pool_release_retry(&pp).await,
        }
        kernel.work_done(kind);
    }
}

impl<P: Platform> std::fmt::Debug for Work<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}
