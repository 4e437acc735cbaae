//! Builds the argument of a system call from the modifiers of a step.

use ifq_model::test::Event;
use ifq_model::test::arg_modifier::{ArgModifier, ArgModifiers};

use super::memory::{Area, IfqMem};
use crate::abi::syscall::{self, NOWHERE};
use crate::abi::uapi::{self, AreaReg, EventDesc, IfqReg, RegionDesc, ZcrxCtrl};

/// An index that no network device has.
pub(super) const NO_DEVICE: u32 = 0x7fff_fff0;
/// A flag bit that no kernel defines.
const UNKNOWN_FLAG: u32 = 1 << 30;

/// A receive queue of a network device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Device {
    /// The index of the device.
    pub(super) index: u32,
    /// The number of the queue.
    pub(super) queue: u32,
}

/// The structures that [`IfqReg`] points to. The kernel also writes into the region descriptor.
#[derive(Debug, Default)]
pub(super) struct Pointed {
    region: RegionDesc,
    event: EventDesc,
}

/// The argument of a registration. `device`: `None` for `ZCRX_REG_NODEV`. The caller handles an unreadable
/// argument.
pub(super) fn registration(
    device: Option<Device>,
    entries: u32,
    modifiers: ArgModifiers,
    (mem, area): (&IfqMem, &Area),
    user_data: u64,
    pointed: &mut Pointed,
) -> IfqReg {
    let has = |modifier| modifiers.has(modifier);
    let one = |modifier| u32::from(has(modifier));
    let nodev = device.is_none() || has(ArgModifier::NodevIdx);
    let (index, queue) = device.map_or((0, 0), |device| (device.index, device.queue));
    let unknown = [ArgModifier::NoDevice, ArgModifier::NodevIdx];
    let unknown = unknown.iter().any(|modifier| has(*modifier));
    pointed.region = region(mem, modifiers);
    pointed.event = event_desc(modifiers, user_data);
    let area = area.describe(&area_reg(area, modifiers));
    let events = [
        ArgModifier::Events,
        ArgModifier::EventType,
        ArgModifier::EventFlags,
        ArgModifier::EventStats,
    ];
    let asks = has(ArgModifier::EventResv) || events.iter().any(|modifier| has(*modifier));
    IfqReg {
        if_idx: if unknown { NO_DEVICE } else { index },
        if_rxq: if has(ArgModifier::RxqMinusOne) {
            u32::MAX
        } else {
            // Only without a device must the field be zero.
            device.map_or(one(ArgModifier::Rxq), |_| queue)
        },
        rq_entries: entries,
        flags: if nodev { uapi::ZCRX_REG_NODEV } else { 0 } | flag(modifiers),
        area_ptr: if has(ArgModifier::AreaFault) { NOWHERE } else { area },
        region_ptr: match has(ArgModifier::RegionFault) {
            true => NOWHERE,
            false => syscall::address(&mut pointed.region),
        },
        rx_buf_len: if has(ArgModifier::RxBufLen) {
            3000
        } else {
            one(ArgModifier::RxBufBig) * 2 * syscall::PAGE as u32
        },
        event_desc: match (has(ArgModifier::EventFault), asks) {
            (true, _) => NOWHERE,
            (false, true) => syscall::address(&mut pointed.event),
            (false, false) => 0,
        },
        ..reserved(modifiers)
    }
}

/// The argument of an import. The caller handles an unreadable argument.
pub(super) fn import(fd: i32, modifiers: ArgModifiers, pointed: &mut Pointed) -> IfqReg {
    let has = |modifier| modifiers.has(modifier);
    let one = |modifier| u32::from(has(modifier));
    let pointer = |modifier, address: u64| if has(modifier) { address } else { 0 };
    IfqReg {
        if_idx: fd.cast_unsigned(),
        if_rxq: one(ArgModifier::Rxq),
        rq_entries: one(ArgModifier::RqEntries),
        flags: uapi::ZCRX_REG_IMPORT | flag(modifiers),
        area_ptr: pointer(ArgModifier::AreaPtr, syscall::address(&mut pointed.region)),
        region_ptr: pointer(ArgModifier::RegionPtr, syscall::address(&mut pointed.region)),
        event_desc: pointer(ArgModifier::EventDesc, syscall::address(&mut pointed.event)),
        ..reserved(modifiers)
    }
}

/// The argument of the proposal's clone: of an id of the ring with this descriptor. The caller handles an unreadable
/// argument.
pub(super) fn clone_of(fd: i32, id: u32, modifiers: ArgModifiers, pointed: &mut Pointed) -> IfqReg {
    let import = import(fd, modifiers, pointed);
    IfqReg { if_rxq: id, flags: uapi::IORING_ZCRX_IFQ_REG_CLONE | flag(modifiers), ..import }
}

/// The undefined flag, if the modifiers ask for it.
fn flag(modifiers: ArgModifiers) -> u32 {
    if modifiers.has(ArgModifier::Flags) { UNKNOWN_FLAG } else { 0 }
}

/// The reserved fields of registration and import.
fn reserved(modifiers: ArgModifiers) -> IfqReg {
    let one = |modifier| u32::from(modifiers.has(modifier));
    IfqReg {
        zcrx_id: one(ArgModifier::ZcrxId),
        resv: [0, u64::from(one(ArgModifier::Resv))],
        ..IfqReg::default()
    }
}

fn region(mem: &IfqMem, modifiers: ArgModifiers) -> RegionDesc {
    let kernel = modifiers.has(ArgModifier::KernelRegion);
    RegionDesc {
        user_addr: if kernel { 0 } else { mem.region.addr() },
        // Sizes are whole pages, so only 0 is smaller than every ring.
        size: if modifiers.has(ArgModifier::RegionSmall) { 0 } else { mem.region.len() as u64 },
        flags: if kernel { 0 } else { uapi::IORING_MEM_REGION_TYPE_USER },
        ..RegionDesc::default()
    }
}

fn event_desc(modifiers: ArgModifiers, user_data: u64) -> EventDesc {
    let one = |modifier| u32::from(modifiers.has(modifier));
    // All defined types, and the first undefined one.
    let known = one(ArgModifier::Events) * ((1 << uapi::ZCRX_EVENT_TYPES) - 1);
    let unknown = one(ArgModifier::EventType) << uapi::ZCRX_EVENT_TYPES;
    EventDesc {
        user_data,
        type_mask: known | unknown,
        flags: one(ArgModifier::EventFlags) * UNKNOWN_FLAG,
        stats_offset: u64::from(one(ArgModifier::EventStats)) * syscall::PAGE as u64,
        resv2: [0, 0, 0, 0, 0, 0, 0, 0, u64::from(one(ArgModifier::EventResv))],
    }
}

/// The description of an area.
pub(super) fn area_reg(area: &Area, modifiers: ArgModifiers) -> AreaReg {
    let one = |modifier| u32::from(modifiers.has(modifier));
    let plain = area.reg();
    AreaReg {
        addr: match modifiers.has(ArgModifier::AreaNull) {
            true => 0,
            false => plain.addr + u64::from(one(ArgModifier::AreaUnaligned)) * 64,
        },
        rq_area_token: u64::from(one(ArgModifier::AreaToken)) << uapi::IORING_ZCRX_AREA_SHIFT,
        flags: (one(ArgModifier::AreaFlags) * UNKNOWN_FLAG)
            | (one(ArgModifier::AreaDmabuf) * uapi::IORING_ZCRX_AREA_DMABUF),
        dmabuf_fd: match modifiers.has(ArgModifier::AreaDmabuf) {
            true => u32::MAX,
            false => one(ArgModifier::AreaDmabufFd),
        },
        resv2: [0, u64::from(one(ArgModifier::AreaResv))],
        ..plain
    }
}

/// The argument of a control operation. `arg`: the first words of its union.
pub(super) fn ctrl(id: u32, op: u32, arg: &[u32], modifiers: ArgModifiers) -> ZcrxCtrl {
    let one = |modifier| u32::from(modifiers.has(modifier));
    let mut ctrl = ZcrxCtrl { zcrx_id: id, op, ..ZcrxCtrl::default() };
    ctrl.resv[1] = u64::from(one(ArgModifier::Resv));
    for (to, from) in ctrl.arg.iter_mut().zip(arg) {
        *to = *from;
    }
    // The last word is reserved for every operation.
    ctrl.arg[11] |= one(ArgModifier::OpResv);
    ctrl
}

/// The number of an event type.
pub(super) fn event_type(event: Event) -> u32 {
    match event {
        Event::AllocFail => 0,
        Event::Copy => 1,
        Event::Unknown => uapi::ZCRX_EVENT_TYPES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each modifier changes the argument of each verb that it fits, or is handled by the caller.
    #[test]
    fn each_modifier_changes_the_argument() {
        let (mem, area) = IfqMem::new(1, 1, false).unwrap();
        let mut pointed = Pointed::default();
        let text = |modifiers: ArgModifiers, verb: &str, pointed: &mut Pointed| match verb {
            "register" => {
                let args = (&mem, &*area);
                let reg = registration(None, 1, modifiers, args, 1, pointed);
                format!("{reg:?} {:?}", (area_reg(&area, modifiers), &pointed))
            }
            "import" => format!("{:?}", import(3, modifiers, pointed)),
            "add-area" => {
                format!("{:?}", (ctrl(0, 3, &[], modifiers), area_reg(&area, modifiers)))
            }
            _ => format!("{:?}", ctrl(0, 0, &[], modifiers)),
        };
        // The capability, the addresses that the caller passes, `nr_args`, and the content of the ring.
        let by_caller = [
            ArgModifier::NoCap,
            ArgModifier::ArgFault,
            ArgModifier::NrArgs,
            ArgModifier::StaleRing,
        ];
        for verb in ["register", "import", "export", "flush", "add-area", "arm"] {
            let plain = text(ArgModifiers::NONE, verb, &mut pointed);
            for &modifier in ArgModifier::ALL {
                let area_fault = verb == "add-area" && modifier == ArgModifier::AreaFault;
                if !modifier.fits(verb) || by_caller.contains(&modifier) || area_fault {
                    continue;
                }
                let with = text(ArgModifiers::NONE.and(modifier), verb, &mut pointed);
                assert_ne!(with, plain, "{verb} with {modifier}");
            }
        }
    }
}
