//! The expected verdicts of a test, and the schedule of a counterexample.

use serde::{Deserialize, Serialize};

use super::Test;
use crate::invariant::Invariant;
use crate::revision::{Defect, Revision, Variant};

/// An expected verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expect {
    /// The revisions that it applies to, oldest first. Empty: all revisions that no other expectation
    /// with the same defects names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<Revision>,
    /// Defects that are added to the revision's own.
    pub defects: Vec<Defect>,
    /// Defects of the revision that are fixed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<Defect>,
    /// The violated invariant; `None`: all invariants hold.
    pub violates: Option<Invariant>,
}

/// The decisions of one run, in order: the thread that took each step, and whether each fault point
/// failed. The executor defines the encoding; a file names its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Defects that were added.
    pub defects: Vec<Defect>,
    /// Defects that were fixed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<Defect>,
    /// The decisions.
    pub decisions: Vec<u32>,
}

impl Test {
    /// The invariant that a variant is expected to violate. A variant without an expectation must hold.
    #[must_use]
    pub fn expected(&self, variant: &Variant) -> Option<Invariant> {
        let same = |e: &&Expect| e.defects == variant.defects && e.without == variant.without;
        let named = |e: &&Expect| e.revisions.contains(&variant.revision);
        let mut fitting = self.expect.iter().filter(same);
        let found =
            fitting.clone().find(named).or_else(|| fitting.find(|e| e.revisions.is_empty()));
        found.and_then(|e| e.violates)
    }

    /// The variants with an expectation, in the order of the expectations and, within one, of the
    /// revisions.
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
