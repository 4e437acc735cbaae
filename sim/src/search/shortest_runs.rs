//! The shortest run for each wanted outcome, collected during a search.

use std::collections::{BTreeMap, BTreeSet};

use ifq_model::outcome::Outcome;

use super::cost_bound::CostBoundedVisited;
use crate::executor::witness::Witness;

/// The shortest runs so far.
#[derive(Debug)]
pub(crate) struct ShortestRuns {
    /// Wanted outcomes that no run has shown.
    missing: BTreeSet<Outcome>,
    found: BTreeMap<Outcome, Witness>,
}

impl ShortestRuns {
    /// No runs yet, for these outcomes.
    pub(super) fn new(wanted: &BTreeSet<Outcome>) -> Self {
        ShortestRuns { missing: wanted.clone(), found: BTreeMap::new() }
    }

    /// The runs found, sorted by outcome.
    pub(super) fn into_witnesses(self) -> Vec<Witness> {
        self.found.into_values().collect()
    }

    /// Takes a complete run, if it is the shortest so far with a wanted outcome.
    pub(super) fn add(
        &mut self,
        outcome: &Outcome,
        decisions: &[u32],
        steps: u64,
        visited: &mut CostBoundedVisited,
    ) {
        let is_new = self.missing.remove(outcome);
        if !is_new && self.found.get(outcome).is_none_or(|shortest| steps >= shortest.steps) {
            return;
        }
        let (outcome, decisions) = (outcome.clone(), decisions.to_vec());
        self.found.insert(outcome.clone(), Witness { outcome, decisions, steps });
        if self.missing.is_empty() {
            visited.only_below(self.found.values().map(|run| run.steps).max().unwrap_or(0));
        }
    }
}
