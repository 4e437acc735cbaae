//! The expected verdicts of a test.

use serde::{Deserialize, Serialize};

use crate::invariant::Invariant;
use crate::revision::{Defect, Revision};

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
