//! What the kernel refuses before it does anything, and with which errno: the checks of a system
//! call's argument, in the order in which they are made.

use super::Spec;
use crate::errno::{EBADF, EFAULT, EINVAL, ENODEV, ENXIO, EOPNOTSUPP, EPERM, ERANGE};
use crate::revision::Revision;
use crate::test::arg_modifier::ArgModifier::{
    AreaDmabufFd, AreaFault, AreaFlags, AreaNull, AreaPtr, AreaResv, AreaToken, AreaUnaligned,
    ArgFault, EventDesc, EventFault, EventFlags, EventResv, EventStats, EventType, Events, Flags,
    NoCap, NoDevice, NodevIdx, NrArgs, OpResv, RegionFault, RegionPtr, Resv, RqEntries, RxBufBig,
    RxBufLen, Rxq, RxqMinusOne, ZcrxId,
};
use crate::test::arg_modifier::{ArgModifier, ArgModifiers};
use crate::test::{RingId, RingSetup, Source};

/// `IO_RQ_MAX_ENTRIES`.
pub const MAX_ENTRIES: u32 = 32768;

/// The first check that fails decides.
fn refuse(checks: &[(bool, i64)]) -> Result<(), i64> {
    checks.iter().find(|(fails, _)| *fails).map_or(Ok(()), |(_, errno)| Err(-errno))
}

fn any(modifiers: ArgModifiers, of: &[ArgModifier]) -> bool {
    of.iter().any(|modifier| modifiers.has(*modifier))
}

/// Fields of the structure that must be zero because the revision gives them no meaning.
fn reserved(revision: Revision, modifiers: ArgModifiers) -> bool {
    let events = [Events, EventFault, EventType, EventFlags, EventStats, EventResv, EventDesc];
    any(modifiers, &[Resv, ZcrxId])
        || !revision.has_events() && any(modifiers, &events)
        || !revision.has_rx_buf_len() && any(modifiers, &[RxBufLen, RxBufBig])
}

impl Spec {
    /// What all forms of `IORING_REGISTER_ZCRX_IFQ` check first.
    fn check_caller(&self, ring: RingId, modifiers: ArgModifiers) -> Result<(), i64> {
        let setup = |setup| self.setups.contains(&(ring, setup));
        refuse(&[
            (!self.ring_open(ring), EBADF),
            (modifiers.has(NoCap), EPERM),
            (setup(RingSetup::NoDefer) || setup(RingSetup::NoCqe32), EINVAL),
            (modifiers.has(ArgFault), EFAULT),
        ])
    }

    /// `io_register_zcrx` before it makes the ifq.
    pub(super) fn check_register(
        &self,
        ring: RingId,
        source: Source,
        entries: u32,
        modifiers: ArgModifiers,
    ) -> Result<(), i64> {
        self.check_caller(ring, modifiers)?;
        let (revision, has) = (self.revision, |modifier| modifiers.has(modifier));
        let nodev = source == Source::Nodev;
        let reserved = reserved(revision, modifiers);
        let flags = has(Flags) || (nodev || has(NodevIdx)) && !revision.has_nodev();
        let clamp = self.setups.contains(&(ring, RingSetup::Clamp));
        // 6.18 reads the region's description before it looks at any field.
        let before_region = match revision {
            Revision::ProxyV1 | Revision::ProxyFixed => false,
            Revision::Import619 | Revision::Import70 => reserved,
            Revision::Import71 | Revision::Import72 | Revision::Import73 => reserved || flags,
        };
        refuse(&[
            (before_region, EINVAL),
            (has(RegionFault), EFAULT),
            (reserved || flags || has(RxqMinusOne) || entries == 0, EINVAL),
            (has(NodevIdx) || nodev && any(modifiers, &[Rxq, NoDevice]), EINVAL),
            (entries > MAX_ENTRIES && !clamp, EINVAL),
            (has(AreaFault), EFAULT),
            (has(AreaToken) && revision.has_add_area(), EINVAL),
            (has(EventFault), EFAULT),
            (any(modifiers, &[EventType, EventFlags, EventStats, EventResv]), EINVAL),
        ])
    }

    /// The device and the area of a registration (`zcrx_register_netdev`, `io_zcrx_create_area`),
    /// up to the queue.
    pub(super) fn check_memory(&self, source: Source, modifiers: ArgModifiers) -> Result<(), i64> {
        let nodev = source == Source::Nodev;
        let no_device = self.queues.is_empty() || self.device_gone || modifiers.has(NoDevice);
        refuse(&[
            (!nodev && no_device, ENODEV),
            (modifiers.has(RxBufLen), EINVAL),
            (modifiers.has(RxBufBig) && nodev, EOPNOTSUPP),
        ])?;
        check_area(modifiers)?;
        // No two pages of an area are neighbours.
        refuse(&[(modifiers.has(RxBufBig), ERANGE)])
    }

    /// `import_zcrx` before it looks at the descriptor.
    pub(super) fn check_import(&self, ring: RingId, modifiers: ArgModifiers) -> Result<(), i64> {
        self.check_caller(ring, modifiers)?;
        let fields = [Flags, Rxq, RqEntries, AreaPtr, RegionPtr, EventDesc];
        refuse(&[(reserved(self.revision, modifiers) || any(modifiers, &fields), EINVAL)])
    }

    /// `io_clone_zcrx_ifq` before it looks at the descriptor.
    pub(super) fn check_clone(&self, ring: RingId, modifiers: ArgModifiers) -> Result<(), i64> {
        self.check_caller(ring, modifiers)?;
        let fields = [Flags, RqEntries, AreaPtr, RegionPtr];
        refuse(&[(reserved(self.revision, modifiers) || any(modifiers, &fields), EINVAL)])
    }

    /// `io_zcrx_ctrl` up to the id. Where there is no such operation of `io_uring_register`, not
    /// even the descriptor is looked at.
    pub(super) fn check_ctrl(
        &self,
        ring: RingId,
        id: i64,
        modifiers: ArgModifiers,
    ) -> Result<(), i64> {
        refuse(&[
            (!self.revision.has_ctrl(), EINVAL),
            (!self.ring_open(ring), EBADF),
            (modifiers.has(NrArgs), EINVAL),
            (modifiers.has(ArgFault) || modifiers.has(Resv), EFAULT),
            (self.rings[usize::from(ring)].lookup(id).is_none(), ENXIO),
        ])
    }

    /// `zcrx_flush_rq` and `zcrx_export`.
    pub(super) fn check_op(modifiers: ArgModifiers) -> Result<(), i64> {
        refuse(&[(modifiers.has(OpResv), EINVAL)])
    }

    /// `zcrx_ctrl_add_area` up to the limit on areas. `lost`: the ifq's device is gone.
    pub(super) fn check_add_area(&self, lost: bool, modifiers: ArgModifiers) -> Result<(), i64> {
        refuse(&[
            (!self.revision.has_add_area(), EOPNOTSUPP),
            (modifiers.has(AreaFault), EFAULT),
            (any(modifiers, &[OpResv, AreaToken]), EINVAL),
            (lost, EFAULT),
        ])?;
        check_area(modifiers)
    }
}

/// `io_import_area`, `io_import_umem`.
fn check_area(modifiers: ArgModifiers) -> Result<(), i64> {
    let fields = [AreaFlags, AreaToken, AreaResv, AreaDmabufFd];
    let null = modifiers.has(AreaNull);
    refuse(&[
        (any(modifiers, &fields), EINVAL),
        (null, EFAULT),
        (modifiers.has(AreaUnaligned), EINVAL),
    ])
}
