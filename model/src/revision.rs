//! Revisions of the kernel's sharing code, and the defects that can be switched on and off in them.
//!
//! What a revision has is said here, once; the kernel-shaped code asks.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One version of the kernel's sharing code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Revision {
    /// The proposal of 2025-10-23 on a 6.18 base: `IORING_ZCRX_IFQ_REG_CLONE` makes a proxy that
    /// holds the source's `refs` and the source ring's percpu ref. Base read from 6.18.15.
    #[serde(rename = "proxy-v1")]
    ProxyV1,
    /// The proposal with the smallest repair that satisfies every invariant, on a base with its own
    /// defects fixed.
    #[serde(rename = "proxy-fixed")]
    ProxyFixed,
    /// Linux 6.19: export to a descriptor, import from it; unregistration in one step. Read from
    /// 6.19.10, with what was fixed after the release put back.
    #[serde(rename = "import-6.19")]
    Import619,
    /// Linux 7.0: `rx_buf_len` exists, and an import's flags are checked. Seen from outside on 7.0.13;
    /// what that does not show is as in 6.19.
    #[serde(rename = "import-7.0")]
    Import70,
    /// Linux 7.1: unregistration in two steps, `ZCRX_REG_NODEV`. Read from 7.1.13.
    #[serde(rename = "import-7.1")]
    Import71,
    /// Linux 7.2: events, second scrub, an export whose file comes first. Read from 7.2.12, with
    /// what was fixed after 7.2.9 put back.
    #[serde(rename = "import-7.2")]
    Import72,
    /// Linux 7.3: several areas, the refill iterator, areas unmapped with the queue. Read from
    /// `io_uring/zcrx.c` of 7.3.4.
    #[serde(rename = "import-7.3")]
    Import73,
}

impl Revision {
    /// All revisions, in the order in which test files list them.
    pub const ALL: [Revision; 7] = [
        Revision::ProxyV1,
        Revision::ProxyFixed,
        Revision::Import619,
        Revision::Import70,
        Revision::Import71,
        Revision::Import72,
        Revision::Import73,
    ];

    /// The name that test files and the command line use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Revision::ProxyV1 => "proxy-v1",
            Revision::ProxyFixed => "proxy-fixed",
            Revision::Import619 => "import-6.19",
            Revision::Import70 => "import-7.0",
            Revision::Import71 => "import-7.1",
            Revision::Import72 => "import-7.2",
            Revision::Import73 => "import-7.3",
        }
    }

    /// Sharing is by proxies (`IORING_ZCRX_IFQ_REG_CLONE`); otherwise by export and import.
    #[must_use]
    pub fn has_proxies(self) -> bool {
        matches!(self, Revision::ProxyV1 | Revision::ProxyFixed)
    }

    /// `IORING_REGISTER_ZCRX_CTRL` exists, with flush and export.
    #[must_use]
    pub fn has_ctrl(self) -> bool {
        !self.has_proxies()
    }

    /// `rx_buf_len` exists.
    #[must_use]
    pub fn has_rx_buf_len(self) -> bool {
        self.has_nodev() || self == Revision::Import70
    }

    /// `ZCRX_REG_NODEV` exists, and an area is mapped for the device when it is made.
    #[must_use]
    pub fn has_nodev(self) -> bool {
        matches!(self, Revision::Import71 | Revision::Import72 | Revision::Import73)
    }

    /// Events, statistics and `master_ctx` exist.
    #[must_use]
    pub fn has_events(self) -> bool {
        matches!(self, Revision::Import72 | Revision::Import73)
    }

    /// `ZCRX_CTRL_ADD_AREA` exists, and `pp_lock` protects the list of areas.
    #[must_use]
    pub fn has_add_area(self) -> bool {
        self == Revision::Import73
    }

    /// `io_unregister_zcrx` scrubs a second time, after the ring's requests are gone.
    #[must_use]
    pub fn has_second_scrub(self) -> bool {
        matches!(self, Revision::ProxyFixed | Revision::Import72 | Revision::Import73)
    }

    /// The refill ring is read through an iterator with a cached tail, and entries for one buffer
    /// that follow each other are put together.
    #[must_use]
    pub fn has_refill_iter(self) -> bool {
        self == Revision::Import73
    }

    /// Areas are unmapped when the queue is closed; otherwise when they are freed.
    #[must_use]
    pub fn unmaps_at_close(self) -> bool {
        self == Revision::Import73
    }

    /// `io_zcrx_ifq_free` closes a queue that is still open; otherwise it takes that for a bug.
    #[must_use]
    pub fn closes_when_freed(self) -> bool {
        !matches!(self, Revision::Import72 | Revision::Import73)
    }

    /// `io_uring_get_unmapped_area` returns -EINVAL if there is nothing to map; before, -ENOMEM.
    #[must_use]
    pub fn mmap_fails_with_einval(self) -> bool {
        matches!(self, Revision::Import72 | Revision::Import73)
    }

    /// `io_run_local_work` also runs work that is queued while it runs; before, only the work that is queued
    /// when it starts.
    #[must_use]
    pub fn runs_newly_queued_work(self) -> bool {
        matches!(self, Revision::Import72 | Revision::Import73)
    }

    /// What was wrong in this revision as it was published.
    #[must_use]
    pub fn defects(self) -> &'static [Defect] {
        use Defect::*;
        match self {
            Revision::ProxyV1 => &[
                P1,
                P2,
                P3,
                P4,
                P5,
                P7,
                P8,
                P9,
                P10,
                P12,
                P15,
                P18,
                P19,
                M3,
                M4,
                M5,
                M7,
                UrefRace,
                UninstallRace,
            ],
            Revision::Import619 => &[M1, M2, M4, M5, M6, M7, UninstallRace],
            Revision::Import70 => &[M2, M4, M5, M6, M7, UninstallRace],
            Revision::Import71 => &[M6, M7, UninstallRace],
            Revision::Import72 => &[M7, UninstallRace],
            Revision::Import73 => &[AddAreaLock],
            Revision::ProxyFixed => &[],
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

macro_rules! defects {
    ($($id:ident $name:literal $about:literal;)*) => {
        /// One named departure from what is sound. Each is a switch; a revision has those on by
        /// default that it was published with.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub enum Defect {
            $(#[doc = $about] #[serde(rename = $name)] $id,)*
        }

        impl Defect {
            /// All defects, in the order of the catalogue.
            pub const ALL: &'static [Defect] = &[$(Defect::$id,)*];

            /// The id that test files and the command line use.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Defect::$id => $name,)* }
            }

            /// One line that says what it does.
            #[must_use]
            pub fn about(self) -> &'static str {
                match self { $(Defect::$id => $about,)* }
            }
        }
    };
}

defects! {
    P1 "P1" "io_clone_zcrx_ifq: a ring that clones from itself keeps its own file reference";
    P2 "P2" "io_clone_zcrx_ifq: an unknown source id keeps the source ring's percpu ref";
    P3 "P3" "io_clone_zcrx_ifq: a failing xa_alloc or xa_store keeps the source's refs and ring ref";
    P4 "P4" "io_clone_zcrx_ifq: a failing copy_to_user keeps the source's refs and ring ref";
    P5 "P5" "io_clone_zcrx_ifq: kzalloc of the proxy is not checked";
    P7 "P7" "a proxy can be cloned: its own refs are zero, and requests follow one hop only";
    P8 "P8" "a proxy pins the source's ring, so rings that clone from each other wait for each other";
    P9 "P9" "io_shutdown_zcrx_ifqs drops a proxy's references before the ring's requests are gone";
    P10 "P10" "the last proxy's end does not close the queue: the owner has to poll for it";
    P12 "P12" "if_rxq == -1 means done: an ifq is scrubbed once only, before late task work";
    P15 "P15" "io_zcrx_get_region looks at the proxy, whose region is empty: mmap fails";
    P18 "P18" "io_clone_zcrx_ifq holds both rings' uring_lock over copy_to_user";
    P19 "P19" "io_clone_zcrx_ifq leaves flags, reserved and unused fields unchecked";
    S1 "S1" "user space: producers of the refill ring take no lock";
    S2 "S2" "user space: a buffer is given back twice";
    S3 "S3" "user space: a ring dies holding buffers; counted as lost if another one starves for them";
    M1 "M1" "import_zcrx accepts any flag together with ZCRX_REG_IMPORT";
    M2 "M2" "unregistration in one step: the queue closes only when the ring's requests are gone";
    M3 "M3" "a registration that fails after the queue was opened frees the ifq under its page pool";
    M4 "M4" "io_parse_rqe reads an entry's offset twice: the one checked is not the one used";
    M5 "M5" "the refill ring's head and tail are not cleared at registration";
    M6 "M6" "zcrx_export publishes the descriptor's number before the file exists";
    M7 "M7" "a multishot receive that stopped for lack of a buffer or CQE slot is not requeued";
    M8 "M8" "the cursor of the unregister loop is not initialised: entries are skipped";
    EarlyPut "early-put" "io_terminate_zcrx also drops refs, before the ring's requests are gone";
    DyingTwRuns "dying-tw-runs" "the task work of a dying ring is run instead of cancelled";
    UrefRace "uref-race" "io_zcrx_put_niov_uref tests and decrements in two steps";
    UninstallRace "uninstall-race"
        "io_pp_uninstall drops the device before its last look at the ifq, which may be gone by then";
    AddAreaLock "add-area-lock"
        "zcrx_ctrl_add_area holds pp_lock over copy_to_user: a page fault holds up who needs that lock";
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that looks like a defect and is none. Reporting one is a false alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NonDefect {
    /// The proxy is in the table before `copy_to_user`.
    N1,
    /// A clone races with the source ring's exit.
    N2,
    /// The cloner drops its ring lock before it takes both.
    N3,
    /// An importer exports again, imports twice, or imports into the owner.
    N4,
    /// A double return, a bad offset, a wrong length in an entry of the refill ring.
    N5,
    /// Several producers with the lock, in any order.
    S4,
}

impl NonDefect {
    /// All of them.
    pub const ALL: &'static [NonDefect] =
        &[NonDefect::N1, NonDefect::N2, NonDefect::N3, NonDefect::N4, NonDefect::N5, NonDefect::S4];

    /// The id.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            NonDefect::N1 => "N1",
            NonDefect::N2 => "N2",
            NonDefect::N3 => "N3",
            NonDefect::N4 => "N4",
            NonDefect::N5 => "N5",
            NonDefect::S4 => "S4",
        }
    }

    /// One line that says why it is fine.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            NonDefect::N1 => {
                "the proxy is in the table before copy_to_user: the ring lock keeps submitters out"
            }
            NonDefect::N2 => {
                "a clone races with the source's exit: the file reference keeps release from starting"
            }
            NonDefect::N3 => {
                "the cloner drops its ring lock before it takes both: address order, nothing stale"
            }
            NonDefect::N4 => {
                "an importer exports again, imports twice, or imports into the owner: each has its id"
            }
            NonDefect::N5 => {
                "a double return, a bad offset, a wrong length in an entry: the kernel ignores it"
            }
            NonDefect::S4 => "several producers of the refill ring with the lock, in any order",
        }
    }
}

/// An entry of the catalogue: what a test is there to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Entry {
    /// Must be found.
    Defect(Defect),
    /// Must not be reported.
    NonDefect(NonDefect),
}

impl Entry {
    /// All entries.
    #[must_use]
    pub fn all() -> Vec<Entry> {
        let defects = Defect::ALL.iter().map(|d| Entry::Defect(*d));
        defects.chain(NonDefect::ALL.iter().map(|n| Entry::NonDefect(*n))).collect()
    }

    /// The id.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Entry::Defect(defect) => defect.name(),
            Entry::NonDefect(non_defect) => non_defect.name(),
        }
    }

    /// One line about it.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Entry::Defect(defect) => defect.about(),
            Entry::NonDefect(non_defect) => non_defect.about(),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A revision with some defects switched on and some off: what a run models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// The version of the kernel.
    pub revision: Revision,
    /// Defects that are on besides the revision's own, sorted.
    pub defects: Vec<Defect>,
    /// The revision's own defects that are fixed, sorted.
    pub without: Vec<Defect>,
}

impl Variant {
    /// The revision as it was published.
    #[must_use]
    pub fn of(revision: Revision) -> Self {
        Variant { revision, defects: Vec::new(), without: Vec::new() }
    }

    /// The revision with these defects on, too.
    #[must_use]
    pub fn with(revision: Revision, defects: &[Defect]) -> Self {
        Variant { revision, defects: sorted(defects), without: Vec::new() }
    }

    /// The revision with all of its own defects fixed.
    #[must_use]
    pub fn fixed(revision: Revision) -> Self {
        Variant { without: sorted(revision.defects()), ..Variant::of(revision) }
    }

    /// The same with other defects fixed.
    #[must_use]
    pub fn without(self, defects: &[Defect]) -> Self {
        Variant { without: sorted(defects), ..self }
    }

    /// Whether a defect is there.
    #[must_use]
    pub fn has(&self, defect: Defect) -> bool {
        self.defects.contains(&defect)
            || self.revision.defects().contains(&defect) && !self.without.contains(&defect)
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.revision)?;
        for (word, defects) in [("with", &self.defects), ("without", &self.without)] {
            if !defects.is_empty() {
                write!(f, " {word}")?;
                defects.iter().try_for_each(|d| write!(f, " {d}"))?;
            }
        }
        Ok(())
    }
}

fn sorted(defects: &[Defect]) -> Vec<Defect> {
    let mut defects = defects.to_vec();
    defects.sort_unstable();
    defects.dedup();
    defects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_defect_is_not_there_and_the_others_stay() {
        let fixed = Variant::of(Revision::ProxyV1).without(&[Defect::P1]);
        assert!(!fixed.has(Defect::P1) && fixed.has(Defect::P2));
        let with = Variant::with(Revision::ProxyFixed, &[Defect::P1]).without(&[]);
        assert!(with.has(Defect::P1));
    }
}
