//! Registration of an ifq.

use crate::errno::{EFAULT, EINVAL, ENODEV, ENOMEM};
use crate::fault::FaultPoint;
use crate::io_uring::ctx::IoRingCtx;
use crate::io_uring::zcrx::area::io_zcrx_create_area;
use crate::io_uring::zcrx::rq::ZcrxRq;
use crate::io_uring::zcrx::teardown::zcrx_unregister;
use crate::io_uring::zcrx::{Ifq, io_zcrx_ifq_alloc};
use crate::net::netdev::netif_mp_open_rxq;
use crate::platform::{PlainWord, Platform, Ptr, RawLock};
use crate::scenario::Source;
use crate::user::mem::{AreaMem, RqMem};

/// `IO_RQ_MAX_ENTRIES`.
pub const IO_RQ_MAX_ENTRIES: u32 = 32768;

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
}

/// `io_register_zcrx`. Under `uring_lock`.
///
/// # Errors
/// -EINVAL for no or too many entries, -ENODEV without a device, the device's errors, -ENOMEM and
/// -EFAULT at the fault points, -EBUSY when the ring has no id left.
pub async fn io_register_zcrx<P: Platform>(
    ctx: &Ptr<P, IoRingCtx<P>>,
    reg: &ZcrxIfqReg<P>,
) -> Result<u32, i64> {
    let _func = P::func("io_register_zcrx");
    if reg.rq_entries == 0 || reg.rq_entries > IO_RQ_MAX_ENTRIES {
        return Err(-EINVAL);
    }
    let nr_entries = reg.rq_entries.next_power_of_two();
    if P::fault(FaultPoint::IfqAlloc) {
        return Err(-ENOMEM);
    }
    // io_allocate_rbuf_ring() pins the region in the kernel only after the id is reserved; the
    // memory is the same, and nothing can fail in between here.
    reg.region.pins.pin();
    let ifq = io_zcrx_ifq_alloc(&ctx.kernel, reg.number, || ZcrxRq::new(&reg.region, nr_entries));
    let id = {
        let _guard = ctx.mmap_lock.lock().await;
        ctx.zcrx_ctxs.alloc().await
    };
    let ret = match id {
        Ok(id) => match set_up(ctx, &ifq, reg, id).await {
            Ok(()) => return Ok(id),
            Err(errno) => {
                let _guard = ctx.mmap_lock.lock().await;
                ctx.zcrx_ctxs.erase(id).await;
                Err(errno)
            }
        },
        Err(errno) => Err(errno),
    };
    zcrx_unregister(&ifq).await;
    ret
}

/// What follows the reservation of the id: ring, area, queue, publication, copy to user space.
async fn set_up<P: Platform>(
    ctx: &IoRingCtx<P>,
    ifq: &Ptr<P, Ifq<P>>,
    reg: &ZcrxIfqReg<P>,
    id: u32,
) -> Result<(), i64> {
    reg.region.clear();
    match reg.source {
        Source::Nodev => io_zcrx_create_area(ifq, &reg.area).await?,
        Source::Queue(if_rxq) => zcrx_register_netdev(ifq, reg, if_rxq).await?,
    }
    {
        let _guard = ctx.mmap_lock.lock().await;
        ctx.zcrx_ctxs.store(id, ifq).await?;
    }
    if P::fault(FaultPoint::CopyToUser) {
        return Err(-EFAULT);
    }
    Ok(())
}

/// `zcrx_register_netdev`.
async fn zcrx_register_netdev<P: Platform>(
    ifq: &Ptr<P, Ifq<P>>,
    reg: &ZcrxIfqReg<P>,
    if_rxq: u32,
) -> Result<(), i64> {
    let _func = P::func("zcrx_register_netdev");
    let netdev = ifq.kernel.netdev.as_ref().ok_or(-ENODEV)?;
    let _guard = netdev.lock.lock().await;
    ifq.netdev.set(1);
    io_zcrx_create_area(ifq, &reg.area).await?;
    netif_mp_open_rxq(netdev, if_rxq, ifq).await?;
    ifq.if_rxq.set(u64::from(if_rxq));
    Ok(())
}
