//! The verdict on one variant of a test: one line of `ifq check`.

use ifq_model::invariant::Invariant;
use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::test::Test;
use serde::Serialize;

use super::results::Results;
use super::unfollowed::unfollowed_text;
use crate::search::explore::Exploration;

/// The result of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All runs were searched, and no invariant was violated.
    Holds,
    /// An invariant was violated.
    Violated,
    /// A limit ended the search or a run. Until then, no invariant was violated.
    Bounded,
    /// No run matches the schedule of the test.
    Unmatched,
}

impl Verdict {
    /// The printed word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Holds => "holds",
            Verdict::Violated => "violated",
            Verdict::Bounded => "bounded",
            Verdict::Unmatched => "no run matches the schedule",
        }
    }
}

/// Why no run matches a schedule in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unmatched {
    /// The line of the schedule, counted from 1.
    pub line: usize,
    /// What happened instead.
    pub what: String,
}

/// One line of `ifq check --json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerdictRow {
    /// Name of the test.
    pub test: String,
    /// The revision.
    pub revision: Revision,
    /// Added defects.
    pub defects: Vec<Defect>,
    /// Fixed defects.
    pub without: Vec<Defect>,
    /// The verdict.
    pub verdict: Verdict,
    /// The violated invariant.
    pub invariant: Option<Invariant>,
    /// The violation in words.
    pub what: Option<String>,
    /// `holds`, or `violates I1`.
    pub expected: String,
    /// The verdict is the expected one.
    pub as_expected: bool,
    /// Unique states.
    pub states: u64,
    /// Transitions between them.
    pub transitions: u64,
    /// Duration of the search.
    pub seconds: f64,
    /// All states were searched.
    pub exhaustive: bool,
    /// Runs that were stopped because they did not end.
    pub cut: u64,
    /// Steps of the counterexample.
    pub steps: Option<u64>,
    /// Why no run matches the schedule of the test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unmatched: Option<Unmatched>,
    /// What the outcomes say about the conditions of the test and the recorded outcomes.
    pub results: Results,
}

impl VerdictRow {
    /// The added and fixed defects: `with X without Y`, `fixed` if all are fixed, or `-`.
    #[must_use]
    pub fn defect_changes(&self) -> String {
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
            None if self.cut > 0 => format!("bounded: {} runs did not end", self.cut),
            None => {
                let (verdict, results) = (self.verdict.name(), self.results.says());
                let comma = if results.is_empty() { "" } else { ", " };
                format!("{verdict}{comma}{results}")
            }
        }
    }

    /// The row with what the outcomes say. It is as expected only if they are.
    #[must_use]
    pub fn with_results(self, results: Results) -> Self {
        let as_expected = self.as_expected && !results.is_refuted();
        VerdictRow { as_expected, results, ..self }
    }

    /// Whether the search shows that the test's expectations are wrong. A row that is neither this nor as
    /// expected is bounded.
    #[must_use]
    pub fn is_refuted(&self) -> bool {
        !self.as_expected && (self.verdict != Verdict::Bounded || self.results.is_refuted())
    }
}

/// `WORD ID...`, if there are any.
fn words(word: &str, defects: &[Defect]) -> Option<String> {
    let text = defects.iter().fold(word.to_owned(), |text, d| format!("{text} {d}"));
    (!defects.is_empty()).then_some(text)
}

/// The row for the result of a search.
#[must_use]
pub fn row(test: &Test, variant: &Variant, found: &Exploration) -> VerdictRow {
    let violation = found.counterexample.as_ref().map(|c| &c.violation);
    let verdict = match violation {
        Some(_) => Verdict::Violated,
        None if found.unfollowed.is_some() => Verdict::Unmatched,
        None if found.exhaustive => Verdict::Holds,
        None => Verdict::Bounded,
    };
    let expected = test.expected(variant);
    let as_expected = match expected {
        None => verdict == Verdict::Holds,
        Some(invariant) => violation.is_some_and(|v| v.invariant == invariant),
    };
    VerdictRow {
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
        unmatched: found.unfollowed.as_ref().map(|unfollowed| Unmatched {
            line: unfollowed.deviation.line + 1,
            what: unfollowed_text(test, unfollowed),
        }),
        results: Results::default(),
    }
}
