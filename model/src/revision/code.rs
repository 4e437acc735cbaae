//! Which revisions have the code that a defect is in.

use crate::revision::defect::Defect;
use crate::revision::table::Revision;

impl Defect {
    /// Whether a revision has the code that the defect is in. Elsewhere the defect would change nothing,
    /// so a variant with it must not be asked for.
    #[must_use]
    pub fn has_code_in(self, revision: Revision) -> bool {
        use Defect::{
            AddAreaLock, AddAreaPin, DyingTwRuns, EarlyPut, M1, M2, M3, M4, M5, M6, M7, M8, P1, P2,
            P3, P4, P5, P7, P8, P9, P10, P12, P15, P18, P19, RegisterPin, ResetStall, S1, S2, S3,
            UninstallRace, UrefRace,
        };
        match self {
            P1 | P2 | P3 | P4 | P5 | P7 | P8 | P9 | P10 | P12 | P15 | P18 | P19 => {
                revision.has_proxies()
            }
            // The flags of an import, the two calls that unregister, the export.
            M1 | M2 | M6 => !revision.has_proxies(),
            // io_terminate_zcrx(), which a revision in one step does not call.
            EarlyPut => !revision.has_proxies() && !revision.defects().contains(&M2),
            AddAreaLock | AddAreaPin => revision.has_add_area(),
            S1 | S2 | S3 | M3 | M4 | M5 | M7 | M8 | DyingTwRuns | UrefRace | UninstallRace
            | RegisterPin | ResetStall => true,
        }
    }

    /// The revisions that have the code that the defect is in.
    #[must_use]
    pub fn revisions(self) -> Vec<Revision> {
        Revision::ALL.into_iter().filter(|revision| self.has_code_in(*revision)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_has_the_code_of_each_of_its_defects() {
        for revision in Revision::ALL {
            for defect in revision.defects() {
                assert!(defect.has_code_in(revision), "{defect} on {revision}");
            }
        }
    }

    #[test]
    fn each_defect_is_in_the_code_of_some_revision() {
        assert!(Defect::ALL.iter().all(|defect| !defect.revisions().is_empty()));
        assert!(Defect::P1.revisions() == [Revision::ProxyV1, Revision::ProxyFixed]);
        assert!(!Defect::EarlyPut.has_code_in(Revision::Import619));
    }
}
