//! The points where the kernel itself can fail.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! fault_points {
    ($($id:ident $name:literal $about:literal;)*) => {
        /// A place that may fail when a test says so. Named after the kernel call.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(rename_all = "kebab-case")]
        pub enum FaultPoint {
            $(#[doc = $about] $id,)*
        }

        impl FaultPoint {
            /// All fault points.
            pub const ALL: &'static [FaultPoint] = &[$(FaultPoint::$id,)*];

            /// The word that test files use.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(FaultPoint::$id => $name,)* }
            }
        }
    };
}

fault_points! {
    IfqAlloc "ifq-alloc" "`kzalloc` of the ifq in `io_zcrx_ifq_alloc`.";
    ProxyAlloc "proxy-alloc" "`kzalloc` of the proxy in `io_clone_zcrx_ifq`.";
    RegionCreate "region-create" "`io_create_region` of the refill ring.";
    AreaAlloc "area-alloc" "`kzalloc`/`kvmalloc` in `__zcrx_create_area`.";
    AreaImport "area-import" "`io_pin_pages` or `io_account_mem` in `io_import_umem`.";
    AreaAppend "area-append" "`kmalloc` of the list of areas in `io_zcrx_append_area`.";
    XaAlloc "xa-alloc" "`xa_alloc` on `zcrx_ctxs`.";
    XaStore "xa-store" "`xa_store` on `zcrx_ctxs`.";
    CopyFromUser "copy-from-user" "`copy_from_user` of a register or control argument.";
    CopyToUser "copy-to-user" "`copy_to_user` of a register or control argument.";
    PageFaultWaits "page-fault-waits"
        "`copy_to_user` meets a page that user space supplies when it likes (userfaultfd).";
    AnonInode "anon-inode" "`anon_inode_create_getfile` in `zcrx_export`.";
    GetUnusedFd "get-unused-fd" "`get_unused_fd_flags` in `zcrx_export`.";
    MpOpenRxq "mp-open-rxq" "`netif_mp_open_rxq`.";
    PpInit "pp-init" "The page pool of a queue that is restarted with a memory provider.";
    NotifAlloc "notif-alloc" "`kmem_cache_alloc` of the request in `zcrx_send_notif`.";
}

impl fmt::Display for FaultPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
