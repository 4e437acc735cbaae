//! Registration of an ifq.

use crate::errno::{EINVAL, ENODEV, ENOMEM, EPERM};
use crate::fault::FaultPoint;
use crate::io_uring::ctx::IoRingCtx;
use crate::io_uring::zcrx::area::{AreaReg, io_zcrx_create_area, io_zcrx_scrub};
use crate::io_uring::zcrx::clone::{CloneReg, UringGuard, io_clone_zcrx_ifq};
use crate::io_uring::zcrx::events::{check_event_desc, zcrx_set_ring_ctx};
use crate::io_uring::zcrx::pp::{holds_ring, put_pool_ref};
use crate::io_uring::zcrx::rq::ZcrxRq;
use crate::io_uring::zcrx::share::import_zcrx;
use crate::io_uring::zcrx::teardown::{io_close_queue, io_zcrx_ifq_free, zcrx_unregister};
use crate::io_uring::zcrx::{Ifq, io_zcrx_ifq_alloc};
use crate::net::netdev::{netdev_get_by_index_lock, netif_mp_open_rxq};
use crate::platform::{PlainWord, Platform, Ptr, RawLock};
use crate::revision::{Defect, Revision};
use crate::test::Source;
use crate::test::arg_modifier::{ArgModifier, ArgModifiers};
use crate::uaccess::{copy_from_user, copy_to_user};
use crate::user::mem::{AreaMem, RqMem};

/// `IO_RQ_MAX_ENTRIES`.
pub const IO_RQ_MAX_ENTRIES: u32 = 32768;

/// In [`Ifq::region`]: the memory is user space's (`IORING_MEM_REGION_TYPE_USER`).
pub const REGION_USER: u64 = 1;
/// In [`Ifq::region`]: the memory is the kernel's own.
pub const REGION_KERNEL: u64 = 2;

/// `struct io_uring_zcrx_ifq_reg` with what it points to.
#[derive(Clone, Debug)]
pub struct ZcrxIfqReg<P: Platform> {
    /// `if_idx`, `if_rxq`, `ZCRX_REG_NODEV`.
    pub source: Source,
    /// `rq_entries`.
    pub rq_entries: u32,
    /// `area_ptr`: the memory for packets.
    pub area: Ptr<P, AreaMem<P>>,
    /// `region_ptr`: the memory of the refill ring.
    pub region: Ptr<P, RqMem<P>>,
    /// Number for reports, see [`Ifq::number`].
    pub number: u32,
    /// What is unusual about it.
    pub modifiers: ArgModifiers,
}

impl<P: Platform> ZcrxIfqReg<P> {
    /// `ZCRX_REG_NODEV` is set.
    fn nodev(&self) -> bool {
        self.source == Source::Nodev || self.modifiers.has(ArgModifier::NodevIdx)
    }

    /// `if_idx` or `if_rxq` is set.
    fn names_device(&self) -> bool {
        const SET: [ArgModifier; 3] =
            [ArgModifier::NodevIdx, ArgModifier::NoDevice, ArgModifier::Rxq];
        self.source != Source::Nodev || SET.iter().any(|modifier| self.modifiers.has(*modifier))
    }
}

/// `io_register_zcrx` with flag 1, which is `IORING_ZCRX_IFQ_REG_CLONE` in the proposal and
/// `ZCRX_REG_IMPORT` in the merged revisions. Under `uring_lock`; `own`: that hold of it.
///
/// # Errors
/// -EPERM, -EINVAL and -EFAULT for the caller, its ring and the argument, and the errors of
/// [`io_clone_zcrx_ifq`] and [`import_zcrx`].
pub async fn io_register_zcrx_shared<'a, P: Platform>(
    ctx: &'a Ptr<P, IoRingCtx<P>>,
    reg: &CloneReg,
    own: &mut UringGuard<'a, P>,
) -> Result<u32, i64> {
    let _func = P::func("io_register_zcrx");
    check_caller(ctx, reg.modifiers)?;
    let revision = ctx.kernel.variant.revision;
    if revision.has_proxies() {
        return io_clone_zcrx_ifq(ctx, reg, own).await;
    }
    check_reserved(revision, reg.modifiers)?;
    import_check(ctx, reg)?;
    import_zcrx(ctx, reg.if_idx).await
}

/// The checks at the start of `import_zcrx`.
///
/// # Errors
/// -EINVAL for a field that an import does not use, and (without M1) for any other flag.
fn import_check<P: Platform>(ctx: &IoRingCtx<P>, reg: &CloneReg) -> Result<(), i64> {
    const UNUSED: [ArgModifier; 4] = [
        ArgModifier::RqEntries,
        ArgModifier::AreaPtr,
        ArgModifier::RegionPtr,
        ArgModifier::EventDesc,
    ];
    if reg.if_rxq != 0 || UNUSED.iter().any(|modifier| reg.modifiers.has(*modifier)) {
        return Err(-EINVAL);
    }
    if reg.modifiers.has(ArgModifier::Flags) && !ctx.kernel.has(Defect::M1) {
        return Err(-EINVAL);
    }
    Ok(())
}

/// The caller's capability, the ring's set-up, the argument.
fn check_caller<P: Platform>(ctx: &IoRingCtx<P>, modifiers: ArgModifiers) -> Result<(), i64> {
    if modifiers.has(ArgModifier::NoCap) {
        return Err(-EPERM);
    }
    if !ctx.setup.defer_taskrun || !ctx.setup.cqe32 {
        return Err(-EINVAL);
    }
    copy_from_user::<P>(!modifiers.has(ArgModifier::ArgFault))
}

/// What must be zero in every argument. `rx_buf_len` came with 7.0, `event_desc` with 7.2; before,
/// their places were reserved.
fn check_reserved(revision: Revision, modifiers: ArgModifiers) -> Result<(), i64> {
    use ArgModifier::{
        EventDesc, EventFault, EventFlags, EventResv, EventStats, EventType, Events,
    };
    const RX_BUF_LEN: [ArgModifier; 2] = [ArgModifier::RxBufLen, ArgModifier::RxBufBig];
    const EVENT_DESC: [ArgModifier; 7] =
        [EventDesc, Events, EventFault, EventType, EventFlags, EventStats, EventResv];
    let any = |list: &[ArgModifier]| list.iter().any(|modifier| modifiers.has(*modifier));
    let reserved = any(&[ArgModifier::Resv, ArgModifier::ZcrxId])
        || !revision.has_rx_buf_len() && any(&RX_BUF_LEN)
        || !revision.has_events() && any(&EVENT_DESC);
    if reserved { Err(-EINVAL) } else { Ok(()) }
}

/// `io_register_zcrx`, in 6.18 and 6.19 `io_register_zcrx_ifq`. Under `uring_lock`.
///
/// # Errors
/// -EPERM, -EINVAL and -EFAULT for the caller, its ring and the argument; -ENODEV without a device,
/// the device's errors; -ENOMEM and -EFAULT at the fault points; -EBUSY when the ring has no id left.
pub async fn io_register_zcrx<P: Platform>(
    ctx: &Ptr<P, IoRingCtx<P>>,
    reg: &ZcrxIfqReg<P>,
) -> Result<u32, i64> {
    let _func = P::func("io_register_zcrx");
    check_caller(ctx, reg.modifiers)?;
    let nr_entries = check_reg(ctx, reg)?;
    let type_mask = copy_area_and_events(ctx, reg)?;
    if P::fault(FaultPoint::IfqAlloc) {
        return Err(-ENOMEM);
    }
    let ifq = io_zcrx_ifq_alloc(ctx, reg.number, || ZcrxRq::new(&reg.region, nr_entries));
    ifq.notif.allow(type_mask);
    let id = {
        let _guard = ctx.mmap_lock.lock().await;
        ctx.zcrx_ctxs.alloc().await
    };
    let ret = match id {
        Ok(id) => match set_up(ctx, &ifq, reg, id).await {
            Ok(()) => {
                if type_mask != 0 {
                    zcrx_set_ring_ctx(&ifq, ctx).await;
                }
                return Ok(id);
            }
            Err(errno) => {
                let _guard = ctx.mmap_lock.lock().await;
                ctx.zcrx_ctxs.erase(id).await;
                Err(errno)
            }
        },
        Err(errno) => Err(errno),
    };
    undo(ctx, &ifq).await;
    ret
}

/// Where a registration that failed ends.
async fn undo<P: Platform>(ctx: &Ptr<P, IoRingCtx<P>>, ifq: &Ptr<P, Ifq<P>>) {
    if ctx.kernel.has(Defect::M3) {
        if !ctx.kernel.variant.revision.closes_when_freed() {
            io_close_queue(ifq).await;
        }
        io_zcrx_ifq_free(ifq).await;
    } else if holds_ring(ifq) {
        io_close_queue(ifq).await;
        io_zcrx_scrub(ifq).await;
        put_pool_ref(ifq).await;
    } else {
        zcrx_unregister(ifq, Some(ctx)).await;
    }
}

/// The checks of the argument itself, in the order of each kernel: the number of entries.
fn check_reg<P: Platform>(ctx: &IoRingCtx<P>, reg: &ZcrxIfqReg<P>) -> Result<u32, i64> {
    let (revision, modifiers) = (ctx.kernel.variant.revision, reg.modifiers);
    let copy_region = || copy_from_user::<P>(!modifiers.has(ArgModifier::RegionFault));
    if revision.has_proxies() {
        copy_region()?;
    }
    check_reserved(revision, modifiers)?;
    if revision.has_nodev() && modifiers.has(ArgModifier::Flags) {
        return Err(-EINVAL);
    }
    if !revision.has_proxies() {
        copy_region()?;
    }
    if modifiers.has(ArgModifier::RxqMinusOne) || reg.rq_entries == 0 {
        return Err(-EINVAL);
    }
    // Before 7.1 no flag is known.
    if !revision.has_nodev() && (modifiers.has(ArgModifier::Flags) || reg.nodev()) {
        return Err(-EINVAL);
    }
    if reg.nodev() && reg.names_device() {
        return Err(-EINVAL);
    }
    if reg.rq_entries > IO_RQ_MAX_ENTRIES && !ctx.setup.clamp {
        return Err(-EINVAL);
    }
    Ok(reg.rq_entries.min(IO_RQ_MAX_ENTRIES).next_power_of_two())
}

/// Reads what the argument points to: the mask of events that are asked for.
fn copy_area_and_events<P: Platform>(ctx: &IoRingCtx<P>, reg: &ZcrxIfqReg<P>) -> Result<u64, i64> {
    copy_from_user::<P>(!reg.modifiers.has(ArgModifier::AreaFault))?;
    let revision = ctx.kernel.variant.revision;
    // Before 7.3 it is looked at when the area is made.
    if revision.has_add_area() && reg.modifiers.has(ArgModifier::AreaToken) {
        return Err(-EINVAL);
    }
    if !revision.has_events() {
        return Ok(0);
    }
    check_event_desc::<P>(reg.modifiers)
}

/// What follows the reservation of the id: ring, area, queue, publication, copy to user space.
async fn set_up<P: Platform>(
    ctx: &IoRingCtx<P>,
    ifq: &Ptr<P, Ifq<P>>,
    reg: &ZcrxIfqReg<P>,
    id: u32,
) -> Result<(), i64> {
    io_allocate_rbuf_ring(ifq, reg)?;
    let area = AreaReg { mem: reg.area.clone(), modifiers: reg.modifiers };
    match reg.source {
        Source::Nodev => io_zcrx_create_area(ifq, &area).await?,
        Source::Queue(if_rxq) => zcrx_register_netdev(ifq, &area, if_rxq).await?,
    }
    {
        let _guard = ctx.mmap_lock.lock().await;
        ctx.zcrx_ctxs.store(id, ifq).await?;
    }
    // Argument, region, area: three copies with nothing in between.
    copy_to_user(&ctx.kernel).await?;
    reg.area.set_token(0);
    Ok(())
}

/// `io_allocate_rbuf_ring`. The kernel's own pages are zeroed, user space's hold what they held.
fn io_allocate_rbuf_ring<P: Platform>(ifq: &Ifq<P>, reg: &ZcrxIfqReg<P>) -> Result<(), i64> {
    if reg.modifiers.has(ArgModifier::RegionSmall) {
        return Err(-EINVAL);
    }
    // io_create_region()
    if P::fault(FaultPoint::RegionCreate) {
        return Err(-ENOMEM);
    }
    reg.region.pins.pin();
    let kernel_region = reg.modifiers.has(ArgModifier::KernelRegion);
    ifq.region.set(if kernel_region { REGION_KERNEL } else { REGION_USER });
    if kernel_region || !ifq.kernel.has(Defect::M5) {
        reg.region.clear();
    }
    Ok(())
}

/// `zcrx_register_netdev` (7.1); before, a part of the registration itself.
async fn zcrx_register_netdev<P: Platform>(
    ifq: &Ptr<P, Ifq<P>>,
    area: &AreaReg<P>,
    if_rxq: u32,
) -> Result<(), i64> {
    let _func = P::func("zcrx_register_netdev");
    if area.modifiers.has(ArgModifier::NoDevice) {
        return Err(-ENODEV);
    }
    let netdev = ifq.kernel.netdev.as_ref().ok_or(-ENODEV)?;
    let guard = netdev_get_by_index_lock(netdev).await.ok_or(-ENODEV)?;
    netdev.hold();
    ifq.netdev.set(1);
    ifq.dev.set(1);
    io_zcrx_create_area(ifq, area).await?;
    netif_mp_open_rxq(netdev, if_rxq, ifq).await?;
    if !ifq.kernel.variant.revision.has_nodev() {
        drop(guard);
        ifq.if_rxq.set(u64::from(if_rxq));
        return Ok(());
    }
    ifq.if_rxq.set(u64::from(if_rxq));
    Ok(())
}
