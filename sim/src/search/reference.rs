//! The reference search: the simple implementation that [`crate::search::explore`] is compared with.
//!
//! The core idea is stateless depth-first search with a visited set. It executes the model's futures
//! directly. Futures cannot be cloned, so it backtracks by executing the program again from the start. It
//! uses no reduction and no step table.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::hash::BuildHasherDefault;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ifq_model::fault::FaultPoint;
use ifq_model::revision::Variant;
use ifq_model::test::Test;

use crate::executor::counterexample::Counterexample;
use crate::executor::fingerprint::FingerprintHasher;
use crate::executor::run::{Program, run, with_program};
use crate::executor::scheduler::{Scheduler, SchedulingPoint};
use crate::search::decision_path::DecisionPath;
use crate::search::exploration::Exploration;
use crate::search::limits::Limits;

#[derive(Debug, Default)]
struct Search {
    visited: HashSet<u128, BuildHasherDefault<FingerprintHasher>>,
    path: DecisionPath,
    transitions: u64,
    max_states: u64,
    remember_states: bool,
    limit_reached: bool,
}

struct ReferenceScheduler(Rc<RefCell<Search>>);

impl Scheduler for ReferenceScheduler {
    fn wants_fingerprint(&self) -> bool {
        self.0.borrow().path.at_end()
    }

    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize> {
        let mut search = self.0.borrow_mut();
        if let Some(taken) = search.path.pick() {
            return Some(taken);
        }
        if search.visited.len() as u64 >= search.max_states {
            search.limit_reached = true;
            return None;
        }
        if !search.visited.insert(point.fingerprint) && search.remember_states {
            return None;
        }
        search.transitions += 1;
        search.path.push_pick(point.enabled.len());
        Some(0)
    }

    fn fault(&mut self, _: FaultPoint) -> bool {
        self.0.borrow_mut().path.fault()
    }
}

/// As [`crate::search::explore::explore`], by the reference search.
#[must_use]
pub fn explore(test: &Test, variant: &Variant, limits: &Limits) -> Exploration {
    with_program(&Rc::new(test.clone()), variant, |program| search(program, limits))
}

/// As [`explore`], for any program.
pub(crate) fn search(program: &Program<'_>, limits: &Limits) -> Exploration {
    let started = Instant::now();
    let search = Rc::new(RefCell::new(Search {
        max_states: limits.max_states,
        remember_states: limits.remember_states,
        ..Search::default()
    }));
    let mut found = Exploration {
        counterexample: None,
        outcomes: BTreeSet::new(),
        states: 0,
        orbits: 0,
        transitions: 0,
        runs: 0,
        passes: 1,
        truncated_paths: 0,
        steps: 0,
        depth: 0,
        bytes: 0,
        exhaustive: true,
        limit_reached: false,
        elapsed: Duration::ZERO,
    };
    loop {
        let run = run(program, Box::new(ReferenceScheduler(search.clone())), false);
        found.runs += 1;
        found.steps += run.steps;
        found.depth = found.depth.max(run.steps);
        found.truncated_paths += u64::from(run.step_limit_hit);
        found.outcomes.extend(run.outcome);
        if let Some(violation) = run.violation {
            let (decisions, steps) = (run.decisions, run.steps);
            found.counterexample = Some(Counterexample { violation, decisions, steps });
            break;
        }
        let mut search = search.borrow_mut();
        if found.runs.is_multiple_of(1024) {
            search.limit_reached |= limits.max_time.is_some_and(|max| started.elapsed() > max);
        }
        if search.limit_reached || !search.path.backtrack() {
            break;
        }
        search.transitions += 1;
    }
    let search = search.borrow();
    found.states = search.visited.len() as u64;
    found.transitions = search.transitions;
    found.limit_reached = search.limit_reached;
    found.exhaustive =
        !search.limit_reached && found.truncated_paths == 0 && found.counterexample.is_none();
    found.elapsed = started.elapsed();
    found
}
