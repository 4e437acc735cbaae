//! Simulates a test: many random runs from one seed.

use std::collections::BTreeMap;
use std::rc::Rc;

use ifq_model::outcome::Outcome;
use ifq_model::revision::Variant;
use ifq_model::test::Test;

use crate::executor::counterexample::Counterexample;
use crate::executor::rng::Rng;
use crate::executor::run::run_once;
use crate::executor::scheduler::Random;

/// The result of a simulation.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// Runs until the end or the first violation.
    pub runs: u64,
    /// Steps of all runs.
    pub steps: u64,
    /// How often each outcome was observed.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// The first run that violated an invariant.
    pub counterexample: Option<Counterexample>,
}

/// Runs a test up to `max_runs` times with random schedules, until an invariant is violated or
/// `should_continue` returns `false`.
#[must_use]
pub fn simulate(
    test: &Test,
    variant: &Variant,
    seed: u64,
    max_runs: u64,
    should_continue: &dyn Fn() -> bool,
) -> Simulation {
    let test = Rc::new(test.clone());
    let mut seeds = Rng::new(seed);
    let mut simulation =
        Simulation { runs: 0, steps: 0, outcomes: BTreeMap::new(), counterexample: None };
    while simulation.runs < max_runs && simulation.counterexample.is_none() && should_continue() {
        let run = run_once(&test, variant, Box::new(Random::new(seeds.next_u64())));
        simulation.runs += 1;
        simulation.steps += run.steps;
        let violation = run.failure();
        if let Some(outcome) = run.outcome {
            *simulation.outcomes.entry(outcome).or_default() += 1;
        }
        let (decisions, steps) = (run.decisions, run.steps);
        simulation.counterexample =
            violation.map(|violation| Counterexample { violation, decisions, steps });
    }
    simulation
}
