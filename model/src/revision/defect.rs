//! The known defects. Which revision has which is in [`super::table`].

use crate::named_enum::named_enum;

named_enum! {
    /// One named departure from sound code.
    pub enum Defect {
        P1 "P1" "io_clone_zcrx_ifq: a ring that clones from itself keeps its own file reference";
        P2 "P2" "io_clone_zcrx_ifq: an unknown source id keeps the source ring's percpu ref";
        P3 "P3" "io_clone_zcrx_ifq: a failing xa_alloc or xa_store keeps the source's refs and ring ref";
        P4 "P4" "io_clone_zcrx_ifq: a failing copy_to_user keeps the source's refs and ring ref";
        P5 "P5" "io_clone_zcrx_ifq: the result of kzalloc is not checked";
        P7 "P7" "a clone can be cloned: a proxy's own refs are zero; in v3 the wrong ring's reference is taken";
        P8 "P8" "a clone pins the source's ring, so rings that clone from each other wait for each other";
        P9 "P9" "io_shutdown_zcrx_ifqs drops a clone's references before the ring's requests are gone";
        P10 "P10" "the last proxy's end does not close the queue: the owner has to poll for it";
        P12 "P12" "if_rxq == -1 means done: an ifq is scrubbed once, before the last task work has run";
        P15 "P15" "io_zcrx_get_region looks at the proxy, whose region is empty: mmap fails";
        P18 "P18" "a clone needs the source's uring_lock, which is held over copy_to_user: a page fault blocks it";
        P19 "P19" "io_clone_zcrx_ifq leaves flags, reserved and unused fields unchecked";
        P20 "P20" "io_unregister_zcrx_ifqs stops at the first ifq of another ring: later ones are never freed";
        P21 "P21" "a page pool holds no reference on its ifq, which is freed while buffers are under way";
        S1 "S1" "user space: producers of the refill ring take no lock";
        S2 "S2" "user space: a buffer is returned twice";
        S3 "S3" "user space: a ring exits holding buffers; reported if another ring then finds none";
        M1 "M1" "import_zcrx accepts any flag together with ZCRX_REG_IMPORT";
        M2 "M2" "unregistration in one step: the queue closes only when the ring's requests are gone";
        M3 "M3" "a registration that fails after the queue was opened frees the ifq under its page pool";
        M4 "M4" "io_parse_rqe reads an entry's offset twice: the one checked is not the one used";
        M5 "M5" "the refill ring's head and tail are not cleared at registration";
        M6 "M6" "zcrx_export publishes the descriptor's number before the file exists";
        M7 "M7" "a multishot receive that stopped for lack of a buffer or CQE slot is not requeued";
        M8 "M8" "the cursor of the unregister loop is not initialised: entries are skipped";
        EarlyPut "early-put" "io_terminate_zcrx also drops refs, before the ring's requests are gone";
        DyingTwRuns "dying-tw-runs" "the task work of a dying ring runs instead of being cancelled";
        UrefRace "uref-race" "io_zcrx_put_niov_uref tests and decrements in two steps";
        UninstallRace "uninstall-race"
            "io_pp_uninstall drops the device before its last access to the ifq, which may be freed by then";
        AddAreaLock "add-area-lock"
            "zcrx_ctrl_add_area holds pp_lock over copy_to_user: a page fault blocks all who need that lock";
        EarlyUnmap "early-unmap"
            "io_close_queue unmaps the areas before the queue is stopped: the device writes to unmapped memory";
        UnmapAfterFailedRestart "unmap-after-failed-restart"
            "io_close_queue unmaps the areas although the queue's restart failed: the device goes on writing";
        PoolRingRace "pool-ring-race"
            "page_pool_release does not wait for producers: the pool is freed while one is inside its ring";
        RefillRun "refill-run"
            "zcrx_put_refill_niov puts a run of entries of one buffer as a whole or not at all: a double return loses the rightful one";
        DisabledRingWake "disabled-ring-wake"
            "exec asks for a wake-up by a ring of another task or of none: an event then wakes task NULL";
        MixedCqeCache "mixed-cqe-cache"
            "io_cqe_cache_refill fails behind a filler and keeps the filler's entry: an old completion comes again";
        AddAreaPin "add-area-pin"
            "zcrx_ctrl_add_area holds pp_lock while it pins the area: a page fault blocks all who need that lock";
        ResetStall "reset-stall"
            "io_zcrx_tcp_recvmsg: a receive that reads the last bytes before a reset is not always woken for the reset";
        RegisterPin "register-pin"
            "a registration holds the netdev lock while it pins the area: a page fault blocks the device";
    }
}

/// State of a run that only some defects need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtraState {
    /// By buffer: the ring that got it last.
    BufferOwners,
}

impl Defect {
    /// The state that a run needs to show the defect.
    #[must_use]
    pub fn extra_state(self) -> Option<ExtraState> {
        match self {
            Defect::S3 => Some(ExtraState::BufferOwners),
            _ => None,
        }
    }
}
