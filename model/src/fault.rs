//! The points where the kernel itself can fail.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A place that may fail when a test says so. Named after the kernel call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultPoint {
    /// `kzalloc` of the ifq in `io_zcrx_ifq_alloc`.
    IfqAlloc,
    /// `kzalloc`/`kvmalloc` in `__zcrx_create_area`.
    AreaAlloc,
    /// `xa_alloc` on `zcrx_ctxs`.
    XaAlloc,
    /// `xa_store` on `zcrx_ctxs`.
    XaStore,
    /// `copy_to_user` of a register or control argument.
    CopyToUser,
    /// `anon_inode_create_getfile` in `zcrx_export`.
    AnonInode,
    /// `get_unused_fd_flags` in `zcrx_export`.
    GetUnusedFd,
    /// `netif_mp_open_rxq`.
    MpOpenRxq,
}

impl FaultPoint {
    /// All fault points.
    pub const ALL: [FaultPoint; 8] = [
        FaultPoint::IfqAlloc,
        FaultPoint::AreaAlloc,
        FaultPoint::XaAlloc,
        FaultPoint::XaStore,
        FaultPoint::CopyToUser,
        FaultPoint::AnonInode,
        FaultPoint::GetUnusedFd,
        FaultPoint::MpOpenRxq,
    ];

    /// The word that test files use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FaultPoint::IfqAlloc => "ifq-alloc",
            FaultPoint::AreaAlloc => "area-alloc",
            FaultPoint::XaAlloc => "xa-alloc",
            FaultPoint::XaStore => "xa-store",
            FaultPoint::CopyToUser => "copy-to-user",
            FaultPoint::AnonInode => "anon-inode",
            FaultPoint::GetUnusedFd => "get-unused-fd",
            FaultPoint::MpOpenRxq => "mp-open-rxq",
        }
    }
}

impl fmt::Display for FaultPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
