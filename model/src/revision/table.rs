//! The table of revisions: name, source, features, defects.
//!
//! The features of a revision are those of an earlier one and what it changes, as in the kernel's
//! history. Its defects are those with which it was published.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::revision::defect::Defect;

macro_rules! features {
    ($($(#[doc = $about:literal])* $name:ident)*) => {
        /// What the code of a revision does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        struct Features {
            $($name: bool,)*
        }

        impl Revision {
            $(
                $(#[doc = $about])*
                #[must_use]
                pub fn $name(self) -> bool {
                    self.features().$name
                }
            )*
        }
    };
}

features! {
    /// Sharing is by the source ring's descriptor and id (the proposal); otherwise by export and import.
    has_clone
    /// A clone is a proxy of the source (v1, v2); otherwise both rings have the same ifq.
    has_proxies
    /// A clone looks up the source before it takes references, and refuses a proxy (v2).
    clone_checks_source
    /// `io_ring_exit_work` calls `io_shutdown_zcrx_ifqs` on every turn of its loop.
    has_shutdown
    /// `IORING_REGISTER_ZCRX_CTRL` exists, with flush and export.
    has_ctrl
    /// `rx_buf_len` exists.
    has_rx_buf_len
    /// `ZCRX_REG_NODEV` exists, and an area is mapped for the device when it is created.
    has_nodev
    /// Events, statistics and `master_ctx` exist.
    has_events
    /// `ZCRX_CTRL_ADD_AREA` exists, and `pp_lock` protects the list of areas.
    has_add_area
    /// `io_unregister_zcrx` scrubs a second time, after the ring's requests are gone.
    has_second_scrub
    /// An iterator with a cached tail reads the refill ring, and consecutive entries of one buffer are put
    /// together.
    has_refill_iter
    /// `ifq->refs` is a percpu ref, and a work item frees the ifq.
    has_percpu_refs
    /// The release of a ring's file waits until the ring's requests are gone.
    release_waits
    /// Areas are unmapped when the queue is closed; otherwise when they are freed.
    unmaps_at_close
    /// `io_zcrx_ifq_free` closes a queue that is still open; otherwise it warns.
    closes_when_freed
    /// `io_uring_get_unmapped_area` returns -EINVAL if there is nothing to map; otherwise -ENOMEM.
    mmap_fails_with_einval
    /// `io_run_local_work` also runs work that is queued while it runs; otherwise only the work that is
    /// queued when it starts.
    runs_newly_queued_work
}

/// 6.18.15 with the proposal.
const PROXY: Features = Features {
    has_clone: true,
    has_proxies: true,
    clone_checks_source: false,
    has_shutdown: true,
    has_ctrl: false,
    has_rx_buf_len: false,
    has_nodev: false,
    has_events: false,
    has_add_area: false,
    has_second_scrub: false,
    has_refill_iter: false,
    has_percpu_refs: false,
    release_waits: false,
    unmaps_at_close: false,
    closes_when_freed: true,
    mmap_fails_with_einval: false,
    runs_newly_queued_work: false,
};
const PROXY_V2: Features = Features { clone_checks_source: true, ..PROXY };
const PROXY_V3: Features = Features { has_proxies: false, ..PROXY_V2 };
const PROXY_V4: Features = Features { has_shutdown: false, ..PROXY_V3 };
const IMPORT_6_19: Features = Features { has_clone: false, has_ctrl: true, ..PROXY_V4 };
const IMPORT_7_0: Features = Features { has_rx_buf_len: true, ..IMPORT_6_19 };
const IMPORT_7_1: Features = Features { has_nodev: true, ..IMPORT_7_0 };
const IMPORT_7_2: Features = Features {
    has_events: true,
    has_second_scrub: true,
    closes_when_freed: false,
    mmap_fails_with_einval: true,
    runs_newly_queued_work: true,
    ..IMPORT_7_1
};
const IMPORT_7_3: Features =
    Features { has_add_area: true, has_refill_iter: true, unmaps_at_close: true, ..IMPORT_7_2 };
const IMPORT_NEXT: Features = Features { has_percpu_refs: true, release_waits: true, ..IMPORT_7_3 };

macro_rules! revisions {
    ($($(#[doc = $about:literal])* $id:ident $name:literal $features:ident [$($defect:ident)*];)*) => {
        /// One version of the kernel's sharing code.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub enum Revision {
            $($(#[doc = $about])* #[serde(rename = $name)] $id,)*
        }

        impl Revision {
            /// All revisions, in the order in which test files list them.
            pub const ALL: [Revision; [$($name),*].len()] = [$(Revision::$id,)*];

            /// The name that test files and the command line use.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Revision::$id => $name,)* }
            }

            fn features(self) -> &'static Features {
                match self { $(Revision::$id => &$features,)* }
            }

            /// The defects with which the revision was published.
            #[must_use]
            pub fn defects(self) -> &'static [Defect] {
                match self { $(Revision::$id => &[$(Defect::$defect,)*],)* }
            }
        }
    };
}

revisions! {
    /// The proposal of 2025-10-23 on a 6.18 base: `IORING_ZCRX_IFQ_REG_CLONE` makes a proxy that
    /// holds the source's `refs` and the source ring's percpu ref. Base read from 6.18.15.
    ProxyV1 "proxy-v1" PROXY [
        P1 P2 P3 P4 P5 P7 P8 P9 P10 P12 P15 P18 P19 M3 M4 M5 M7 UrefRace UninstallRace RegisterPin
        ResetStall MixedCqeCache
    ];
    /// The proposal of 2025-10-25: a proxy cannot be cloned, and an unknown id keeps no reference. Read from
    /// the posting; the base is assumed to be that of v1.
    ProxyV2 "proxy-v2" PROXY_V2 [
        P1 P3 P4 P5 P8 P9 P10 P12 P15 P18 P19 M3 M4 M5 M7 UrefRace UninstallRace RegisterPin
        ResetStall MixedCqeCache
    ];
    /// The proposal of 2025-10-26: the rings share one ifq, and the last one closes the queue. Read from the
    /// posting; the base is assumed to be that of v1.
    ProxyV3 "proxy-v3" PROXY_V3 [
        P1 P3 P4 P7 P8 P9 P18 P19 P20 M3 M4 M5 M7 UrefRace UninstallRace RegisterPin
        ResetStall MixedCqeCache
    ];
    /// The proposal of 2025-10-28: an ifq is freed by the last ring, and page pools hold nothing. Read from
    /// the posting; the base is assumed to be that of v1.
    ProxyV4 "proxy-v4" PROXY_V4 [
        P1 P3 P4 P18 P19 P21 M2 M3 M4 M5 M7 UrefRace UninstallRace RegisterPin
        ResetStall MixedCqeCache
    ];
    /// The proposal with the smallest repair that satisfies every invariant, on a base whose own
    /// defects are fixed.
    ProxyFixed "proxy-fixed" PROXY [];
    /// Linux 6.19: export to a descriptor, import from it; unregistration in one step. Read from
    /// 6.19.10 and 6.19.14, with the fixes that came after the release taken back.
    Import619 "import-6.19" IMPORT_6_19 [
        M1 M2 M4 M5 M6 M7 UninstallRace RegisterPin ResetStall MixedCqeCache
    ];
    /// Linux 7.0: `rx_buf_len`, unregistration in two steps, checked flags of an import, one read of an entry's
    /// offset. Read from 7.0.4 and 7.0.13.
    Import70 "import-7.0" IMPORT_7_0 [
        M5 M6 M7 UninstallRace RegisterPin ResetStall MixedCqeCache
    ];
    /// Linux 7.1: `ZCRX_REG_NODEV`. Read from 7.1.13.
    Import71 "import-7.1" IMPORT_7_1 [M6 M7 UninstallRace RegisterPin ResetStall MixedCqeCache];
    /// Linux 7.2: events, second scrub, an export whose file comes first. Read from 7.2.12, with the
    /// fixes that came after 7.2.9 taken back.
    Import72 "import-7.2" IMPORT_7_2 [
        M7 UninstallRace RegisterPin ResetStall DisabledRingWake MixedCqeCache
    ];
    /// Linux 7.3: several areas, the refill iterator, areas unmapped with the queue. Read from
    /// `io_uring/zcrx.c` of 7.3.4.
    Import73 "import-7.3" IMPORT_7_3 [
        AddAreaLock AddAreaPin UnmapAfterFailedRestart RefillRun DisabledRingWake RegisterPin
        ResetStall
    ];
    /// 7.3 with two proposals: a percpu ref for ifqs ("switch to pcpu refcounting", 2026-07-11), and a release
    /// that waits for the ring's requests ("wait for cancelations on final ring put", 2025-04-09). Read from
    /// the postings. Assumed: the branch `io_uring-exit-cancel` of 2026 keeps the order of the latter.
    ImportNext "import-next" IMPORT_NEXT [
        AddAreaLock AddAreaPin UnmapAfterFailedRestart RefillRun DisabledRingWake RegisterPin
        ResetStall
    ];
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
