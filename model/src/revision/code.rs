//! Which revisions have the code that a defect is in.

use crate::revision::defect::Defect;
use crate::revision::table::Revision;

impl Defect {
    /// Whether a revision has the code that the defect is in. Elsewhere the defect would change nothing,
    /// so a variant with it must not be asked for.
    #[must_use]
    pub fn has_code_in(self, revision: Revision) -> bool {
        use Defect::{
            AddAreaLock, AddAreaPin, DisabledRingWake, DyingTwRuns, EarlyPut, EarlyUnmap, M1, M2,
            M3, M4, M5, M6, M7, M8, MixedCqeCache, P1, P2, P3, P4, P5, P7, P8, P9, P10, P12, P15,
            P18, P19, P20, P21, PoolRingRace, RefillRun, RegisterPin, ResetStall, S1, S2, S3,
            UninstallRace, UnmapAfterFailedRestart, UrefRace,
        };
        match self {
            P1 | P3 | P4 | P18 | P19 => revision.has_clone(),
            P2 | P5 | P10 | P12 | P15 => revision.has_proxies(),
            P7 | P8 | P9 => revision.has_shutdown(),
            P20 => revision.has_shutdown() && !revision.has_proxies(),
            P21 => revision.has_clone() && !revision.has_shutdown(),
            // The flags of an import, the export.
            M1 | M6 => revision.has_ctrl(),
            // The two calls that unregister.
            M2 => !revision.has_shutdown(),
            // io_terminate_zcrx(), which a revision in one step does not call.
            EarlyPut => revision.has_ctrl() && !revision.defects().contains(&M2),
            AddAreaLock | AddAreaPin => revision.has_add_area(),
            EarlyUnmap | UnmapAfterFailedRestart => revision.unmaps_at_close(),
            RefillRun => revision.has_refill_iter(),
            DisabledRingWake | S1 | S2 | S3 | M3 | M4 | M5 | M7 | M8 | MixedCqeCache
            | DyingTwRuns | UrefRace | UninstallRace | PoolRingRace | RegisterPin | ResetStall => {
                true
            }
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
        let proxies = [Revision::ProxyV1, Revision::ProxyV2, Revision::ProxyFixed];
        assert!(Defect::P2.revisions() == proxies);
        assert!(Defect::P20.revisions() == [Revision::ProxyV3]);
        assert!(!Defect::EarlyPut.has_code_in(Revision::Import619));
    }
}
