//! What the kernel refuses before it does anything, and with which errno: the checks of a system
//! call's argument, in the order in which they are made.

use super::Spec;
use crate::errno::{EBADF, EFAULT, EINVAL, ENODEV, ENXIO, EOPNOTSUPP, EPERM, ERANGE};
use crate::quirk::Quirk::{
    AreaDmabufFd, AreaFault, AreaFlags, AreaNull, AreaPtr, AreaResv, AreaToken, AreaUnaligned,
    ArgFault, EventDesc, EventFault, EventFlags, EventResv, EventStats, EventType, Events, Flags,
    NoCap, NoDevice, NodevIdx, NrArgs, OpResv, RegionFault, RegionPtr, Resv, RqEntries, RxBufBig,
    RxBufLen, Rxq, RxqMinusOne, ZcrxId,
};
use crate::quirk::{Quirk, Quirks};
use crate::revision::Revision;
use crate::scenario::{RingId, RingSetup, Source};

/// `IO_RQ_MAX_ENTRIES`.
pub const MAX_ENTRIES: u32 = 32768;

/// The first check that fails decides.
fn refuse(checks: &[(bool, i64)]) -> Result<(), i64> {
    checks.iter().find(|(fails, _)| *fails).map_or(Ok(()), |(_, errno)| Err(-errno))
}

fn any(quirks: Quirks, of: &[Quirk]) -> bool {
    of.iter().any(|quirk| quirks.has(*quirk))
}

/// Fields of the structure that must be zero because the revision gives them no meaning.
fn reserved(revision: Revision, quirks: Quirks) -> bool {
    let events = [Events, EventFault, EventType, EventFlags, EventStats, EventResv, EventDesc];
    any(quirks, &[Resv, ZcrxId])
        || !revision.has_events() && any(quirks, &events)
        || !revision.has_rx_buf_len() && any(quirks, &[RxBufLen, RxBufBig])
}

impl Spec {
    /// What all forms of `IORING_REGISTER_ZCRX_IFQ` check first.
    fn check_caller(&self, ring: RingId, quirks: Quirks) -> Result<(), i64> {
        let setup = |setup| self.setups.contains(&(ring, setup));
        refuse(&[
            (!self.ring_open(ring), EBADF),
            (quirks.has(NoCap), EPERM),
            (setup(RingSetup::NoDefer) || setup(RingSetup::NoCqe32), EINVAL),
            (quirks.has(ArgFault), EFAULT),
        ])
    }

    /// `io_register_zcrx` before it makes the ifq.
    pub(super) fn check_register(
        &self,
        ring: RingId,
        source: Source,
        entries: u32,
        quirks: Quirks,
    ) -> Result<(), i64> {
        self.check_caller(ring, quirks)?;
        let (revision, has) = (self.revision, |quirk| quirks.has(quirk));
        let nodev = source == Source::Nodev;
        let reserved = reserved(revision, quirks);
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
            (has(NodevIdx) || nodev && any(quirks, &[Rxq, NoDevice]), EINVAL),
            (entries > MAX_ENTRIES && !clamp, EINVAL),
            (has(AreaFault), EFAULT),
            (has(AreaToken) && revision.has_add_area(), EINVAL),
            (has(EventFault), EFAULT),
            (any(quirks, &[EventType, EventFlags, EventStats, EventResv]), EINVAL),
        ])
    }

    /// The device and the area of a registration (`zcrx_register_netdev`, `io_zcrx_create_area`),
    /// up to the queue.
    pub(super) fn check_memory(&self, source: Source, quirks: Quirks) -> Result<(), i64> {
        let nodev = source == Source::Nodev;
        let no_device = self.queues.is_empty() || self.device_gone || quirks.has(NoDevice);
        refuse(&[
            (!nodev && no_device, ENODEV),
            (quirks.has(RxBufLen), EINVAL),
            (quirks.has(RxBufBig) && nodev, EOPNOTSUPP),
        ])?;
        check_area(quirks)?;
        // No two pages of an area are neighbours.
        refuse(&[(quirks.has(RxBufBig), ERANGE)])
    }

    /// `import_zcrx` before it looks at the descriptor.
    pub(super) fn check_import(&self, ring: RingId, quirks: Quirks) -> Result<(), i64> {
        self.check_caller(ring, quirks)?;
        let fields = [Flags, Rxq, RqEntries, AreaPtr, RegionPtr, EventDesc];
        refuse(&[(reserved(self.revision, quirks) || any(quirks, &fields), EINVAL)])
    }

    /// `io_clone_zcrx_ifq` before it looks at the descriptor.
    pub(super) fn check_clone(&self, ring: RingId, quirks: Quirks) -> Result<(), i64> {
        self.check_caller(ring, quirks)?;
        let fields = [Flags, RqEntries, AreaPtr, RegionPtr];
        refuse(&[(reserved(self.revision, quirks) || any(quirks, &fields), EINVAL)])
    }

    /// `io_zcrx_ctrl` up to the id. Where there is no such operation of `io_uring_register`, not
    /// even the descriptor is looked at.
    pub(super) fn check_ctrl(&self, ring: RingId, id: i64, quirks: Quirks) -> Result<(), i64> {
        refuse(&[
            (!self.revision.has_ctrl(), EINVAL),
            (!self.ring_open(ring), EBADF),
            (quirks.has(NrArgs), EINVAL),
            (quirks.has(ArgFault) || quirks.has(Resv), EFAULT),
            (self.rings[usize::from(ring)].lookup(id).is_none(), ENXIO),
        ])
    }

    /// `zcrx_flush_rq` and `zcrx_export`.
    pub(super) fn check_op(quirks: Quirks) -> Result<(), i64> {
        refuse(&[(quirks.has(OpResv), EINVAL)])
    }

    /// `zcrx_ctrl_add_area` up to the limit on areas. `lost`: the ifq's device is gone.
    pub(super) fn check_add_area(&self, lost: bool, quirks: Quirks) -> Result<(), i64> {
        refuse(&[
            (!self.revision.has_add_area(), EOPNOTSUPP),
            (quirks.has(AreaFault), EFAULT),
            (any(quirks, &[OpResv, AreaToken]), EINVAL),
            (lost, EFAULT),
        ])?;
        check_area(quirks)
    }
}

/// `io_import_area`, `io_import_umem`.
fn check_area(quirks: Quirks) -> Result<(), i64> {
    let fields = [AreaFlags, AreaToken, AreaResv, AreaDmabufFd];
    let null = quirks.has(AreaNull);
    refuse(&[(any(quirks, &fields), EINVAL), (null, EFAULT), (quirks.has(AreaUnaligned), EINVAL)])
}
