//! Selects the variants of a test that a user asked for.

use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::test::Test;

/// Revisions, and changes to their defects.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Only this revision.
    pub revision: Option<Revision>,
    /// Defects to add.
    pub defects: Vec<Defect>,
    /// Defects of the revision to fix.
    pub without: Vec<Defect>,
    /// Fix all defects of the revision.
    pub fixed: bool,
}

impl Selection {
    /// Whether the user added or fixed a defect.
    #[must_use]
    pub fn changes_defects(&self) -> bool {
        !self.defects.is_empty() || !self.without.is_empty() || self.fixed
    }

    /// Whether the selection includes a revision.
    #[must_use]
    pub fn includes(&self, revision: Revision) -> bool {
        self.revision.is_none_or(|asked| asked == revision)
    }

    /// For each selected revision of a test: the variant with the requested defects, or the reason
    /// why a request does not apply to that revision.
    #[must_use]
    pub fn variants(&self, test: &Test) -> Vec<Result<Variant, String>> {
        let revisions = test.revisions.iter().filter(|r| self.includes(**r));
        revisions.map(|revision| self.variant(*revision)).collect()
    }

    fn variant(&self, revision: Revision) -> Result<Variant, String> {
        let own = revision.defects();
        if let Some(defect) = self.defects.iter().find(|d| own.contains(d)) {
            return Err(format!("{revision} already has {defect}"));
        }
        if let Some(defect) = self.defects.iter().find(|d| !d.has_code_in(revision)) {
            let having = names(&defect.revisions());
            return Err(format!(
                "{revision} has no code that {defect} could be in; these revisions have: {having}"
            ));
        }
        if let Some(defect) = self.without.iter().find(|d| !own.contains(d)) {
            let having = |r: &Revision| r.defects().contains(defect);
            let having: Vec<Revision> = Revision::ALL.into_iter().filter(having).collect();
            return Err(match having.as_slice() {
                [] => format!("{revision} does not have {defect}, nor has any other revision"),
                having => format!(
                    "{revision} does not have {defect}; these revisions have: {}",
                    names(having)
                ),
            });
        }
        let without = if self.fixed { own } else { &self.without };
        Ok(Variant::with(revision, &self.defects).without(without))
    }
}

/// The names of revisions, separated by commas.
fn names(revisions: &[Revision]) -> String {
    revisions.iter().map(|revision| revision.name()).collect::<Vec<_>>().join(", ")
}
