//! The argument of a system call as a step's quirks have it.

use ifq_model::quirk::{Quirk, Quirks};
use ifq_model::scenario::{Event, Source};

use super::memory::{Area, IfqMem};
use crate::abi::{self, AreaReg, EventDesc, IfqReg, RegionDesc, ZcrxCtrl};
use crate::sys::{self, NOWHERE};

/// A number of which no network device has the index.
const NO_DEVICE: u32 = 0x7fff_fff0;
/// A bit that no kernel knows, of any of the flags.
const UNKNOWN_FLAG: u32 = 1 << 30;

/// What [`IfqReg`] points to. The kernel writes into the region's description, too.
#[derive(Debug, Default)]
pub(super) struct Pointed {
    region: RegionDesc,
    event: EventDesc,
}

/// The argument of a registration, except for what cannot be read.
pub(super) fn registration(
    source: Source,
    entries: u32,
    quirks: Quirks,
    (mem, area): (&IfqMem, &Area),
    user_data: u64,
    pointed: &mut Pointed,
) -> IfqReg {
    let has = |quirk| quirks.has(quirk);
    let one = |quirk| u32::from(has(quirk));
    let nodev = source == Source::Nodev || has(Quirk::NodevIdx);
    let queue = if let Source::Queue(queue) = source { queue } else { 0 };
    let devices = [Quirk::NoDevice, Quirk::NodevIdx];
    let names_device = source != Source::Nodev || devices.iter().any(|quirk| has(*quirk));
    pointed.region = region(mem, quirks);
    pointed.event = event_desc(quirks, user_data);
    let area = area.describe(&area_reg(area, quirks));
    let events = [Quirk::Events, Quirk::EventType, Quirk::EventFlags, Quirk::EventStats];
    let asks = has(Quirk::EventResv) || events.iter().any(|quirk| has(*quirk));
    IfqReg {
        if_idx: if names_device { NO_DEVICE } else { 0 },
        if_rxq: if has(Quirk::RxqMinusOne) { u32::MAX } else { queue | one(Quirk::Rxq) },
        rq_entries: entries,
        flags: if nodev { abi::ZCRX_REG_NODEV } else { 0 } | flag(quirks),
        area_ptr: if has(Quirk::AreaFault) { NOWHERE } else { area },
        region_ptr: match has(Quirk::RegionFault) {
            true => NOWHERE,
            false => sys::address(&mut pointed.region),
        },
        rx_buf_len: if has(Quirk::RxBufLen) {
            3000
        } else {
            one(Quirk::RxBufBig) * 2 * sys::PAGE as u32
        },
        event_desc: match (has(Quirk::EventFault), asks) {
            (true, _) => NOWHERE,
            (false, true) => sys::address(&mut pointed.event),
            (false, false) => 0,
        },
        ..reserved(quirks)
    }
}

/// The argument of an import from a descriptor, except for what cannot be read.
pub(super) fn import(fd: i32, quirks: Quirks, pointed: &mut Pointed) -> IfqReg {
    let has = |quirk| quirks.has(quirk);
    let one = |quirk| u32::from(has(quirk));
    let pointer = |quirk, address: u64| if has(quirk) { address } else { 0 };
    IfqReg {
        if_idx: fd.cast_unsigned(),
        if_rxq: one(Quirk::Rxq),
        rq_entries: one(Quirk::RqEntries),
        flags: abi::ZCRX_REG_IMPORT | flag(quirks),
        area_ptr: pointer(Quirk::AreaPtr, sys::address(&mut pointed.region)),
        region_ptr: pointer(Quirk::RegionPtr, sys::address(&mut pointed.region)),
        event_desc: pointer(Quirk::EventDesc, sys::address(&mut pointed.event)),
        ..reserved(quirks)
    }
}

/// The flag that a registration or an import must not have.
fn flag(quirks: Quirks) -> u32 {
    if quirks.has(Quirk::Flags) { UNKNOWN_FLAG } else { 0 }
}

/// What both have reserved.
fn reserved(quirks: Quirks) -> IfqReg {
    let one = |quirk| u32::from(quirks.has(quirk));
    IfqReg {
        zcrx_id: one(Quirk::ZcrxId),
        resv: [0, u64::from(one(Quirk::Resv))],
        ..IfqReg::default()
    }
}

fn region(mem: &IfqMem, quirks: Quirks) -> RegionDesc {
    let kernel = quirks.has(Quirk::KernelRegion);
    RegionDesc {
        user_addr: if kernel { 0 } else { mem.region.addr() },
        // Whole pages, so that nothing but none is smaller than every ring.
        size: if quirks.has(Quirk::RegionSmall) { 0 } else { mem.region.len() as u64 },
        flags: if kernel { 0 } else { abi::IORING_MEM_REGION_TYPE_USER },
        ..RegionDesc::default()
    }
}

fn event_desc(quirks: Quirks, user_data: u64) -> EventDesc {
    let one = |quirk| u32::from(quirks.has(quirk));
    // All that are known, or the first that is not.
    let known = one(Quirk::Events) * ((1 << abi::ZCRX_EVENT_TYPES) - 1);
    let unknown = one(Quirk::EventType) << abi::ZCRX_EVENT_TYPES;
    EventDesc {
        user_data,
        type_mask: known | unknown,
        flags: one(Quirk::EventFlags) * UNKNOWN_FLAG,
        stats_offset: u64::from(one(Quirk::EventStats)) * sys::PAGE as u64,
        resv2: [0, 0, 0, 0, 0, 0, 0, 0, u64::from(one(Quirk::EventResv))],
    }
}

/// The description of an area.
pub(super) fn area_reg(area: &Area, quirks: Quirks) -> AreaReg {
    let one = |quirk| u32::from(quirks.has(quirk));
    let plain = area.reg();
    AreaReg {
        addr: match quirks.has(Quirk::AreaNull) {
            true => 0,
            false => plain.addr + u64::from(one(Quirk::AreaUnaligned)) * 64,
        },
        rq_area_token: u64::from(one(Quirk::AreaToken)) << abi::IORING_ZCRX_AREA_SHIFT,
        flags: one(Quirk::AreaFlags) * UNKNOWN_FLAG,
        dmabuf_fd: one(Quirk::AreaDmabufFd),
        resv2: [0, u64::from(one(Quirk::AreaResv))],
        ..plain
    }
}

/// The argument of a control operation. `arg`: its first words.
pub(super) fn ctrl(id: u32, op: u32, arg: &[u32], quirks: Quirks) -> ZcrxCtrl {
    let one = |quirk| u32::from(quirks.has(quirk));
    let mut ctrl = ZcrxCtrl { zcrx_id: id, op, ..ZcrxCtrl::default() };
    ctrl.resv[1] = u64::from(one(Quirk::Resv));
    for (to, from) in ctrl.arg.iter_mut().zip(arg) {
        *to = *from;
    }
    // The last word is reserved in every operation's part.
    ctrl.arg[11] |= one(Quirk::OpResv);
    ctrl
}

/// `event_type`.
pub(super) fn event_type(event: Event) -> u32 {
    match event {
        Event::AllocFail => 0,
        Event::Copy => 1,
        Event::Unknown => abi::ZCRX_EVENT_TYPES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each quirk changes the argument of each verb that it fits, or is done by the caller.
    #[test]
    fn no_quirk_of_an_argument_is_forgotten() {
        let (mem, area) = IfqMem::new(1, 1, false).unwrap();
        let mut pointed = Pointed::default();
        let text = |quirks: Quirks, verb: &str, pointed: &mut Pointed| match verb {
            "register" => {
                let args = (&mem, &*area);
                let reg = registration(Source::Nodev, 1, quirks, args, 1, pointed);
                format!("{reg:?} {:?}", (area_reg(&area, quirks), &pointed))
            }
            "import" => format!("{:?}", import(3, quirks, pointed)),
            "add-area" => {
                format!("{:?}", (ctrl(0, 3, &[], quirks), area_reg(&area, quirks)))
            }
            _ => format!("{:?}", ctrl(0, 0, &[], quirks)),
        };
        // By hand: the capability, the addresses that the caller passes, `nr_args`, and what is in
        // the memory of the ring.
        let by_caller = [Quirk::NoCap, Quirk::ArgFault, Quirk::NrArgs, Quirk::StaleRing];
        for verb in ["register", "import", "export", "flush", "add-area", "arm"] {
            let plain = text(Quirks::NONE, verb, &mut pointed);
            for &quirk in Quirk::ALL {
                let area_fault = verb == "add-area" && quirk == Quirk::AreaFault;
                if !quirk.fits(verb) || by_caller.contains(&quirk) || area_fault {
                    continue;
                }
                let with = text(Quirks::NONE.and(quirk), verb, &mut pointed);
                assert_ne!(with, plain, "{verb} with {quirk}");
            }
        }
    }
}
