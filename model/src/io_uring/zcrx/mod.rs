//! `io_uring/zcrx.c` of Linux 7.3.4, by subject.

pub mod area;
pub mod pp;
pub mod recv;
pub mod register;
pub mod rq;
pub mod share;
pub mod teardown;

use crate::io_uring::zcrx::area::Area;
use crate::io_uring::zcrx::rq::ZcrxRq;
use crate::kernel::Kernel;
use crate::platform::{Kind, PlainWord, Platform, Ptr};
use crate::prim::refcount::Refcount;

/// `if_rxq` of an ifq without a queue.
pub const NO_RXQ: u64 = u32::MAX as u64;

/// `struct io_zcrx_ifq`.
///
/// Divergence from Linux: one area; no events, so `master_ctx` is never set; no accounting of user
/// and mm; the struct device is not counted.
pub struct Ifq<P: Platform> {
    /// Tells ifqs apart in reports: the number of the registering ring, plus 32 for each earlier
    /// registration of that ring.
    pub number: u32,
    /// The kernel.
    pub kernel: Ptr<P, Kernel<P>>,
    /// The area; 0 until it is appended. Written under `rq.lock` and `alloc_lock`, read under any
    /// of these and `pp_lock`.
    pub area: P::Plain,
    /// The refill ring.
    pub rq: ZcrxRq<P>,
    /// Protects the free list.
    pub alloc_lock: P::Lock,
    /// The bound device queue, [`NO_RXQ`] for none.
    pub if_rxq: P::Plain,
    /// Whether `netdev` is set. Under `pp_lock`.
    pub netdev: P::Plain,
    /// What keeps the object: rings, box files, page pools.
    pub refs: Refcount<P>,
    /// Users that may still receive: rings and box files.
    pub user_refs: Refcount<P>,
    /// Page pool and net configuration.
    pub pp_lock: P::Lock,
    /// Protects `master_ctx`.
    pub ctx_lock: P::Lock,
}

impl<P: Platform> std::fmt::Debug for Ifq<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ifq").field("number", &self.number).finish_non_exhaustive()
    }
}

impl<P: Platform> Ifq<P> {
    /// The area, if there is one.
    #[must_use]
    pub fn area(&self) -> Option<Ptr<P, Area<P>>> {
        Ptr::from_word(self.area.get())
    }
}

/// `io_zcrx_ifq_alloc`, after its fault point.
#[must_use]
pub fn io_zcrx_ifq_alloc<P: Platform>(
    kernel: &Ptr<P, Kernel<P>>,
    number: u32,
    rq: impl FnOnce() -> ZcrxRq<P>,
) -> Ptr<P, Ifq<P>> {
    Ptr::alloc(Kind::Ifq, number, || Ifq {
        number,
        kernel: kernel.clone(),
        area: P::plain("areas", 0),
        rq: rq(),
        alloc_lock: P::lock("alloc_lock"),
        if_rxq: P::plain("if_rxq", NO_RXQ),
        netdev: P::plain("netdev", 0),
        refs: Refcount::new("refs", 1),
        user_refs: Refcount::new("user_refs", 1),
        pp_lock: P::lock("pp_lock"),
        ctx_lock: P::lock("ctx_lock"),
    })
}
