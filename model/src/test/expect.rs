//! What a test expects of the checker, and the schedule of a counterexample.

use serde::{Deserialize, Serialize};

use super::Test;
use crate::invariant::Invariant;
use crate::revision::{Defect, Revision, Variant};

/// What the checker must say about a test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expect {
    /// On these revisions, oldest first; empty: on all for which no other expectation with the same
    /// switches names the revision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<Revision>,
    /// With these defects switched on besides the revision's own.
    pub defects: Vec<Defect>,
    /// With these of the revision's own defects fixed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<Defect>,
    /// `None`: everything holds. Otherwise the invariant that breaks.
    pub violates: Option<Invariant>,
}

/// The decisions of one run: which thread took each step, which choice each fault point made, in
/// order. The meaning of a number is the executor's; a file that holds one names its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The defects that were switched on.
    pub defects: Vec<Defect>,
    /// The defects that were fixed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<Defect>,
    /// The decisions.
    pub decisions: Vec<u32>,
}

impl Test {
    /// What the test expects of a variant; one that it says nothing about is expected to hold.
    #[must_use]
    pub fn expected(&self, variant: &Variant) -> Option<Invariant> {
        let same = |e: &&Expect| e.defects == variant.defects && e.without == variant.without;
        let named = |e: &&Expect| e.revisions.contains(&variant.revision);
        let mut fitting = self.expect.iter().filter(same);
        let found =
            fitting.clone().find(named).or_else(|| fitting.find(|e| e.revisions.is_empty()));
        found.and_then(|e| e.violates)
    }

    /// The variants that the test says something about, in the order of its expectations; for each
    /// in the order of the revisions.
    #[must_use]
    pub fn variants(&self) -> Vec<Variant> {
        let mut variants: Vec<Variant> = Vec::new();
        for expect in &self.expect {
            let named = &expect.revisions;
            for &revision in if named.is_empty() { &self.revisions } else { named } {
                let (defects, without) = (expect.defects.clone(), expect.without.clone());
                let variant = Variant { revision, defects, without };
                if !variants.contains(&variant) {
                    variants.push(variant);
                }
            }
        }
        variants
    }
}
