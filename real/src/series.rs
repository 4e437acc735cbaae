//! Which revision of the model a kernel has: one table, by series.

use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::test::{Op, Test};

/// A series of kernels, such as 7.2 with all its stable releases.
#[derive(Debug)]
pub struct Series {
    /// The first two numbers of its versions.
    pub version: (u32, u32),
    /// The revision that it has.
    pub revision: Revision,
    /// Defects of the revision that were fixed in a stable release of the series: which one, by the
    /// third number of its version.
    pub fixed: &'static [(Defect, u32)],
    /// Defects that it was published with, each with the file of the library that shows it.
    pub known: &'static [(Defect, &'static str)],
}

/// A defect with the file of the library that shows it.
type Known = (Defect, &'static str);

const FLAGS: Known = (Defect::M1, "import/import-checks-its-flags");
const ONE_STEP: Known = (Defect::M2, "teardown/queue-closes-before-the-last-request-is-freed");
const EARLY_FREE: Known = (Defect::M3, "faults/registration-fails-while-packets-arrive");
const TWO_READS: Known = (Defect::M4, "refill/entry-changes-while-it-is-read");
const STALE: Known = (Defect::M5, "refill/a-refill-ring-in-reused-memory-starts-empty");
const EXPORT: Known = (Defect::M6, "faults/a-failed-export-publishes-no-descriptor");
const STALL: Known = (Defect::M7, "receive/a-receive-is-retried-after-a-lack-of-buffers");
const UREF: Known = (Defect::UrefRace, "teardown/scrub-races-with-refill");
const UNINSTALL: Known =
    (Defect::UninstallRace, "device/the-device-is-unregistered-while-a-ring-exits");
const ADD_AREA: Known =
    (Defect::AddAreaLock, "faults/a-page-fault-while-adding-an-area-blocks-another-ring");

/// All series whose zcrx the model has, oldest first.
///
/// 6.18 is the base of the proposal and shares nothing: only what a ring does alone is compared.
pub const SERIES: &[Series] = &[
    Series {
        version: (6, 18),
        revision: Revision::ProxyV1,
        fixed: &[],
        known: &[EARLY_FREE, TWO_READS, STALE, STALL, UREF, UNINSTALL],
    },
    Series {
        version: (6, 19),
        revision: Revision::Import619,
        fixed: &[(Defect::M1, 11), (Defect::M4, 11)],
        known: &[FLAGS, ONE_STEP, TWO_READS, STALE, EXPORT, STALL, UNINSTALL],
    },
    Series {
        version: (7, 0),
        revision: Revision::Import70,
        fixed: &[],
        known: &[ONE_STEP, TWO_READS, STALE, EXPORT, STALL, UNINSTALL],
    },
    Series {
        version: (7, 1),
        revision: Revision::Import71,
        fixed: &[],
        known: &[EXPORT, STALL, UNINSTALL],
    },
    Series {
        version: (7, 2),
        revision: Revision::Import72,
        fixed: &[(Defect::M7, 10)],
        known: &[STALL, UNINSTALL],
    },
    Series { version: (7, 3), revision: Revision::Import73, fixed: &[], known: &[ADD_AREA] },
];

impl Series {
    /// The series of a kernel, such as `7.2.12+deb13-amd64`; of one that is newer than all of them
    /// the newest. `None`: it is older than all of them, or `kernel` is no version.
    #[must_use]
    pub fn of(kernel: &str) -> Option<&'static Series> {
        let (version, _) = numbers(kernel)?;
        SERIES.iter().rfind(|series| series.version <= version)
    }

    /// What the model is to be for a kernel of this series.
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

/// Whether a revision is that of a kernel that was released. Of the proposals only the base was.
#[must_use]
pub fn is_released(revision: Revision) -> bool {
    SERIES.iter().any(|series| series.revision == revision)
}

/// What a kernel is compared with when it runs a test.
///
/// # Errors
///
/// For people: why there is nothing to compare it with.
pub fn variant_for(test: &Test, kernel: &str) -> Result<Variant, String> {
    let series = Series::of(kernel)
        .ok_or_else(|| format!("the model has no revision of kernel {kernel}"))?;
    let revision = series.revision;
    if !test.revisions.contains(&revision) {
        return Err(format!("the test is not for {revision}, which kernel {kernel} has"));
    }
    if revision.has_proxies()
        && let Some(step) = test.steps().find(|step| shares(&step.op))
    {
        let (verb, series) = (step.op.verb(), series.name());
        return Err(format!("`{verb}` is the proposal's, and kernels of {series} have not got it"));
    }
    Ok(series.variant_of(kernel))
}

/// What means something else in the proposal than in its base, where flags are refused.
fn shares(op: &Op) -> bool {
    matches!(op, Op::Clone { .. } | Op::Import { .. })
}

/// The first two numbers of a version, and the third: 0 if it has none.
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
        for kernel in ["6.17.9", "unknown", "7"] {
            let why = variant_for(&any, kernel).unwrap_err();
            assert!(why.contains(kernel), "{why}");
        }
        let some = test("revision import-7.1 import-7.3", " x = A: exit");
        let why = variant_for(&some, "7.2.7").unwrap_err();
        assert!(why.contains("not for import-7.2") && why.contains("7.2.7"), "{why}");
    }

    #[test]
    fn a_stable_release_has_fixed_what_later_ones_have_not_either() {
        let stalls = |kernel: &str| Series::of(kernel).unwrap().variant_of(kernel).has(Defect::M7);
        for kernel in ["7.1.13", "7.2", "7.2.7", "7.2.9+deb13-amd64"] {
            assert!(stalls(kernel), "{kernel}");
        }
        for kernel in ["7.2.10", "7.2.12+deb13-amd64", "7.3.0"] {
            assert!(!stalls(kernel), "{kernel}");
        }
    }

    #[test]
    fn what_only_the_proposal_has_is_not_compared_with_its_base() {
        let alone = " ifq = A: register nodev buffers=1 entries=1\n f = A: flush ifq";
        let clones = format!("{alone}\n p = B: clone A ifq");
        assert!(variant_for(&test("revision proxy-v1", alone), "6.18.15").is_ok());
        let why = variant_for(&test("revision proxy-v1", &clones), "6.18.15").unwrap_err();
        assert!(why.contains("`clone`") && why.contains("6.18"), "{why}");
    }

    #[test]
    fn each_known_defect_is_shown_by_a_file_that_fails_without_its_mending() {
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
            // The proposal's own defects are none of its base's.
            let proposals = |defect: &Defect| defect.name().starts_with('P');
            let has = series.revision.defects().iter().filter(|defect| variant.has(**defect));
            let known: Vec<Defect> = series.known.iter().map(|known| known.0).collect();
            assert_eq!(has.copied().filter(|d| !proposals(d)).collect::<Vec<_>>(), known, "{name}");
        }
    }
}
