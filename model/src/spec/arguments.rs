//! The checks of a system call's arguments, in the kernel's order, with the errno of each check.

use super::Spec;
use crate::errno::{EBADF, EFAULT, EINVAL, ENODEV, ENXIO, EOPNOTSUPP, EPERM, ERANGE};
use crate::revision::Revision;
use crate::test::arg_modifier::ArgModifier::{
    AreaDmabuf, AreaDmabufFd, AreaFault, AreaFlags, AreaNull, AreaPtr, AreaResv, AreaToken,
    AreaUnaligned, ArgFault, EventDesc, EventFault, EventFlags, EventResv, EventStats, EventType,
    Events, Flags, NoCap, NoDevice, NodevIdx, NrArgs, OpResv, RegionFault, RegionPtr, Resv,
    RqEntries, RxBufBig, RxBufLen, Rxq, RxqMinusOne, ZcrxId,
};
use crate::test::arg_modifier::{ArgModifier, ArgModifiers};
use crate::test::{RingId, RingSetup, Source};

/// `IO_RQ_MAX_ENTRIES`.
pub const MAX_ENTRIES: u32 = 32768;

/// The errno of the first check that fails.
fn first_error(checks: &[(bool, i64)]) -> Result<(), i64> {
    checks.iter().find(|(fails, _)| *fails).map_or(Ok(()), |(_, errno)| Err(-errno))
}

fn has_any(modifiers: ArgModifiers, wanted: &[ArgModifier]) -> bool {
    wanted.iter().any(|modifier| modifiers.has(*modifier))
}

/// Whether a field is set that is reserved on this revision and must be zero.
fn sets_reserved_field(revision: Revision, modifiers: ArgModifiers) -> bool {
    let events = [Events, EventFault, EventType, EventFlags, EventStats, EventResv, EventDesc];
    has_any(modifiers, &[Resv, ZcrxId])
        || !revision.has_events() && has_any(modifiers, &events)
        || !revision.has_rx_buf_len() && has_any(modifiers, &[RxBufLen, RxBufBig])
}

impl Spec {
    /// The checks that all forms of `IORING_REGISTER_ZCRX_IFQ` begin with.
    fn check_caller(&self, ring: RingId, modifiers: ArgModifiers) -> Result<(), i64> {
        let setup = |setup| self.setups.contains(&(ring, setup));
        first_error(&[
            (!self.ring_open(ring), EBADF),
            (modifiers.has(NoCap), EPERM),
            (
                setup(RingSetup::NoDefer)
                    || setup(RingSetup::NoCqe32) && !setup(RingSetup::CqeMixed),
                EINVAL,
            ),
            (modifiers.has(ArgFault), EFAULT),
        ])
    }

    /// The checks of `io_register_zcrx` before it allocates the ifq.
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
        let reserved = sets_reserved_field(revision, modifiers);
        let flags = has(Flags) || (nodev || has(NodevIdx)) && !revision.has_nodev();
        let clamp = self.setups.contains(&(ring, RingSetup::Clamp));
        // 6.18 copies the region's description from user space before it checks any field.
        let before_region = match revision {
            _ if revision.has_clone() => false,
            Revision::Import619 | Revision::Import70 => reserved,
            _ => reserved || flags,
        };
        first_error(&[
            (before_region, EINVAL),
            (has(RegionFault), EFAULT),
            (reserved || flags || has(RxqMinusOne) || entries == 0, EINVAL),
            (has(NodevIdx) || nodev && has_any(modifiers, &[Rxq, NoDevice]), EINVAL),
            (entries > MAX_ENTRIES && !clamp, EINVAL),
            (has(AreaFault), EFAULT),
            (has(AreaToken) && revision.has_add_area(), EINVAL),
            (has(EventFault), EFAULT),
            (has_any(modifiers, &[EventType, EventFlags, EventStats, EventResv]), EINVAL),
        ])
    }

    /// The checks of a registration's device and area (`zcrx_register_netdev`,
    /// `io_zcrx_create_area`), up to those of the queue.
    pub(super) fn check_device_and_area(
        &self,
        source: Source,
        modifiers: ArgModifiers,
    ) -> Result<(), i64> {
        let nodev = source == Source::Nodev;
        let no_device = self.queues.is_empty() || self.device_gone || modifiers.has(NoDevice);
        first_error(&[
            (!nodev && no_device, ENODEV),
            (modifiers.has(RxBufLen), EINVAL),
            (modifiers.has(RxBufBig) && nodev, EOPNOTSUPP),
        ])?;
        check_area(modifiers, !nodev)?;
        // No two pages of an area are neighbours.
        first_error(&[(modifiers.has(RxBufBig), ERANGE)])
    }

    /// The checks of `import_zcrx` before it looks up the descriptor.
    pub(super) fn check_import(&self, ring: RingId, modifiers: ArgModifiers) -> Result<(), i64> {
        self.check_caller(ring, modifiers)?;
        let fields = [Flags, Rxq, RqEntries, AreaPtr, RegionPtr, EventDesc];
        first_error(&[(
            sets_reserved_field(self.revision, modifiers) || has_any(modifiers, &fields),
            EINVAL,
        )])
    }

    /// The checks of `io_clone_zcrx_ifq` before it looks up the descriptor.
    pub(super) fn check_clone(&self, ring: RingId, modifiers: ArgModifiers) -> Result<(), i64> {
        self.check_caller(ring, modifiers)?;
        let fields = [Flags, RqEntries, AreaPtr, RegionPtr];
        first_error(&[(
            sets_reserved_field(self.revision, modifiers) || has_any(modifiers, &fields),
            EINVAL,
        )])
    }

    /// The checks of `io_zcrx_ctrl` up to the lookup of the id. A kernel whose `io_uring_register`
    /// has no such operation does not even look up the ring's descriptor.
    pub(super) fn check_ctrl(
        &self,
        ring: RingId,
        id: i64,
        modifiers: ArgModifiers,
    ) -> Result<(), i64> {
        first_error(&[
            (!self.revision.has_ctrl(), EINVAL),
            (!self.ring_open(ring), EBADF),
            (modifiers.has(NrArgs), EINVAL),
            (modifiers.has(ArgFault) || modifiers.has(Resv), EFAULT),
            (self.rings[usize::from(ring)].lookup(id).is_none(), ENXIO),
        ])
    }

    /// The check of the operation's own fields in `zcrx_flush_rq` and `zcrx_export`.
    pub(super) fn check_op(modifiers: ArgModifiers) -> Result<(), i64> {
        first_error(&[(modifiers.has(OpResv), EINVAL)])
    }

    /// The checks of `zcrx_ctrl_add_area` up to the limit on areas. `device`: the ifq has a device;
    /// `device_gone`: it is unregistered.
    pub(super) fn check_add_area(
        &self,
        (device, device_gone): (bool, bool),
        modifiers: ArgModifiers,
    ) -> Result<(), i64> {
        first_error(&[
            (!self.revision.has_add_area(), EOPNOTSUPP),
            (modifiers.has(AreaFault), EFAULT),
            (has_any(modifiers, &[OpResv, AreaToken]), EINVAL),
            (device_gone, EFAULT),
        ])?;
        check_area(modifiers, device)
    }
}

/// The checks of `io_import_area` and `io_import_umem`.
fn check_area(modifiers: ArgModifiers, device: bool) -> Result<(), i64> {
    let fields = [AreaFlags, AreaToken, AreaResv];
    let null = modifiers.has(AreaNull);
    let dmabuf = modifiers.has(AreaDmabuf);
    first_error(&[
        (has_any(modifiers, &fields), EINVAL),
        // io_import_dmabuf()
        (dmabuf && null && device, EBADF),
        (dmabuf || modifiers.has(AreaDmabufFd), EINVAL),
        (null, EFAULT),
        (modifiers.has(AreaUnaligned), EINVAL),
    ])
}
