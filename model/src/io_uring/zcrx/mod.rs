//! `io_uring/zcrx.c` of Linux 7.3.4, by subject, with what earlier versions do differently.

pub mod area;
pub mod export;
pub mod memory_provider;
pub mod mmap;
pub mod niov;
pub mod notif;
pub mod proxy_v1;
pub mod recvmsg;
pub mod refill;
pub mod refs;
pub mod register;
pub mod scrub;
pub mod share_v3;
pub mod share_v4;
pub mod unregister;

use crate::io_uring::ctx::IoRingCtx;
use crate::io_uring::zcrx::area::Area;
use crate::io_uring::zcrx::notif::Notif;
use crate::io_uring::zcrx::refill::ZcrxRq;
use crate::io_uring::zcrx::refs::IfqRefs;
use crate::kernel::Kernel;
use crate::platform::{Kind, Label, PlainWord, Platform, Ptr};
use crate::prim::refcount::Refcount;
use crate::revision::Defect;

/// `if_rxq` of an ifq without a queue: -1.
pub const NO_RXQ: u64 = u32::MAX as u64;

/// `ZCRX_MAX_AREAS` (7.3).
pub const ZCRX_MAX_AREAS: usize = 1024;

/// `struct io_zcrx_ifq`.
///
/// # Divergence from Linux
/// - Left out: statistics of copies, accounting of user and mm, the reference on `struct device`.
pub struct Ifq<P: Platform> {
    /// Tells ifqs apart in reports: the number of the registering ring, plus 32 for each earlier
    /// registration of that ring.
    pub number: u32,
    /// The kernel.
    pub kernel: Ptr<P, Kernel<P>>,
    /// The ring that registered the ifq. Only the proposal and its base use it (`ctx`); the merged
    /// versions keep no pointer to the ring.
    pub ctx: Ptr<P, IoRingCtx<P>>,
    /// The source ifq of a proxy (proposal).
    pub proxy: Option<Ptr<P, Ifq<P>>>,
    /// The areas by id. Written under `pp_lock`, `rq.lock` and `alloc_lock`, read under any of them.
    areas: Vec<P::Plain>,
    /// How many areas there are; locked as `areas`.
    nr_areas: P::Plain,
    /// `rq_region`: see [`register::REGION_USER`]; 0: there is none.
    pub region: P::Plain,
    /// The refill ring.
    pub rq: ZcrxRq<P>,
    /// Protects the free list.
    pub alloc_lock: P::Lock,
    /// The bound device queue, [`NO_RXQ`] for none.
    pub if_rxq: P::Plain,
    /// Whether `dev` is set: areas are mapped for the device.
    pub dev: P::Plain,
    /// Whether `netdev` is set, and a reference to the device is held. Under `pp_lock`.
    pub netdev: P::Plain,
    /// References that keep the object: rings, box files, page pools.
    pub refs: IfqRefs<P>,
    /// Users that may still receive: rings and box files.
    pub user_refs: Refcount<P>,
    /// Protects page pool and net configuration.
    pub pp_lock: P::Lock,
    /// Part of the fix of M3 where page pools hold the ring: one reference for each page pool and one
    /// for the ring.
    pub pool_refs: Refcount<P>,
    /// Not in Linux: how many page pools the ifq has had, which tells them apart. Under the netdev lock.
    pub nr_pools: P::Plain,
    /// Events.
    pub notif: Notif<P>,
}

impl<P: Platform> std::fmt::Debug for Ifq<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ifq").field("number", &self.number).finish_non_exhaustive()
    }
}

impl<P: Platform> Ifq<P> {
    /// `ifq->nr_areas`.
    ///
    /// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
    #[must_use]
    pub fn nr_areas(&self) -> usize {
        self.nr_areas.get() as usize
    }

    /// The area with this id, if there is one.
    #[must_use]
    pub fn area_at(&self, area_id: usize) -> Option<Ptr<P, Area<P>>> {
        let word = self.areas[..self.nr_areas()].get(area_id)?;
        Ptr::from_word(word.get())
    }

    /// The first area, if there is one.
    #[must_use]
    pub fn area(&self) -> Option<Ptr<P, Area<P>>> {
        self.area_at(0)
    }

    /// The areas by id.
    pub fn areas(&self) -> impl Iterator<Item = Ptr<P, Area<P>>> + '_ {
        self.areas[..self.nr_areas()].iter().filter_map(|word| Ptr::from_word(word.get()))
    }

    /// For checks: the areas by id, without a lock.
    pub fn observe_areas(&self) -> impl Iterator<Item = Ptr<P, Area<P>>> + '_ {
        let nr = self.nr_areas.observe() as usize;
        self.areas[..nr].iter().filter_map(|word| Ptr::from_word(word.observe()))
    }

    /// Whether page pools hold a reference on the ring (`ifq->ctx->refs`, 6.18) and not on the ifq.
    #[must_use]
    pub(super) fn pools_hold_ring(&self) -> bool {
        self.kernel.variant.revision.has_shutdown() && !self.kernel.fixed(Defect::P8)
    }

    /// Whether page pools hold no reference at all (v4 of the proposal).
    #[must_use]
    pub(super) fn pools_hold_nothing(&self) -> bool {
        let revision = self.kernel.variant.revision;
        revision.has_clone() && !revision.has_shutdown() && !self.kernel.fixed(Defect::P21)
    }

    /// An ifq as `kzalloc` and the initialisations leave it. `refs`: the initial reference counts.
    #[must_use]
    pub(super) fn new(
        ctx: &Ptr<P, IoRingCtx<P>>,
        number: u32,
        proxy: Option<Ptr<P, Ifq<P>>>,
        refs: u64,
        rq: ZcrxRq<P>,
    ) -> Self {
        // A proxy has no areas.
        let areas = match proxy {
            Some(_) => 0,
            None => ctx.kernel.capacities.ifq(number).areas.min(ZCRX_MAX_AREAS),
        };
        Ifq {
            number,
            kernel: ctx.kernel.clone(),
            ctx: ctx.clone(),
            proxy,
            areas: (0..areas).map(|_| P::plain(Label::pointer("areas", 0), 0)).collect(),
            nr_areas: P::plain("nr_areas", 0),
            region: P::plain("region", 0),
            rq,
            alloc_lock: P::lock("alloc_lock"),
            if_rxq: P::plain("if_rxq", NO_RXQ),
            dev: P::plain("dev", 0),
            netdev: P::plain("netdev", 0),
            refs: IfqRefs::new(ctx.kernel.variant.revision.has_percpu_refs(), refs),
            user_refs: Refcount::new("user_refs", refs),
            pp_lock: P::lock("pp_lock"),
            pool_refs: Refcount::new("pool_refs", 1),
            nr_pools: P::plain("nr_pools", 0),
            notif: Notif::new(number),
        }
    }
}

/// `io_zcrx_ifq_alloc`, after its fault point.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
#[must_use]
pub fn io_zcrx_ifq_alloc<P: Platform>(
    ctx: &Ptr<P, IoRingCtx<P>>,
    number: u32,
    rq: impl FnOnce() -> ZcrxRq<P>,
) -> Ptr<P, Ifq<P>> {
    Ptr::alloc(Kind::Ifq, number, || Ifq::new(ctx, number, None, 1, rq()))
}
