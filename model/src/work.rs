//! Work items and RCU callbacks of the kernel.

use crate::io_uring::ctx::{IoRingCtx, io_ring_exit_work, percpu_ref_switch_to_atomic_rcu};
use crate::io_uring::zcrx::Ifq;
use crate::io_uring::zcrx::refs::{ifq_ref_switch_to_atomic_rcu, zcrx_release_work};
use crate::kernel::{Kernel, WorkCounter};
use crate::net::page_pool::{PagePool, page_pool_release_retry};
pub use crate::platform::FIRST_KERNEL_SLOT;
use crate::platform::{NewThread, PlainWord, Platform, Ptr};

/// One work item or RCU callback.
pub enum Work<P: Platform> {
    /// `io_ring_exit_work` of a ring.
    RingExit(Ptr<P, IoRingCtx<P>>),
    /// `percpu_ref_switch_to_atomic_rcu` of a ring's `refs`, after `percpu_ref_kill`.
    PercpuRefSwitch(Ptr<P, IoRingCtx<P>>),
    /// `percpu_ref_switch_to_atomic_rcu` of an ifq's `refs`, after `percpu_ref_kill`.
    IfqRefSwitch(Ptr<P, Ifq<P>>),
    /// `zcrx_release_work` of an ifq.
    IfqRelease(Ptr<P, Ifq<P>>),
    /// `page_pool_release_retry` of a page pool that was destroyed before all buffers were back.
    PagePoolRelease(Ptr<P, PagePool<P>>),
}

impl<P: Platform> Work<P> {
    /// The slot of the thread that runs the item, see [`NewThread::slot`].
    fn slot(&self) -> u32 {
        match self {
            Work::RingExit(ctx) => FIRST_KERNEL_SLOT + ctx.number * 2,
            Work::PercpuRefSwitch(ctx) => FIRST_KERNEL_SLOT + 1 + ctx.number * 2,
            Work::IfqRefSwitch(ifq) => 2 * FIRST_KERNEL_SLOT + ifq.number + (1 << 30),
            Work::IfqRelease(ifq) => 2 * FIRST_KERNEL_SLOT + ifq.number + (2 << 30),
            Work::PagePoolRelease(pp) => {
                2 * FIRST_KERNEL_SLOT + pp.ifq().number + ((pp.number.get() as u32) << 20)
            }
        }
    }

    fn object(&self) -> u64 {
        match self {
            Work::RingExit(ctx) | Work::PercpuRefSwitch(ctx) => ctx.to_word(),
            Work::IfqRefSwitch(ifq) | Work::IfqRelease(ifq) => ifq.to_word(),
            Work::PagePoolRelease(pp) => pp.to_word(),
        }
    }

    fn name(&self) -> (&'static str, u32) {
        match self {
            Work::RingExit(ctx) => ("exit", ctx.number),
            Work::PercpuRefSwitch(ctx) => ("rcu", ctx.number),
            Work::IfqRefSwitch(ifq) => ("ifq-rcu", ifq.number),
            Work::IfqRelease(ifq) => ("release", ifq.number),
            Work::PagePoolRelease(pp) => ("pp", pp.ifq().number),
        }
    }

    fn kernel(&self) -> Ptr<P, Kernel<P>> {
        match self {
            Work::RingExit(ctx) | Work::PercpuRefSwitch(ctx) => ctx.kernel.clone(),
            Work::IfqRefSwitch(ifq) | Work::IfqRelease(ifq) => ifq.kernel.clone(),
            Work::PagePoolRelease(pp) => pp.ifq().kernel.clone(),
        }
    }

    /// The counter that counts the item while it is queued or runs.
    pub(crate) fn counter<'k>(&self, kernel: &'k Kernel<P>) -> &'k WorkCounter<P> {
        match self {
            Work::RingExit(_) | Work::PercpuRefSwitch(_) | Work::IfqRefSwitch(_) => &kernel.work,
            // The last reference on an ifq can be a page pool's.
            Work::IfqRelease(_) | Work::PagePoolRelease(_) => &kernel.page_pools,
        }
    }

    /// The thread that runs the item.
    pub(crate) fn into_thread(self) -> NewThread {
        let (slot, object, (name, number)) = (self.slot(), self.object(), self.name());
        NewThread {
            slot,
            object,
            name: Box::new(move || format!("{name}-{number}")),
            body: Box::pin(self.run()),
        }
    }

    async fn run(self) {
        let kernel = self.kernel();
        match &self {
            Work::RingExit(ctx) => io_ring_exit_work(ctx).await,
            Work::PercpuRefSwitch(ctx) => percpu_ref_switch_to_atomic_rcu(ctx).await,
            Work::IfqRefSwitch(ifq) => ifq_ref_switch_to_atomic_rcu(ifq).await,
            Work::IfqRelease(ifq) => zcrx_release_work(ifq).await,
            Work::PagePoolRelease(pp) => page_pool_release_retry(pp).await,
        }
        self.counter(&kernel).done();
    }
}

impl<P: Platform> std::fmt::Debug for Work<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, number) = self.name();
        write!(f, "{name}-{number}")
    }
}
