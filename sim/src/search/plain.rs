//! The plain search, on the model's futures themselves: the yardstick of [`crate::search::explore`].
//!
//! Threads are futures and cannot be copied: going back means running again from the start. Slow,
//! and so simple that it can be believed.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ifq_model::fault::FaultPoint;
use ifq_model::revision::Variant;
use ifq_model::test::Test;

use crate::executor::counterexample::Counterexample;
use crate::executor::run::{Program, run, with_program};
use crate::executor::scheduler::{Scheduler, SchedulingPoint};
use crate::search::explore::{Exploration, Limits};
use crate::search::plain_path::Path;

/// Fingerprints are random already.
#[derive(Debug, Default)]
pub(crate) struct FirstWord(u64);

impl Hasher for FirstWord {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[..8]);
        self.0 = u64::from_le_bytes(word);
    }

    fn write_u128(&mut self, value: u128) {
        self.0 = value as u64;
    }
}

#[derive(Debug, Default)]
struct Search {
    visited: HashSet<u128, BuildHasherDefault<FirstWord>>,
    path: Path,
    transitions: u64,
    max_states: u64,
    remember: bool,
    full: bool,
}

struct Explorer(Rc<RefCell<Search>>);

impl Scheduler for Explorer {
    fn wants_fingerprint(&self) -> bool {
        self.0.borrow().path.at_end()
    }

    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize> {
        let mut search = self.0.borrow_mut();
        if let Some(taken) = search.path.pick() {
            return Some(taken);
        }
        if search.visited.len() as u64 >= search.max_states {
            search.full = true;
            return None;
        }
        if !search.visited.insert(point.fingerprint) && search.remember {
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

/// As [`crate::search::explore::explore`], the plain way.
#[must_use]
pub fn explore(test: &Test, variant: &Variant, limits: &Limits) -> Exploration {
    with_program(&Rc::new(test.clone()), variant, |program| search(program, limits))
}

/// As [`explore`], of any program.
pub(crate) fn search(program: &Program<'_>, limits: &Limits) -> Exploration {
    let started = Instant::now();
    let search = Rc::new(RefCell::new(Search {
        max_states: limits.max_states,
        remember: limits.remember_states,
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
        elapsed: Duration::ZERO,
    };
    loop {
        let run = run(program, Box::new(Explorer(search.clone())), false);
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
            search.full |= limits.max_time.is_some_and(|max| started.elapsed() > max);
        }
        if search.full || !search.path.backtrack() {
            break;
        }
        search.transitions += 1;
    }
    let search = search.borrow();
    found.states = search.visited.len() as u64;
    found.transitions = search.transitions;
    found.exhaustive = !search.full && found.truncated_paths == 0 && found.counterexample.is_none();
    found.elapsed = started.elapsed();
    found
}
