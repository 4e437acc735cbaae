//! What the outcomes of a search say about the conditions of a test and about its recorded outcomes.

use std::collections::BTreeSet;

use ifq_model::outcome::Outcome;
use ifq_model::revision::Variant;
use ifq_model::test::{Condition, Quantifier, Test};
use serde::Serialize;

use super::recorded_outcomes::{Difference, RecordedOutcomes};
use crate::executor::witness::Witness;
use crate::search::explore::{Limits, Progress};
use crate::search::shortest_witness::shortest_witnesses;
use crate::shrink::few_switches_to;

/// Limit of states for the search of the shortest runs, which has no reductions: about 1 GiB.
const MAX_WITNESS_STATES: u64 = 10_000_000;

/// What a search says about a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ConditionVerdict {
    /// The condition is true.
    Holds,
    /// An outcome contradicts `always` or `forbid`.
    Violated,
    /// No outcome satisfies the formula of an `exists`.
    Unreachable,
    /// The search was not complete, and what it saw decides nothing.
    Bounded,
}

/// A condition of a test, and what a search says about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConditionResult {
    /// Its index in the test.
    pub index: usize,
    /// The condition as in the test file.
    pub condition: String,
    /// What the search says.
    pub verdict: ConditionVerdict,
    /// Of a violation: an outcome that contradicts the condition.
    pub outcome: Option<String>,
    /// The shortest run that ends with such an outcome, if one was found within the limits.
    pub witness: Option<Witness>,
    /// All outcomes that contradict the condition.
    #[serde(skip)]
    offending: BTreeSet<Outcome>,
}

/// The outcomes of a search compared with what a test states about them, and with the recorded ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Results {
    /// The conditions that apply to the variant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<ConditionResult>,
    /// The difference from the recorded outcomes; `None` if the variant has none.
    pub difference: Option<Difference>,
    /// The shortest run that ends with an outcome that is not recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
    /// The outcomes that are not recorded.
    #[serde(skip)]
    more: BTreeSet<Outcome>,
}

impl Results {
    /// Compares the outcomes of a search. The set is `complete` if no other outcome is possible.
    #[must_use]
    pub fn of(
        (test, variant): (&Test, &Variant),
        outcomes: &BTreeSet<Outcome>,
        complete: bool,
        recorded: Option<&RecordedOutcomes>,
    ) -> Self {
        let decide = |(index, condition)| decide(test, index, condition, (outcomes, complete));
        let conditions = test.conditions_on(variant).map(decide).collect();
        let compare =
            |recorded: &RecordedOutcomes| recorded.compare(test, variant, outcomes, complete);
        let difference = recorded.filter(|_| test.expected(variant).is_none()).and_then(compare);
        let is_more = |outcome: &&Outcome| {
            difference.as_ref().is_some_and(|d| d.more.contains(&outcome.display(test)))
        };
        let more = outcomes.iter().filter(is_more).cloned().collect();
        Results { conditions, difference, witness: None, more }
    }

    /// Whether a run contradicts a condition, a complete search shows that no run satisfies an `exists`, or
    /// the outcomes differ from the recorded ones.
    #[must_use]
    pub fn is_refuted(&self) -> bool {
        use ConditionVerdict::{Unreachable, Violated};
        self.conditions.iter().any(|one| matches!(one.verdict, Violated | Unreachable))
            || self.difference.as_ref().is_some_and(|difference| !difference.is_empty())
    }

    /// Searches the shortest run for each violated condition and for the outcomes that are not recorded.
    pub fn find_witnesses(
        &mut self,
        test: &Test,
        variant: &Variant,
        limits: &Limits,
        progress: &mut dyn FnMut(Progress),
    ) {
        let offending = self.conditions.iter().flat_map(|one| &one.offending);
        let wanted: BTreeSet<Outcome> = offending.chain(&self.more).cloned().collect();
        if wanted.is_empty() {
            return;
        }
        let max_states = limits.max_states.min(MAX_WITNESS_STATES);
        let limits = Limits { max_states, ..*limits };
        let found = shortest_witnesses(test, variant, &wanted, &limits, progress);
        let shortest = |among: &BTreeSet<Outcome>| {
            let witnesses = found.witnesses.iter().filter(|one| among.contains(&one.outcome));
            witnesses.min_by_key(|one| one.steps).cloned()
        };
        for one in &mut self.conditions {
            one.witness = shortest(&one.offending);
            if let Some(witness) = &one.witness {
                one.outcome = Some(witness.outcome.display(test));
            }
        }
        self.witness = shortest(&self.more);
    }

    /// Replaces each run by one with few context switches.
    pub fn reduce_witnesses(&mut self, test: &Test, variant: &Variant) {
        let all = self.conditions.iter_mut().filter_map(|one| one.witness.as_mut());
        for witness in all.chain(self.witness.as_mut()) {
            *witness = few_switches_to(test, variant, witness);
        }
    }

    /// What is wrong, in words: `1 condition violated, 2 outcomes more`. Empty if nothing is.
    #[must_use]
    pub fn says(&self) -> String {
        use ConditionVerdict::{Bounded, Unreachable, Violated};
        let count = |verdict| self.conditions.iter().filter(|one| one.verdict == verdict).count();
        let (more, missing) = self
            .difference
            .as_ref()
            .map_or((0, 0), |difference| (difference.more.len(), difference.missing.len()));
        let parts = [
            (count(Violated), "condition", " violated"),
            (count(Unreachable), "condition", " unreachable"),
            (count(Bounded), "condition", " undecided"),
            (more, "outcome", " more"),
            (missing, "outcome", " missing"),
        ];
        let words = parts.into_iter().filter(|(count, ..)| *count > 0).map(|(count, what, how)| {
            let plural = if count == 1 { "" } else { "s" };
            format!("{count} {what}{plural}{how}")
        });
        words.collect::<Vec<_>>().join(", ")
    }
}

/// Decides one condition. A search that is not complete decides only what one outcome shows.
fn decide(
    test: &Test,
    index: usize,
    condition: &Condition,
    (outcomes, complete): (&BTreeSet<Outcome>, bool),
) -> ConditionResult {
    let agrees = |outcome: &&Outcome| condition.agrees(test, outcome);
    let (offending, verdict) = match condition.quantifier {
        Quantifier::Exists => {
            let verdict = match outcomes.iter().any(|outcome| agrees(&outcome)) {
                true => ConditionVerdict::Holds,
                false if complete => ConditionVerdict::Unreachable,
                false => ConditionVerdict::Bounded,
            };
            (BTreeSet::new(), verdict)
        }
        Quantifier::Forbid | Quantifier::Always => {
            let offending: BTreeSet<Outcome> =
                outcomes.iter().filter(|outcome| !agrees(outcome)).cloned().collect();
            let verdict = match offending.is_empty() {
                false => ConditionVerdict::Violated,
                true if complete => ConditionVerdict::Holds,
                true => ConditionVerdict::Bounded,
            };
            (offending, verdict)
        }
    };
    ConditionResult {
        index,
        condition: condition.display(test),
        verdict,
        outcome: offending.first().map(|outcome| outcome.display(test)),
        witness: None,
        offending,
    }
}
