//! `ifq->refs`: a `refcount_t`, in a proposal of 2026-07 a `percpu_ref`.

use crate::io_uring::zcrx::Ifq;
use crate::io_uring::zcrx::unregister::io_zcrx_ifq_free;
use crate::platform::{Platform, Ptr};
use crate::prim::percpu_ref::PercpuRef;
use crate::prim::refcount::Refcount;
use crate::work::Work;

/// `ifq->refs`.
#[derive(Debug)]
pub enum IfqRefs<P: Platform> {
    /// `refcount_t`.
    Refcount(Refcount<P>),
    /// `struct percpu_ref`. Its initial reference is that of the users: the last one kills it.
    Percpu(PercpuRef<P>),
}

impl<P: Platform> IfqRefs<P> {
    /// A count of `refs` references.
    #[must_use]
    pub fn new(percpu: bool, refs: u64) -> Self {
        if percpu {
            IfqRefs::Percpu(PercpuRef::with_refs("refs", refs))
        } else {
            IfqRefs::Refcount(Refcount::new("refs", refs))
        }
    }

    /// `refcount_inc` or `percpu_ref_get`.
    pub async fn inc(&self) {
        match self {
            IfqRefs::Refcount(refs) => refs.inc().await,
            IfqRefs::Percpu(refs) => refs.get().await,
        }
    }

    /// `refcount_dec`: the caller knows that it is not the last one.
    pub async fn dec(&self) {
        match self {
            IfqRefs::Refcount(refs) => refs.dec().await,
            IfqRefs::Percpu(refs) => {
                let _ = refs.put().await;
            }
        }
    }

    /// `refcount_dec_and_test` or `percpu_ref_put`: whether it was the last one.
    pub async fn dec_and_test(&self) -> bool {
        match self {
            IfqRefs::Refcount(refs) => refs.dec_and_test().await,
            IfqRefs::Percpu(refs) => refs.put().await,
        }
    }

    /// For checks: the number of references.
    pub fn observe(&self) -> u64 {
        match self {
            IfqRefs::Refcount(refs) => refs.observe(),
            IfqRefs::Percpu(refs) => refs.observe_count(),
        }
    }

    /// `refcount_read`, where the caller decides by the count.
    pub async fn read(&self) -> u64 {
        match self {
            IfqRefs::Refcount(refs) => refs.read().await,
            IfqRefs::Percpu(refs) => refs.observe_count(),
        }
    }
}

/// `percpu_ref_kill(&ifq->refs)` by the last user. Nothing where `refs` is a `refcount_t`.
///
/// Linux: `io_uring/zcrx.c`, proposed after 7.3.
pub(super) async fn kill_refs<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
    if let IfqRefs::Percpu(refs) = &ifq.refs {
        refs.kill().await;
        ifq.kernel.queue_work(Work::IfqRefSwitch(ifq.clone()));
    }
}

/// `percpu_ref_switch_to_atomic_rcu`: the RCU callback that follows the kill.
///
/// Linux: `lib/percpu-refcount.c`, proposed after 7.3.
pub async fn ifq_ref_switch_to_atomic_rcu<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
    let _func = P::func("percpu_ref_switch_to_atomic_rcu");
    if let IfqRefs::Percpu(refs) = &ifq.refs
        && refs.switch_to_atomic_rcu().await
    {
        ifq_pcpu_release(ifq);
    }
}

/// `ifq_pcpu_release`: the last reference is gone. The caller may be in any context, so a work item frees the
/// ifq.
///
/// Linux: `io_uring/zcrx.c`, proposed after 7.3.
pub(super) fn ifq_pcpu_release<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
    let _func = P::func("ifq_pcpu_release");
    ifq.kernel.queue_work(Work::IfqRelease(ifq.clone()));
}

/// `zcrx_release_work`.
///
/// Linux: `io_uring/zcrx.c`, proposed after 7.3.
pub async fn zcrx_release_work<P: Platform>(ifq: &Ptr<P, Ifq<P>>) {
    let _func = P::func("zcrx_release_work");
    io_zcrx_ifq_free(ifq).await;
}
