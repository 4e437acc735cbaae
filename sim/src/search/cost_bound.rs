//! Cost-bounded visited set, for branch and bound.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use crate::executor::fingerprint::{Fingerprint, FingerprintHasher};

/// The cost of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CostOrder {
    /// Number of steps.
    Steps,
    /// Number of preemptions, then number of steps.
    Preemptions,
}

impl CostOrder {
    /// The cost as one comparable number.
    pub(crate) fn cost(self, preemptions: u64, steps: u64) -> u64 {
        match self {
            CostOrder::Steps => steps,
            // A run has at most `MAX_STEPS` steps, far below 2^32.
            CostOrder::Preemptions => preemptions << 32 | steps,
        }
    }
}

/// The least cost at which each state was reached. A state that is reached at a lower cost is expanded
/// again.
#[derive(Debug)]
pub(crate) struct CostBoundedVisited {
    order: CostOrder,
    least_cost: HashMap<Fingerprint, u64, BuildHasherDefault<FingerprintHasher>>,
    /// Paths of a higher cost are pruned.
    bound: u64,
}

impl CostBoundedVisited {
    /// An empty set that prunes paths of a cost above `bound`.
    pub(crate) fn new(order: CostOrder, bound: u64) -> Self {
        CostBoundedVisited { order, least_cost: HashMap::default(), bound }
    }

    /// Number of unique states.
    pub(crate) fn len(&self) -> usize {
        self.least_cost.len()
    }

    /// Whether preemptions are part of the cost.
    pub(crate) fn counts_preemptions(&self) -> bool {
        self.order == CostOrder::Preemptions
    }

    /// Records that a path reaches a state; `false` if the state need not be expanded at this cost.
    pub(crate) fn enter(&mut self, state: Fingerprint, preemptions: u64, steps: u64) -> bool {
        let cost = self.order.cost(preemptions, steps);
        if cost >= self.bound {
            return false;
        }
        let least_cost = self.least_cost.entry(state).or_insert(u64::MAX);
        let cheaper = cost < *least_cost;
        *least_cost = cost.min(*least_cost);
        cheaper
    }

    /// From here on, only paths of a lower cost than this are explored.
    pub(crate) fn only_below(&mut self, cost: u64) {
        self.bound = self.bound.min(cost.saturating_sub(1));
    }

    /// Whether a counterexample is the cheapest so far; if so, only cheaper paths are explored from here on.
    pub(crate) fn is_cheaper(&mut self, preemptions: u64, steps: u64) -> bool {
        let cost = self.order.cost(preemptions, steps);
        let cheaper = cost <= self.bound;
        if cheaper {
            self.bound = cost.saturating_sub(1);
        }
        cheaper
    }
}
