//! One verdict on one test: what `ifq check` prints a line for.

use ifq_model::invariant::Invariant;
use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::test::Test;
use serde::Serialize;

use crate::search::explore::Exploration;

/// What the search came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every run was searched, and no invariant broke.
    Holds,
    /// An invariant broke.
    Violated,
    /// A limit ended the search or a run before the end; no invariant broke until then.
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
    /// Mended.
    pub without: Vec<Defect>,
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
    /// Runs that were given up because they did not end.
    pub cut: u64,
    /// Steps of the counterexample.
    pub steps: Option<u64>,
}

impl Row {
    /// What is switched on and fixed, as `with X without Y`, `fixed` if that is all, or `-`.
    #[must_use]
    pub fn switches(&self) -> String {
        let all = !self.without.is_empty() && self.without.len() == self.revision.defects().len();
        let without = if all { Some("fixed".to_owned()) } else { words("without", &self.without) };
        let parts: Vec<String> =
            [words("with", &self.defects), without].into_iter().flatten().collect();
        if parts.is_empty() { "-".to_owned() } else { parts.join(" ") }
    }

    /// The verdict in words: `holds`, `violates I1`, `bounded`.
    #[must_use]
    pub fn says(&self) -> String {
        match self.invariant {
            Some(invariant) => format!("violates {invariant}"),
            None if self.cut > 0 => format!("bounded: {} runs without end", self.cut),
            None => self.verdict.name().to_owned(),
        }
    }
}

/// `WORD ID...`, if there are any.
fn words(word: &str, defects: &[Defect]) -> Option<String> {
    let text = defects.iter().fold(word.to_owned(), |text, d| format!("{text} {d}"));
    (!defects.is_empty()).then_some(text)
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
    let expected = test.expected(variant);
    let as_expected = match expected {
        None => verdict == Verdict::Holds,
        Some(invariant) => violation.is_some_and(|v| v.invariant == invariant),
    };
    Row {
        test: test.name.clone(),
        revision: variant.revision,
        defects: variant.defects.clone(),
        without: variant.without.clone(),
        verdict,
        invariant: violation.map(|v| v.invariant),
        what: violation.map(|v| v.what.clone()),
        expected: expected.map_or_else(|| "holds".to_owned(), |i| format!("violates {i}")),
        as_expected,
        states: found.states,
        transitions: found.transitions,
        seconds: found.elapsed.as_secs_f64(),
        exhaustive: found.exhaustive,
        cut: found.truncated_paths,
        steps: found.counterexample.as_ref().map(|c| c.steps),
    }
}
