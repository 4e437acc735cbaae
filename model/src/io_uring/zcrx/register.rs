//! Registration of an ifq in the merged versions (`io_uring/zcrx.c`). The proposal's is in
//! [`super::proxy_v1`].

use crate::errno::{EFAULT, EINVAL, ENODEV, ENOMEM, EPERM};
use crate::fault::FaultPoint;
use crate::io_uring::ctx::IoRingCtx;
use crate::io_uring::uapi::{
    IO_RQ_MAX_ENTRIES, IORING_MEM_REGION_TYPE_USER, IoUringRegionDesc, IoUringZcrxAreaReg,
    IoUringZcrxIfqReg, ZCRX_EVENT_DESC_FLAG_STATS, ZCRX_EVENT_TYPE_MASK, ZCRX_REG_IMPORT,
    ZCRX_REG_NODEV, ZCRX_SUPPORTED_REG_FLAGS, ZcrxEventDesc,
};
use crate::io_uring::zcrx::area::{io_import_area, io_release_area_mem, io_zcrx_create_area};
use crate::io_uring::zcrx::export::import_zcrx;
use crate::io_uring::zcrx::notif::zcrx_set_ring_ctx;
use crate::io_uring::zcrx::refill::ZcrxRq;
use crate::io_uring::zcrx::unregister::{io_close_queue, io_zcrx_ifq_free, zcrx_unregister};
use crate::io_uring::zcrx::{Ifq, io_zcrx_ifq_alloc};
use crate::kernel::Current;
use crate::mm::io_pin_pages;
use crate::net::netdev::{netdev_get_by_index_lock, netif_mp_open_rxq};
use crate::platform::{PlainWord, Platform, Ptr, RawLock};
use crate::revision::Defect;
use crate::uaccess::{UserPtr, copy_from_user, copy_to_user};

/// In [`Ifq::region`]: the memory is user space's.
pub const REGION_USER: u64 = 1;
/// In [`Ifq::region`]: the kernel allocated the memory.
pub const REGION_KERNEL: u64 = 2;

/// `io_register_zcrx`. Under `uring_lock`.
///
/// # Errors
/// -EPERM, -EINVAL and -EFAULT for the caller, its ring and the argument; the errors of
/// [`import_zcrx`]; -ENODEV without a device, the device's errors; -ENOMEM and -EFAULT at the fault
/// points.
///
/// # Divergence from Linux
/// - Left out: dma-buf areas, statistics.
/// - Simplified: the three `copy_to_user` at the end are one.
///
/// Linux: `io_uring/zcrx.c`, 7.1 to 7.3; `io_register_zcrx_ifq`, 6.19 to 7.0.
pub async fn io_register_zcrx<P: Platform>(
    ctx: &Ptr<P, IoRingCtx<P>>,
    current: Current,
    arg: &UserPtr<IoUringZcrxIfqReg<P>>,
) -> Result<u32, i64> {
    let _func = P::func("io_register_zcrx");
    let (kernel, revision) = (&ctx.kernel, ctx.kernel.variant.revision);
    if !current.cap_net_admin {
        return Err(-EPERM);
    }
    if !ctx.setup.defer_taskrun {
        return Err(-EINVAL);
    }
    if !ctx.setup.cqe32 && !ctx.setup.cqe_mixed {
        return Err(-EINVAL);
    }
    let reg = copy_from_user::<P, _>(arg)?;
    if reg.resv != 0 || reg.zcrx_id != 0 {
        return Err(-EINVAL);
    }
    // Reserved before 7.0.
    if !revision.has_rx_buf_len() && reg.rx_buf_len != 0 {
        return Err(-EINVAL);
    }
    // Reserved before 7.2.
    if !revision.has_events() && !reg.event_desc.is_null() {
        return Err(-EINVAL);
    }
    // From 7.1 on. M1 accepts any flag of an import.
    let import = reg.flags & ZCRX_REG_IMPORT != 0;
    if revision.has_nodev()
        && reg.flags & !ZCRX_SUPPORTED_REG_FLAGS != 0
        && (!import || kernel.fixed(Defect::M1))
    {
        return Err(-EINVAL);
    }
    if import {
        return import_zcrx(ctx, reg).await;
    }
    let rd = copy_from_user::<P, _>(&reg.region_ptr)?;
    if reg.if_rxq == u32::MAX || reg.rq_entries == 0 {
        return Err(-EINVAL);
    }
    // Before 7.1.
    if !revision.has_nodev() && reg.flags != 0 {
        return Err(-EINVAL);
    }
    let nodev = reg.flags & ZCRX_REG_NODEV != 0;
    if (reg.if_rxq != 0 || reg.if_idx != 0) && nodev {
        return Err(-EINVAL);
    }
    let mut rq_entries = reg.rq_entries;
    if rq_entries > IO_RQ_MAX_ENTRIES {
        if !ctx.setup.clamp {
            return Err(-EINVAL);
        }
        rq_entries = IO_RQ_MAX_ENTRIES;
    }
    rq_entries = rq_entries.next_power_of_two();

    let area = copy_from_user::<P, _>(&reg.area_ptr)?;
    // From 7.3 on; before, io_import_area() checks it.
    if revision.has_add_area() && area.rq_area_token != 0 {
        return Err(-EINVAL);
    }
    let mut notif = ZcrxEventDesc::default();
    if !reg.event_desc.is_null() {
        notif = *copy_from_user::<P, _>(&reg.event_desc)?;
    }
    if notif.type_mask & !ZCRX_EVENT_TYPE_MASK != 0 {
        return Err(-EINVAL);
    }
    if notif.flags & !ZCRX_EVENT_DESC_FLAG_STATS != 0 {
        return Err(-EINVAL);
    }
    if notif.flags & ZCRX_EVENT_DESC_FLAG_STATS == 0 && notif.stats_offset != 0 {
        return Err(-EINVAL);
    }
    if notif.resv != 0 {
        return Err(-EINVAL);
    }

    if P::fault(FaultPoint::IfqAlloc) {
        return Err(-ENOMEM);
    }
    let ifq = io_zcrx_ifq_alloc(ctx, reg.number, || ZcrxRq::new(&rd.mem, rq_entries));
    ifq.notif.allow(notif.type_mask);

    let errno = 'ifq_free: {
        // Reserves the id.
        let id = {
            let _guard = ctx.mmap_lock.lock().await;
            match ctx.zcrx_ctxs.alloc().await {
                Ok(id) => id,
                Err(errno) => break 'ifq_free errno,
            }
        };
        let errno = 'err: {
            if let Err(errno) = io_allocate_rbuf_ring(&ifq, rq_entries, rd).await {
                break 'err errno;
            }
            let ret = if nodev {
                io_zcrx_create_area(&ifq, area, reg.rx_buf_len, None).await
            } else {
                zcrx_register_netdev(&ifq, reg, area).await
            };
            if let Err(errno) = ret {
                break 'err errno;
            }
            {
                // Publishes the ifq.
                let _guard = ctx.mmap_lock.lock().await;
                if let Err(errno) = ctx.zcrx_ctxs.store(id, &ifq).await {
                    break 'err errno;
                }
            }
            if copy_to_user(kernel).await.is_err() {
                break 'err -EFAULT;
            }
            area.mem.set_token(0);
            if notif.type_mask != 0 {
                zcrx_set_ring_ctx(&ifq, ctx).await;
            }
            return Ok(id);
        };
        // err:
        let _guard = ctx.mmap_lock.lock().await;
        ctx.zcrx_ctxs.erase(id).await;
        errno
    };
    // ifq_free:
    if kernel.fixed(Defect::M3) {
        zcrx_unregister(&ifq, Some(ctx)).await;
    } else {
        if !revision.closes_when_freed() {
            io_close_queue(&ifq).await;
        }
        io_zcrx_ifq_free(&ifq).await;
    }
    Err(errno)
}

/// `io_allocate_rbuf_ring`. The kernel's own pages are zeroed. User memory keeps its contents until M5
/// is fixed (7.1).
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
pub(super) async fn io_allocate_rbuf_ring<P: Platform>(
    ifq: &Ifq<P>,
    rq_entries: u32,
    rd: &IoUringRegionDesc<P>,
) -> Result<(), i64> {
    if rq_entries > rd.size {
        return Err(-EINVAL);
    }
    // io_create_region()
    if P::fault(FaultPoint::RegionCreate) {
        return Err(-ENOMEM);
    }
    let user = rd.flags & IORING_MEM_REGION_TYPE_USER != 0;
    if user {
        io_pin_pages(&ifq.kernel, &rd.mem.pins).await;
    } else {
        rd.mem.pins.pin();
    }
    ifq.region.set(if user { REGION_USER } else { REGION_KERNEL });
    if !user || ifq.kernel.fixed(Defect::M5) {
        rd.mem.clear();
    }
    Ok(())
}

/// `zcrx_register_netdev` (7.1). Before 7.1 it is a part of the registration, which releases the netdev
/// lock before it sets `if_rxq`.
///
/// # Divergence from Linux
/// - Left out: a device without a DMA parent, on which a registration is -EOPNOTSUPP.
///
/// Linux: `io_uring/zcrx.c`, 7.1 to 7.3.
pub(super) async fn zcrx_register_netdev<P: Platform>(
    ifq: &Ptr<P, Ifq<P>>,
    reg: &IoUringZcrxIfqReg<P>,
    area: &IoUringZcrxAreaReg<P>,
) -> Result<(), i64> {
    let _func = P::func("zcrx_register_netdev");
    let (kernel, if_rxq) = (&ifq.kernel, reg.if_rxq);
    let mut imported = None;
    if kernel.fixed(Defect::RegisterPin) {
        imported = Some(io_import_area(kernel, area, true).await);
    }
    let Some((netdev, guard)) = netdev_get_by_index_lock(kernel, reg.if_idx).await else {
        io_release_area_mem(area, imported);
        return Err(-ENODEV);
    };
    netdev.hold();
    ifq.netdev.set(1);
    // netdev_queue_get_dma_dev()
    ifq.dev.set(1);
    io_zcrx_create_area(ifq, area, reg.rx_buf_len, imported).await?;
    netif_mp_open_rxq(netdev, if_rxq, ifq).await?;
    if !kernel.variant.revision.has_nodev() {
        drop(guard);
        ifq.if_rxq.set(u64::from(if_rxq));
        return Ok(());
    }
    ifq.if_rxq.set(u64::from(if_rxq));
    Ok(())
}
