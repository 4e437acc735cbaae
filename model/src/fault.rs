//! The fault points: kernel calls that can fail.

use crate::named_enum::named_enum;

named_enum! {
    /// A kernel call that may fail if a test says so.
    pub enum FaultPoint {
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
            "`copy_to_user` or `io_pin_pages` faults on a page that user space supplies later (userfaultfd).";
        AnonInode "anon-inode" "`anon_inode_create_getfile` in `zcrx_export`.";
        GetUnusedFd "get-unused-fd" "`get_unused_fd_flags` in `zcrx_export`.";
        MpOpenRxq "mp-open-rxq" "`netif_mp_open_rxq`.";
        PpInit "pp-init" "`page_pool_create` of a queue that is restarted with a memory provider.";
        RxqRestart "rxq-restart"
            "`netdev_rx_queue_reconfig` in `netif_mp_close_rxq`: the queue runs on with its page pool.";
        NotifAlloc "notif-alloc" "`kmem_cache_alloc` of the request in `zcrx_send_notif`.";
    }
}
