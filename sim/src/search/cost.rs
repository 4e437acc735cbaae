//! What the cheapest way to a violation is looked for by.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use crate::executor::fingerprint::Fingerprint;
use crate::search::plain::FirstWord;

/// What counts, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Steps.
    Steps,
    /// Preemptions, then steps.
    Preemptions,
}

impl Order {
    pub(crate) fn cost(self, preemptions: u64, steps: u64) -> u64 {
        match self {
            Order::Steps => steps,
            // Runs are given up long before 2^32 steps.
            Order::Preemptions => preemptions << 32 | steps,
        }
    }
}

/// The least cost at which each state was reached. One that is reached at less is searched again.
#[derive(Debug)]
pub(crate) struct Reached {
    order: Order,
    least: HashMap<Fingerprint, u64, BuildHasherDefault<FirstWord>>,
    /// Runs that cost more are of no use.
    bound: u64,
}

impl Reached {
    pub(crate) fn new(order: Order, bound: u64) -> Self {
        Reached { order, least: HashMap::default(), bound }
    }

    /// Unique states.
    pub(crate) fn len(&self) -> usize {
        self.least.len()
    }

    pub(crate) fn counts_preemptions(&self) -> bool {
        self.order == Order::Preemptions
    }

    /// Comes to a state; `false` if nothing that is behind it is cheaper than what is known.
    pub(crate) fn enter(&mut self, state: Fingerprint, preemptions: u64, steps: u64) -> bool {
        let cost = self.order.cost(preemptions, steps);
        if cost >= self.bound {
            return false;
        }
        let least = self.least.entry(state).or_insert(u64::MAX);
        let cheaper = cost < *least;
        *least = cost.min(*least);
        cheaper
    }

    /// Whether a run is the cheapest so far; then only cheaper ones count from here on.
    pub(crate) fn is_cheaper(&mut self, preemptions: u64, steps: u64) -> bool {
        let cost = self.order.cost(preemptions, steps);
        let cheaper = cost <= self.bound;
        if cheaper {
            self.bound = cost.saturating_sub(1);
        }
        cheaper
    }
}
