//! The revision of the model for each series of kernels.

use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::test::{Op, Test};

/// A series of kernels, such as 7.2 with all its stable releases.
#[derive(Debug)]
pub struct KernelSeries {
    /// The first two numbers of its releases.
    pub version: (u32, u32),
    /// Its revision of the model. A proposal: the series is the base of the proposal and has no operation of
    /// it.
    pub revision: Revision,
    /// Defects of the revision that a stable release of the series fixed, with the third number of that
    /// release.
    pub fixed: &'static [(Defect, u32)],
    /// Defects of the first release, each with the test of the library that shows it.
    pub known: &'static [(Defect, &'static str)],
}

/// A defect with the test of the library that shows it.
type KnownDefect = (Defect, &'static str);

const FLAGS: KnownDefect = (Defect::M1, "import/import-checks-its-flags");
const ONE_STEP: KnownDefect =
    (Defect::M2, "teardown/queue-closes-before-the-last-request-is-freed");
const EARLY_FREE: KnownDefect = (Defect::M3, "faults/registration-fails-while-packets-arrive");
const TWO_READS: KnownDefect = (Defect::M4, "refill/entry-changes-while-it-is-read");
const STALE: KnownDefect = (Defect::M5, "refill/a-refill-ring-in-reused-memory-starts-empty");
const EXPORT: KnownDefect = (Defect::M6, "faults/a-failed-export-publishes-no-descriptor");
const STALL: KnownDefect = (Defect::M7, "receive/a-receive-is-retried-after-a-lack-of-buffers");
const UREF: KnownDefect = (Defect::UrefRace, "teardown/scrub-races-with-refill");
const UNINSTALL: KnownDefect =
    (Defect::UninstallRace, "device/the-device-is-unregistered-while-a-ring-exits");
const MIXED: KnownDefect = (Defect::MixedCqeCache, "receive/an-entry-of-a-mixed-ring-is-used-once");
const MIXED_QUEUE: KnownDefect =
    (Defect::MixedCqeCache, "receive/an-entry-of-a-mixed-ring-is-used-once-with-a-device");
const DISABLED: KnownDefect =
    (Defect::DisabledRingWake, "events/an-event-for-a-disabled-ring-after-an-exec");
const ADD_AREA: KnownDefect =
    (Defect::AddAreaLock, "faults/a-page-fault-while-adding-an-area-blocks-another-ring");
const RESTART: KnownDefect =
    (Defect::UnmapAfterFailedRestart, "faults/a-queue-whose-restart-fails-keeps-its-memory");
const REFILL_RUN: KnownDefect =
    (Defect::RefillRun, "refill/a-double-return-in-a-row-loses-no-buffer");
const ADD_AREA_PIN: KnownDefect =
    (Defect::AddAreaPin, "faults/a-page-fault-while-pinning-an-area-blocks-another-ring");
const RESET_STALL: KnownDefect = (Defect::ResetStall, "receive/a-reset-after-bytes-is-reported");
const RESET_STALL_DEV: KnownDefect =
    (Defect::ResetStall, "receive/a-reset-after-bytes-is-reported-with-a-device");
const REGISTER_PIN: KnownDefect =
    (Defect::RegisterPin, "faults/a-page-fault-while-registering-blocks-the-device");

/// The defects of the base of the proposal.
const OF_BASE: &[KnownDefect] = &[
    EARLY_FREE,
    TWO_READS,
    STALE,
    STALL,
    UREF,
    UNINSTALL,
    REGISTER_PIN,
    RESET_STALL_DEV,
    MIXED_QUEUE,
];

/// A series that is, or is close to, the base of the proposal.
const fn base(version: (u32, u32)) -> KernelSeries {
    KernelSeries { version, revision: Revision::ProxyV1, fixed: &[], known: OF_BASE }
}

/// All series whose zcrx is modelled, oldest first.
///
/// 6.18 is the base of the proposal and cannot share an ifq: only tests without sharing are compared. 6.16 and 6.17
/// have no revision of their own either; [`note`] says what their code has otherwise.
pub const SERIES: &[KernelSeries] = &[
    base((6, 16)),
    base((6, 17)),
    base((6, 18)),
    KernelSeries {
        version: (6, 19),
        revision: Revision::Import619,
        fixed: &[(Defect::M1, 11), (Defect::M4, 11)],
        known: &[
            FLAGS,
            ONE_STEP,
            TWO_READS,
            STALE,
            EXPORT,
            STALL,
            UNINSTALL,
            REGISTER_PIN,
            RESET_STALL_DEV,
            MIXED_QUEUE,
        ],
    },
    KernelSeries {
        version: (7, 0),
        revision: Revision::Import70,
        fixed: &[],
        known: &[STALE, EXPORT, STALL, UNINSTALL, REGISTER_PIN, RESET_STALL_DEV, MIXED_QUEUE],
    },
    KernelSeries {
        version: (7, 1),
        revision: Revision::Import71,
        fixed: &[],
        known: &[EXPORT, STALL, UNINSTALL, REGISTER_PIN, RESET_STALL, MIXED],
    },
    KernelSeries {
        version: (7, 2),
        revision: Revision::Import72,
        fixed: &[(Defect::M7, 10)],
        known: &[STALL, UNINSTALL, REGISTER_PIN, RESET_STALL, DISABLED, MIXED],
    },
    KernelSeries {
        version: (7, 3),
        revision: Revision::Import73,
        fixed: &[],
        known: &[ADD_AREA, ADD_AREA_PIN, RESTART, REFILL_RUN, DISABLED, REGISTER_PIN, RESET_STALL],
    },
];

impl KernelSeries {
    /// The series of a release such as `7.2.12+deb13-amd64`; the newest series for a newer release, see
    /// [`is_newer`]. `None`: the release belongs to no series, or `kernel` is not a release.
    #[must_use]
    pub fn of(kernel: &str) -> Option<&'static KernelSeries> {
        let (version, _) = numbers(kernel)?;
        let newest = SERIES.last().filter(|newest| version > newest.version);
        newest.or_else(|| SERIES.iter().find(|series| series.version == version))
    }

    /// Whether the series is only the base of a proposal.
    #[must_use]
    pub fn is_base(&self) -> bool {
        self.revision.has_clone()
    }

    /// The variant of the model for a release of this series.
    #[must_use]
    pub fn variant_of(&self, kernel: &str) -> Variant {
        let is_fixed = |since: u32| match numbers(kernel) {
            Some((version, release)) => (version, release) >= (self.version, since),
            None => false,
        };
        let fixed = self.fixed.iter().filter(|(_, since)| is_fixed(*since));
        Variant::of(self.revision).without(&fixed.map(|(defect, _)| *defect).collect::<Vec<_>>())
    }

    fn name(&self) -> String {
        format!("{}.{}", self.version.0, self.version.1)
    }
}

/// In the release of a kernel that was built as a revision: before the name of the revision.
pub const BUILT_AS: &str = "-ifq-";

/// The revision that a kernel was built as (`ifq kernel build --revision`). Its release says so, such as
/// `6.18.15-ifq-proxy-v1`. `None`: it is compared with the revision of its series.
#[must_use]
pub fn built_as(kernel: &str) -> Option<Revision> {
    let (_, name) = kernel.split_once(BUILT_AS)?;
    Revision::ALL.into_iter().find(|revision| revision.name() == name)
}

/// The revision that a kernel is compared with. `None`: the model has none.
#[must_use]
pub fn compared_with(kernel: &str) -> Option<Revision> {
    built_as(kernel).or_else(|| KernelSeries::of(kernel).map(|series| series.revision))
}

/// Whether a kernel has only the code that a proposal is based on.
#[must_use]
pub fn is_base(kernel: &str) -> bool {
    built_as(kernel).is_none() && KernelSeries::of(kernel).is_some_and(KernelSeries::is_base)
}

/// Whether a revision belongs to a released kernel. Of the proposals only the base does.
#[must_use]
pub fn is_released(revision: Revision) -> bool {
    SERIES.iter().any(|series| series.revision == revision)
}

/// Whether a kernel is newer than the newest series of the model.
#[must_use]
pub fn is_newer(kernel: &str) -> bool {
    numbers(kernel).is_some_and(|(version, _)| SERIES.iter().all(|known| known.version < version))
}

/// What a user must know about the revision that a kernel is compared with. `None`: the kernel has this
/// revision.
#[must_use]
pub fn note(kernel: &str) -> Option<String> {
    if let Some(revision) = built_as(kernel) {
        return Some(format!("kernel {kernel} was built as {revision} and is compared with it"));
    }
    let series = KernelSeries::of(kernel)?;
    let (name, revision) = (series.name(), series.revision);
    if is_newer(kernel) {
        return Some(format!(
            "kernel {kernel} is newer than the newest revision of the model, {revision}. It is compared \
             with {revision}; a difference may be a change of the kernel since {name}"
        ));
    }
    let older =
        if series.version < (6, 18) { ". The base itself is 6.18, which is newer" } else { "" };
    series.is_base().then(|| {
        format!(
            "kernel {kernel} cannot share an ifq. It is compared with the code that the proposal \
             {revision} is based on, without the proposal's operations{older}"
        )
    })
}

/// The variant that a kernel is compared with when it runs a test.
///
/// # Errors
///
/// A message for the user: why the kernel cannot be compared.
pub fn variant_for(test: &Test, kernel: &str) -> Result<Variant, String> {
    if let Some(revision) = built_as(kernel) {
        return match test.revisions.contains(&revision) {
            true => Ok(Variant::of(revision).without(&unseen(revision))),
            false => {
                Err(format!("the test is not for {revision}, as which kernel {kernel} was built"))
            }
        };
    }
    let series = KernelSeries::of(kernel).ok_or_else(|| no_series(kernel))?;
    let revision = series.revision;
    if !test.revisions.contains(&revision) {
        return Err(match series.is_base() {
            true => format!(
                "the test is not for kernel {kernel}, which is the base of the proposal {revision} and \
                 cannot share an ifq"
            ),
            false if is_newer(kernel) => format!(
                "the test is not for {revision}, the newest revision of the model; kernel {kernel} is newer"
            ),
            false => format!("the test is not for {revision}, which kernel {kernel} has"),
        });
    }
    if series.is_base()
        && let Some(step) = test.steps().find(|step| is_proposed(&step.op))
    {
        let (verb, series) = (step.op.verb(), series.name());
        return Err(format!(
            "`{verb}` belongs to the proposal, which kernel {series} does not have"
        ));
    }
    Ok(series.variant_of(kernel))
}

/// The defects of a revision that a run cannot show: P10 only delays the exit worker to its next poll.
fn unseen(revision: Revision) -> Vec<Defect> {
    [Defect::P10].into_iter().filter(|defect| Variant::of(revision).has(*defect)).collect()
}

/// Why no series has a kernel.
fn no_series(kernel: &str) -> String {
    let oldest = SERIES
        .first()
        .filter(|oldest| numbers(kernel).is_some_and(|(version, _)| version < oldest.version));
    match oldest {
        Some(oldest) => {
            let oldest = oldest.name();
            format!(
                "kernel {kernel} is older than {oldest}, the oldest kernel whose zcrx is modelled"
            )
        }
        None => format!("the model has no revision of kernel {kernel}"),
    }
}

/// Whether an operation is one of the proposal. Its base refuses the flags.
fn is_proposed(op: &Op) -> bool {
    matches!(op, Op::Clone { .. } | Op::Import { .. })
}

/// The first two numbers of a release, and the third or 0.
fn numbers(text: &str) -> Option<((u32, u32), u32)> {
    let mut parts = text.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().ok());
    Some(((parts.next()??, parts.next()??), parts.next().flatten().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn test(header: &str, steps: &str) -> Test {
        let text = format!("test t\n{header}\nring A B\nexpect holds\nsetup\n{steps}");
        ifq_sim::format::parse("t.ifq", &text).expect("a test")
    }

    #[test]
    fn a_kernel_is_compared_with_the_revision_of_its_series_and_no_other() {
        let all = Revision::ALL.map(Revision::name).join(" ");
        let any = test(&format!("revision {all}"), " x = A: exit");
        for (kernel, revision) in [
            ("6.16.12+deb13-cloud-amd64", "proxy-v1"),
            ("6.18.44-fc", "proxy-v1"),
            ("6.19.10+deb13-cloud-amd64", "import-6.19"),
            ("7.0.13", "import-7.0"),
            ("7.1.13+deb13-amd64", "import-7.1"),
            ("7.2.7", "import-7.2"),
            ("7.3.4+deb13-amd64", "import-7.3"),
            ("7.10.0-rc1", "import-7.3"),
        ] {
            assert_eq!(variant_for(&any, kernel).unwrap().revision.name(), revision, "{kernel}");
        }
        for kernel in ["6.15.9", "6.20.1", "unknown", "7"] {
            let why = variant_for(&any, kernel).unwrap_err();
            assert!(why.contains(kernel), "{why}");
        }
        let some = test("revision import-7.1 import-7.3", " x = A: exit");
        let why = variant_for(&some, "7.2.7").unwrap_err();
        assert!(why.contains("not for import-7.2") && why.contains("7.2.7"), "{why}");
    }

    #[test]
    fn a_kernel_that_was_built_as_a_revision_is_compared_with_it_and_has_its_operations() {
        let clones = test(
            "revision proxy-v1 proxy-fixed",
            " ifq = A: register nodev buffers=1 entries=1\n p = B: clone A ifq",
        );
        for revision in [Revision::ProxyV1, Revision::ProxyFixed] {
            let kernel = format!("6.18.15{BUILT_AS}{revision}");
            let variant = variant_for(&clones, &kernel).unwrap();
            assert_eq!(variant.revision, revision);
            assert!(!variant.has(Defect::P10));
            assert_eq!(variant.has(Defect::P1), Variant::of(revision).has(Defect::P1));
            assert_eq!((compared_with(&kernel), is_base(&kernel)), (Some(revision), false));
            assert!(note(&kernel).unwrap().contains(revision.name()));
        }
        let why = variant_for(&clones, "7.3.4-ifq-import-7.3").unwrap_err();
        assert!(why.contains("not for import-7.3"), "{why}");
        assert_eq!(built_as("6.18.15-ifq-no-such-revision"), None);
        assert!(is_base("6.18.15") && !is_base("7.3.4") && !is_base("unknown"));
    }

    #[test]
    fn a_kernel_newer_than_the_newest_revision_is_named_as_such() {
        for kernel in ["7.4.1", "7.4.0-rc1", "7.10.0", "8.0.3+deb14-amd64"] {
            assert!(is_newer(kernel), "{kernel}");
            let note = note(kernel).unwrap();
            assert!(note.contains(kernel) && note.contains("import-7.3"), "{note}");
            let old = test("revision import-7.2", " x = A: exit");
            let why = variant_for(&old, kernel).unwrap_err();
            assert!(why.contains(&format!("{kernel} is newer")), "{why}");
        }
        for kernel in ["6.19.10", "7.3.4+deb13-amd64", "7.3.0-rc1", "unknown"] {
            assert!(!is_newer(kernel) && note(kernel).is_none(), "{kernel}");
        }
    }

    #[test]
    fn no_message_says_that_a_kernel_has_a_proposal() {
        for revision in Revision::ALL {
            let one = test(&format!("revision {revision}"), " x = A: exit");
            for kernel in [
                "6.15.1",
                "6.17.1",
                "6.18.44-fc",
                "6.19.1",
                "7.0.1",
                "7.1.1",
                "7.2.1",
                "7.3.1",
                "7.4.1",
            ] {
                let why = variant_for(&one, kernel).err();
                let texts = why.into_iter().chain(note(kernel));
                for proposal in Revision::ALL.into_iter().filter(|r| r.has_clone()) {
                    let false_claim = format!("{proposal}, which kernel");
                    texts.clone().for_each(|text| assert!(!text.contains(&false_claim), "{text}"));
                }
            }
        }
        assert!(note("6.18.44").unwrap().contains("cannot share an ifq"));
    }

    #[test]
    fn a_defect_that_a_stable_release_fixed_is_absent_from_later_releases() {
        let stalls =
            |kernel: &str| KernelSeries::of(kernel).unwrap().variant_of(kernel).has(Defect::M7);
        for kernel in ["7.1.13", "7.2", "7.2.7", "7.2.9+deb13-amd64"] {
            assert!(stalls(kernel), "{kernel}");
        }
        for kernel in ["7.2.10", "7.2.12+deb13-amd64", "7.3.0"] {
            assert!(!stalls(kernel), "{kernel}");
        }
    }

    #[test]
    fn operations_of_the_proposal_are_not_compared_with_its_base() {
        let alone = " ifq = A: register nodev buffers=1 entries=1\n f = A: flush ifq";
        let clones = format!("{alone}\n p = B: clone A ifq");
        assert!(variant_for(&test("revision proxy-v1", alone), "6.18.15").is_ok());
        let why = variant_for(&test("revision proxy-v1", &clones), "6.18.15").unwrap_err();
        assert!(why.contains("`clone`") && why.contains("6.18"), "{why}");
    }

    #[test]
    fn each_known_defect_is_shown_by_a_test_that_fails_with_it() {
        let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
        for series in SERIES {
            let (variant, name) = (Variant::of(series.revision), series.name());
            for &(defect, file) in series.known {
                let test = ifq_sim::format::load(library.join(format!("{file}.ifq"))).unwrap();
                let shows = test.shows.iter().any(|entry| entry.name() == defect.name());
                assert!(shows, "{name}: {file} does not show {defect}");
                assert!(test.revisions.contains(&series.revision), "{name}: {file}");
                assert!(test.expected(&variant).is_some(), "{name}: {file} holds on {variant}");
            }
            for (defect, _) in series.fixed {
                assert!(variant.has(*defect), "{name}: {defect}");
            }
            // The base does not have the defects of the proposal itself.
            let proposals = |defect: &Defect| defect.name().starts_with('P');
            let has = series.revision.defects().iter().filter(|defect| variant.has(**defect));
            let known: Vec<Defect> = series.known.iter().map(|known| known.0).collect();
            assert_eq!(has.copied().filter(|d| !proposals(d)).collect::<Vec<_>>(), known, "{name}");
        }
    }
}
