//! The arguments of system calls: translates a step and its modifiers into the kernel's structures.

use crate::errno::{EBADF, EOPNOTSUPP};
use crate::io_uring::cancel::CancelBy;
use crate::io_uring::register::Register;
use crate::io_uring::submit::Sqe;
use crate::io_uring::uapi::{
    IORING_MEM_REGION_TYPE_USER, IORING_RECV_MULTISHOT, IORING_RECVSEND_POLL_FIRST,
    IORING_ZCRX_AREA_DMABUF, IORING_ZCRX_IFQ_REG_CLONE, IoUringRegionDesc, IoUringZcrxAreaReg,
    IoUringZcrxIfqReg, ZCRX_EVENT_TYPE_LAST, ZCRX_EVENT_TYPE_MASK, ZCRX_REG_IMPORT, ZCRX_REG_NODEV,
    ZcrxCtrl, ZcrxCtrlOp, ZcrxEventDesc,
};
use crate::io_uring::zcrx::notif::notif_data;
use crate::mm::{AreaMem, RqMem};
use crate::net::netdev::IFINDEX;
use crate::platform::{AtomicWord, Platform, Ptr};
use crate::run_state::ModelRun;
use crate::run_state::requests::event_type;
use crate::test::arg_modifier::{ArgModifier, ArgModifiers};
use crate::test::{Op, RingId, Source, Step, VarId};
use crate::uaccess::UserPtr;

/// A flag that no version knows.
const UNKNOWN_FLAG: u32 = 1 << 30;
/// Not zero: the value of a field that must be zero.
const SET: u32 = 1;
/// An index that names no device.
const NO_IFINDEX: u32 = 999;

/// A pointer to a structure, unless a modifier makes it point to unmapped memory.
fn user_ptr<T>(modifiers: ArgModifiers, fault: ArgModifier, value: T) -> UserPtr<T> {
    if modifiers.has(fault) { UserPtr::Unmapped } else { UserPtr::To(value) }
}

/// The descriptor of a ring is its number.
#[must_use]
pub fn fd_of(ring: RingId) -> i64 {
    i64::from(ring)
}

/// Whether the caller has `CAP_NET_ADMIN`.
#[must_use]
pub fn is_capable(step: &Step) -> bool {
    !step.op.modifiers().has(ArgModifier::NoCap)
}

/// The argument of `io_uring_register(2)` for the step at `index`. `used`: the value of the variable that
/// the step uses.
///
/// # Errors
/// -EOPNOTSUPP for a step that has none, -EBADF if its memory was not prepared.
pub fn register_arg<'r, P: Platform>(
    run: &'r ModelRun<P>,
    index: usize,
    step: &Step,
    used: i64,
) -> Result<Register<'r, P>, i64> {
    let modifiers = step.op.modifiers();
    let register = |reg| Register::ZcrxIfq { arg: user_ptr(modifiers, ArgModifier::ArgFault, reg) };
    match step.op {
        Op::Register { source, entries, .. } => {
            let region = run.regions[index].as_ref().ok_or(-EBADF)?;
            let rq = region.rq.as_ref().ok_or(-EBADF)?;
            let number = run.index.ifq_number(index).ok_or(-EBADF)?;
            let mut reg = ifq_reg(source, entries, modifiers, number);
            if modifiers.has(ArgModifier::StaleRing) && !modifiers.has(ArgModifier::KernelRegion) {
                make_stale(rq);
            }
            let desc = region_desc(rq, modifiers);
            reg.region_ptr = user_ptr(modifiers, ArgModifier::RegionFault, desc);
            let area = area_reg(&region.area, modifiers);
            reg.area_ptr = user_ptr(modifiers, ArgModifier::AreaFault, area);
            Ok(register(reg))
        }
        Op::Clone { from, .. } => {
            let mut reg = share_reg(modifiers);
            reg.flags |= IORING_ZCRX_IFQ_REG_CLONE;
            (reg.if_idx, reg.if_rxq) = (u32::from(from), used as u32);
            Ok(register(reg))
        }
        Op::Import { .. } => {
            let mut reg = share_reg(modifiers);
            reg.flags |= ZCRX_REG_IMPORT;
            reg.if_idx = used as u32;
            reg.if_rxq = field(modifiers, ArgModifier::Rxq);
            Ok(register(reg))
        }
        Op::Export { .. } => {
            let zcrx_fd = run.zcrx_fds[index].as_ref().ok_or(-EBADF)?;
            Ok(ctrl(used, ZcrxCtrlOp::Export(Some(zcrx_fd)), modifiers))
        }
        Op::AddArea { .. } => {
            let mem = &run.regions[index].as_ref().ok_or(-EBADF)?.area;
            let area = area_reg(mem, modifiers);
            let area_ptr = user_ptr(modifiers, ArgModifier::AreaFault, area);
            Ok(ctrl(used, ZcrxCtrlOp::AddArea(area_ptr), modifiers))
        }
        Op::Arm { event, .. } => Ok(ctrl(used, ZcrxCtrlOp::ArmEvent(event_type(event)), modifiers)),
        Op::Flush { .. } => Ok(ctrl(used, ZcrxCtrlOp::FlushRq, modifiers)),
        Op::Enable { .. } => Ok(Register::EnableRings),
        Op::Cancel { request, .. } => {
            let user_data = run.index.binder(request).ok_or(-EBADF)? as u64;
            Ok(Register::SyncCancel(CancelBy::UserData(user_data)))
        }
        Op::CancelSocket { socket, .. } => {
            let sock = run.socks[usize::from(socket)].clone();
            Ok(Register::SyncCancel(CancelBy::Fd(sock)))
        }
        Op::CancelAll { .. } => Ok(Register::SyncCancel(CancelBy::Any)),
        _ => Err(-EOPNOTSUPP),
    }
}

/// A field that a modifier sets and that is zero otherwise.
fn field(modifiers: ArgModifiers, modifier: ArgModifier) -> u32 {
    if modifiers.has(modifier) { SET } else { 0 }
}

/// The fields of a registration but for its area and its region.
fn ifq_reg<P: Platform>(
    source: Source,
    entries: u32,
    modifiers: ArgModifiers,
    number: u32,
) -> IoUringZcrxIfqReg<P> {
    let mut reg = IoUringZcrxIfqReg::zeroed(number);
    match source {
        Source::Nodev => {
            reg.flags = ZCRX_REG_NODEV;
            reg.if_rxq = field(modifiers, ArgModifier::Rxq);
            if modifiers.has(ArgModifier::NodevIdx) {
                reg.if_idx = IFINDEX;
            }
        }
        Source::Queue(queue) => {
            (reg.if_idx, reg.if_rxq) = (IFINDEX, queue);
            if modifiers.has(ArgModifier::NodevIdx) {
                reg.flags = ZCRX_REG_NODEV;
            }
        }
    }
    if modifiers.has(ArgModifier::NoDevice) {
        reg.if_idx = NO_IFINDEX;
    }
    if modifiers.has(ArgModifier::RxqMinusOne) {
        reg.if_rxq = u32::MAX;
    }
    if modifiers.has(ArgModifier::Flags) {
        reg.flags |= UNKNOWN_FLAG;
    }
    if modifiers.has(ArgModifier::RxBufLen) {
        reg.rx_buf_len = 3;
    } else if modifiers.has(ArgModifier::RxBufBig) {
        reg.rx_buf_len = 2 * 4096;
    }
    reg.rq_entries = entries;
    reg.zcrx_id = field(modifiers, ArgModifier::ZcrxId);
    reg.resv = field(modifiers, ArgModifier::Resv).into();
    reg.event_desc = event_desc(modifiers, number);
    reg
}

/// The fields of a clone or an import that must be zero.
fn share_reg<P: Platform>(modifiers: ArgModifiers) -> IoUringZcrxIfqReg<P> {
    let mut reg = IoUringZcrxIfqReg::zeroed(0);
    if modifiers.has(ArgModifier::Flags) {
        reg.flags = UNKNOWN_FLAG;
    }
    reg.rq_entries = field(modifiers, ArgModifier::RqEntries);
    reg.zcrx_id = field(modifiers, ArgModifier::ZcrxId);
    reg.resv = field(modifiers, ArgModifier::Resv).into();
    if modifiers.has(ArgModifier::AreaPtr) {
        reg.area_ptr = UserPtr::Unmapped;
    }
    if modifiers.has(ArgModifier::RegionPtr) {
        reg.region_ptr = UserPtr::Unmapped;
    }
    if modifiers.has(ArgModifier::EventDesc) {
        reg.event_desc = UserPtr::Unmapped;
    }
    reg
}

/// `event_desc`: zero unless a modifier asks for it.
fn event_desc(modifiers: ArgModifiers, number: u32) -> UserPtr<ZcrxEventDesc> {
    use ArgModifier::{EventFault, EventFlags, EventResv, EventStats, EventType, Events};
    let any = [Events, EventFault, EventType, EventFlags, EventStats, EventResv];
    if !any.iter().any(|modifier| modifiers.has(*modifier)) {
        return UserPtr::Null;
    }
    let mut desc = ZcrxEventDesc { user_data: notif_data(number), ..ZcrxEventDesc::default() };
    if modifiers.has(Events) {
        desc.type_mask = ZCRX_EVENT_TYPE_MASK;
    }
    if modifiers.has(EventType) {
        desc.type_mask |= 1 << ZCRX_EVENT_TYPE_LAST;
    }
    if modifiers.has(EventFlags) {
        desc.flags = UNKNOWN_FLAG;
    }
    desc.stats_offset = field(modifiers, EventStats);
    desc.resv = field(modifiers, EventResv).into();
    user_ptr(modifiers, EventFault, desc)
}

fn region_desc<P: Platform>(
    rq: &Ptr<P, RqMem<P>>,
    modifiers: ArgModifiers,
) -> IoUringRegionDesc<P> {
    let mut desc = IoUringRegionDesc::of(rq);
    if modifiers.has(ArgModifier::RegionSmall) {
        desc.size = 0;
    }
    if modifiers.has(ArgModifier::KernelRegion) {
        desc.flags &= !IORING_MEM_REGION_TYPE_USER;
    }
    desc
}

fn area_reg<P: Platform>(
    mem: &Ptr<P, AreaMem<P>>,
    modifiers: ArgModifiers,
) -> IoUringZcrxAreaReg<P> {
    let mut area = IoUringZcrxAreaReg::of(mem);
    if modifiers.has(ArgModifier::AreaUnaligned) {
        area.addr = Some(SET);
    }
    if modifiers.has(ArgModifier::AreaNull) {
        area.addr = None;
    }
    area.rq_area_token = field(modifiers, ArgModifier::AreaToken).into();
    if modifiers.has(ArgModifier::AreaFlags) {
        area.flags = UNKNOWN_FLAG;
    }
    area.dmabuf_fd = field(modifiers, ArgModifier::AreaDmabufFd);
    area.resv = field(modifiers, ArgModifier::AreaResv).into();
    if modifiers.has(ArgModifier::AreaDmabuf) {
        area.flags |= IORING_ZCRX_AREA_DMABUF;
        area.dmabuf_fd = u32::MAX;
    }
    area
}

fn ctrl<'r, P: Platform>(
    zcrx_id: i64,
    op: ZcrxCtrlOp<'r, P>,
    modifiers: ArgModifiers,
) -> Register<'r, P> {
    let ctrl = ZcrxCtrl {
        zcrx_id: zcrx_id as u32,
        op,
        resv: field(modifiers, ArgModifier::Resv).into(),
        op_resv: field(modifiers, ArgModifier::OpResv).into(),
    };
    let arg = user_ptr(modifiers, ArgModifier::ArgFault, ctrl);
    Register::ZcrxCtrl { arg, nr_args: field(modifiers, ArgModifier::NrArgs) }
}

/// The submission of a `recv` step at `index`. `used`: the id of the ifq.
#[must_use]
pub fn recv_sqe<P: Platform>(
    run: &ModelRun<P>,
    index: usize,
    op: &Op,
    used: i64,
) -> Option<Sqe<P>> {
    let Op::Recv { socket, len, modifiers, .. } = *op else { return None };
    let oneshot = modifiers.has(ArgModifier::Oneshot);
    let poll_first = modifiers.has(ArgModifier::PollFirst);
    Some(Sqe {
        user_data: index as u64,
        zcrx_ifq_idx: used as u32,
        sock: run.socks[usize::from(socket)].clone(),
        len,
        ioprio: if oneshot { 0 } else { IORING_RECV_MULTISHOT }
            | if poll_first { IORING_RECVSEND_POLL_FIRST } else { 0 },
        msg_flags: field(modifiers, ArgModifier::MsgFlags),
        addr: field(modifiers, ArgModifier::Addr).into(),
    })
}

/// Leaves indices and an unread entry for buffer 0 in a ring, as an earlier ring in the same memory would.
fn make_stale<P: Platform>(rq: &RqMem<P>) {
    rq.tail.store_in_step(1);
    rq.rqes[0].store_in_step(0);
}

/// Counts that the application is about to arm an event of an ifq.
pub fn count_arming<P: Platform>(run: &ModelRun<P>, ifq: VarId, op: &Op) {
    let Op::Arm { event, .. } = *op else { return };
    let registration = run.index.registration(ifq);
    if let Some(events) = registration.and_then(|step| run.events[step].as_ref()) {
        events.arm(event_type(event));
    }
}
