//! Threads that start while a run goes on: work items, RCU callbacks, the test's own threads.

use crate::io_uring::ctx::{self, IoRingCtx};
use crate::kernel::Kernel;
use crate::net::page_pool::{PagePool, page_pool_release_retry};
use crate::platform::{Platform, Ptr};
use crate::world::{World, run_thread};

/// One thread to be started.
pub enum Work<P: Platform> {
    /// A thread of the test, by index.
    TestThread(Ptr<P, World<P>>, usize),
    /// `io_ring_exit_work` of a ring.
    RingExit(Ptr<P, IoRingCtx<P>>),
    /// `percpu_ref_switch_to_atomic_rcu` of a ring's `refs`, after `percpu_ref_kill`.
    PercpuRefSwitch(Ptr<P, IoRingCtx<P>>),
    /// `page_pool_release_retry` of a page pool that was destroyed while buffers were out.
    PagePoolRelease(Ptr<P, PagePool<P>>),
}

impl<P: Platform> Work<P> {
    /// A number that no two threads of a run share, and that does not depend on the order in which
    /// they start. Zero is left to the thread that runs set-up and end.
    #[must_use]
    pub fn slot(&self) -> u32 {
        match self {
            Work::TestThread(_, index) => 1 + *index as u32,
            Work::RingExit(ctx) => 0x100 + ctx.number * 2,
            Work::PercpuRefSwitch(ctx) => 0x101 + ctx.number * 2,
            Work::PagePoolRelease(pp) => 0x200 + pp.ifq.number,
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
        let is_page_pool = matches!(self, Work::PagePoolRelease(_));
        match self {
            Work::TestThread(world, index) => run_thread(&world, index).await,
            Work::RingExit(ctx) => ctx::io_ring_exit_work(&ctx).await,
            Work::PercpuRefSwitch(ctx) => ctx::percpu_ref_switch_to_atomic_rcu(&ctx).await,
            Work::PagePoolRelease(pp) => page_pool_release_retry(&pp).await,
        }
        let count = if is_page_pool { &kernel.page_pools } else { &kernel.work };
        count.done();
    }
}

impl<P: Platform> std::fmt::Debug for Work<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())
    }
}
