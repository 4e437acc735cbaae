//! One verdict on one test: what `ifq check` prints a line for.

use ifq_model::invariant::Invariant;
use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::scenario::Test;
use serde::Serialize;

use crate::explore::Exploration;

/// What the search came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every run was searched, and no invariant broke.
    Holds,
    /// An invariant broke.
    Violated,
    /// A limit ended the search before the end; no invariant broke until then.
    Bounded,
}

impl Verdict {
    /// As it is printed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Holds => "holds",
            Verdict::Violated => "violated",
            Verdict::Bounded => "bounded",
        }
    }
}

/// One line of `ifq check --json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Name of the test.
    pub test: String,
    /// The kernel's version.
    pub revision: Revision,
    /// Switched on.
    pub defects: Vec<Defect>,
    /// What the search came to.
    pub verdict: Verdict,
    /// Which invariant broke.
    pub invariant: Option<Invariant>,
    /// What broke, for people.
    pub what: Option<String>,
    /// `holds`, or `violates I1`.
    pub expected: String,
    /// The verdict is the expected one.
    pub as_expected: bool,
    /// Unique states.
    pub states: u64,
    /// Transitions between them.
    pub transitions: u64,
    /// Seconds it took.
    pub seconds: f64,
    /// Nothing was left out.
    pub exhaustive: bool,
    /// Steps of the counterexample.
    pub steps: Option<u64>,
}

/// What a test expects of a variant: the invariant that breaks, or `None` if everything holds. A
/// variant that the test says nothing about is expected to hold.
#[must_use]
pub fn expected(test: &Test, variant: &Variant) -> Option<Invariant> {
    let says = |defects: &[Defect]| {
        let mut defects = defects.to_vec();
        defects.sort_unstable();
        defects == variant.defects
    };
    test.expect.iter().find(|e| says(&e.defects)).and_then(|e| e.violates)
}

/// The verdict of a search.
#[must_use]
pub fn row(test: &Test, variant: &Variant, found: &Exploration) -> Row {
    let violation = found.counterexample.as_ref().map(|c| &c.violation);
    let verdict = match violation {
        Some(_) => Verdict::Violated,
        None if found.exhaustive => Verdict::Holds,
        None => Verdict::Bounded,
    };
    let expected = expected(test, variant);
    let as_expected = match expected {
        None => verdict == Verdict::Holds,
        Some(invariant) => violation.is_some_and(|v| v.invariant == invariant),
    };
    Row {
        test: test.name.clone(),
        revision: variant.revision,
        defects: variant.defects.clone(),
        verdict,
        invariant: violation.map(|v| v.invariant),
        what: violation.map(|v| v.what.clone()),
        expected: expected.map_or_else(|| "holds".to_owned(), |i| format!("violates {i}")),
        as_expected,
        states: found.states,
        transitions: found.transitions,
        seconds: found.elapsed.as_secs_f64(),
        exhaustive: found.exhaustive,
        steps: found.counterexample.as_ref().map(|c| c.steps),
    }
}
