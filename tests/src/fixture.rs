//! A kernel with a ring that owns an ifq without a device: the initial state of the loom suites.

use std::rc::Rc;

use ifq_model::capacity::{Capacities, IfqCapacity, RingCapacity};
use ifq_model::check::Checks;
use ifq_model::io_uring::ctx::{IoRingCtx, io_ring_ctx_alloc};
use ifq_model::io_uring::uapi::{
    IoUringRegionDesc, IoUringZcrxAreaReg, IoUringZcrxIfqReg, ZCRX_REG_IMPORT, ZCRX_REG_NODEV,
};
use ifq_model::io_uring::zcrx::Ifq;
use ifq_model::io_uring::zcrx::area::Area;
use ifq_model::io_uring::zcrx::niov::{NiovRef, io_zcrx_get_niov_uref, zcrx_get_free_niov};
use ifq_model::io_uring::zcrx::register::io_register_zcrx;
use ifq_model::io_uring::zcrx::unregister::{io_terminate_zcrx, io_unregister_zcrx};
use ifq_model::kernel::{Current, Kernel, Task};
use ifq_model::mm::{AreaMem, Records, RqMem};
use ifq_model::platform::{AtomicWord, Kind, Platform, Ptr, RawLock};
use ifq_model::revision::{Revision, Variant};
use ifq_model::uaccess::UserPtr;

/// For rings that register and import, and do not receive: small, because loom bounds the number of objects.
fn capacities(buffers: u32) -> Capacities {
    let ring = RingCapacity { ids: 2, ..RingCapacity::default() };
    let ifq = IfqCapacity { areas: 2, buffers: buffers as usize };
    Capacities {
        exports: 2,
        rings: vec![ring; 4],
        ifqs: [(0, ifq)].into(),
        ..Capacities::default()
    }
}

/// A kernel in which ring 0 owns an ifq.
pub struct IfqFixture<P: Platform> {
    /// The kernel.
    pub kernel: Ptr<P, Kernel<P>>,
    /// Ring 0, the owner.
    pub owner: Ptr<P, IoRingCtx<P>>,
    /// The ifq.
    pub ifq: Ptr<P, Ifq<P>>,
    /// The id of the ifq in ring 0.
    pub id: u32,
    /// The memory of the refill ring.
    pub rq: Ptr<P, RqMem<P>>,
    /// The memory of the area.
    pub mem: Ptr<P, AreaMem<P>>,
}

impl<P: Platform> std::fmt::Debug for IfqFixture<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IfqFixture").field("ifq", &*self.ifq).finish_non_exhaustive()
    }
}

impl<P: Platform> IfqFixture<P> {
    /// Registers an ifq with `buffers` buffers and `entries` entries in the refill ring.
    ///
    /// # Panics
    /// If registration fails.
    pub async fn new(variant: Variant, buffers: u32, entries: u32) -> Self {
        IfqFixture::recording(variant, buffers, entries, Records::default()).await
    }

    /// As [`IfqFixture::new`], with memory that records what checks need.
    ///
    /// # Panics
    /// If registration fails.
    pub async fn recording(variant: Variant, buffers: u32, entries: u32, records: Records) -> Self {
        let kernel: Ptr<P, Kernel<P>> =
            Kernel::alloc(&variant, capacities(buffers), None, Rc::new(Checks::new()));
        let owner = io_ring_ctx_alloc(&kernel, 0, Task::MAIN);
        let mem = AreaMem::alloc_with(0, buffers, records);
        let rq = RqMem::alloc(0, entries);
        let reg = IoUringZcrxIfqReg {
            flags: ZCRX_REG_NODEV,
            rq_entries: entries,
            area_ptr: UserPtr::To(IoUringZcrxAreaReg::of(&mem)),
            region_ptr: UserPtr::To(IoUringRegionDesc::of(&rq)),
            ..IoUringZcrxIfqReg::zeroed(0)
        };
        let current = Current::privileged(Task::MAIN);
        let id = io_register_zcrx(&owner, current, &UserPtr::To(reg)).await;
        let id = id.expect("no fault point fails");
        let ifq = owner.zcrx_ctxs.load(id).await.expect("it is registered");
        IfqFixture { kernel, owner, ifq, id, rq, mem }
    }

    /// [`IfqFixture::new`] on the newest revision without planted defects.
    pub async fn sound(buffers: u32, entries: u32) -> Self {
        IfqFixture::new(Variant::of(Revision::Import73), buffers, entries).await
    }

    /// Allocates another ring.
    #[must_use]
    pub fn ring(&self, number: u32) -> Ptr<P, IoRingCtx<P>> {
        io_ring_ctx_alloc(&self.kernel, number, Task(number))
    }

    /// Delivers a buffer to user space, as a receive without a device does.
    pub async fn deliver_niov(&self) -> Option<NiovRef<P>> {
        let niov = {
            let _guard = self.ifq.alloc_lock.lock().await;
            zcrx_get_free_niov(&self.area().await)?
        };
        niov.pp_ref_count().store_in_step(1);
        io_zcrx_get_niov_uref(&niov).await;
        Some(niov)
    }

    /// Takes all buffers out of the free list and returns their indices, ascending.
    pub async fn drain_freelist(&self) -> Vec<u32> {
        let area = self.area().await;
        let _guard = self.ifq.alloc_lock.lock().await;
        let mut free: Vec<u32> =
            std::iter::from_fn(|| zcrx_get_free_niov(&area)).map(|niov| niov.idx).collect();
        free.sort_unstable();
        free
    }

    async fn area(&self) -> Ptr<P, Area<P>> {
        let _guard = self.ifq.pp_lock.lock().await;
        self.ifq.area().expect("it is registered")
    }

    /// Asserts I3 for ifqs, areas, page pools, files and pinned memory.
    ///
    /// # Panics
    /// If one of them is left.
    pub fn assert_nothing_left(&self) {
        for kind in [Kind::Ifq, Kind::Area, Kind::PagePool] {
            assert_eq!(P::live(kind), 0, "I3: {} is left", kind.name());
        }
        assert_eq!(self.mem.pins.count(), 0, "I3: the area's memory is pinned");
        assert_eq!(self.rq.pins.count(), 0, "I3: the refill ring's memory is pinned");
        assert!(self.kernel.files.open().is_empty(), "I3: a descriptor is open");
    }
}

/// The argument of an import from a descriptor.
#[must_use]
pub fn import_of<P: Platform>(fd: i64) -> IoUringZcrxIfqReg<P> {
    let mut reg = IoUringZcrxIfqReg::zeroed(0);
    (reg.if_idx, reg.flags) = (fd as u32, ZCRX_REG_IMPORT);
    reg
}

/// The part of `io_ring_exit_work` that tears down the ifqs of a ring without requests.
pub async fn exit_ring<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>) {
    {
        let _guard = ctx.uring_lock.lock().await;
        io_terminate_zcrx(ctx).await;
    }
    let _guard = ctx.uring_lock.lock().await;
    io_unregister_zcrx(ctx).await;
}
