//! What a run models: a revision, planted defects, fixes.

use std::fmt;

use crate::revision::defect::{Defect, ExtraState};
use crate::revision::table::Revision;

/// A revision with planted defects and with fixes: the code that a run models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// The version of the kernel.
    pub revision: Revision,
    /// Planted defects, sorted. The revision itself does not have them.
    pub defects: Vec<Defect>,
    /// Defects of the revision that are fixed, sorted.
    pub without: Vec<Defect>,
}

impl Variant {
    /// The revision as it was published.
    #[must_use]
    pub fn of(revision: Revision) -> Self {
        Variant { revision, defects: Vec::new(), without: Vec::new() }
    }

    /// The revision with these defects planted.
    #[must_use]
    pub fn with(revision: Revision, defects: &[Defect]) -> Self {
        Variant { revision, defects: sorted(defects), without: Vec::new() }
    }

    /// The revision with all of its defects fixed.
    #[must_use]
    pub fn fixed(revision: Revision) -> Self {
        Variant { without: sorted(revision.defects()), ..Variant::of(revision) }
    }

    /// The same variant with these defects of the revision fixed.
    #[must_use]
    pub fn without(self, defects: &[Defect]) -> Self {
        Variant { without: sorted(defects), ..self }
    }

    /// Whether the code has a defect.
    #[must_use]
    pub fn has(&self, defect: Defect) -> bool {
        self.defects.contains(&defect)
            || self.revision.defects().contains(&defect) && !self.without.contains(&defect)
    }

    /// Whether a run needs state that only some defects need.
    #[must_use]
    pub fn needs(&self, state: ExtraState) -> bool {
        Defect::ALL.iter().any(|defect| self.has(*defect) && defect.extra_state() == Some(state))
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
