//! The shortest counterexample: branch and bound over the runs of a test.
//!
//! Depth first like the explorer, and with its fingerprints, but a run ends as soon as it cannot be
//! shorter than the best that was found. A state is remembered with the fewest steps in which it was
//! reached; reached again with fewer, it is searched again. So what is left at the end is exact.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ifq_model::fault::FaultPoint;
use ifq_model::invariant::Invariant;
use ifq_model::revision::Variant;
use ifq_model::scenario::Test;

use crate::counterexample::Counterexample;
use crate::exec::{Program, run, with_program};
use crate::explore::{Limits, Progress};
use crate::path::Path;
use crate::reference::FirstWord;
use crate::schedule::{Point, Scheduler};

/// What a search for the shortest counterexample came to.
#[derive(Clone, Debug)]
pub struct Shortest {
    /// The shortest that was found.
    pub counterexample: Option<Counterexample>,
    /// The first run that breaks another invariant than the one that was asked for.
    pub other: Option<Counterexample>,
    /// Nothing was left out: there is no shorter one.
    pub exact: bool,
    /// Unique states.
    pub states: u64,
    /// Time it took.
    pub elapsed: Duration,
}

#[derive(Debug)]
struct Search {
    /// The fewest steps in which each state was reached.
    reached: HashMap<u128, u64, BuildHasherDefault<FirstWord>>,
    path: Path,
    /// Runs of more steps are of no use.
    bound: u64,
    max_states: u64,
    full: bool,
}

struct Bounded {
    search: Rc<RefCell<Search>>,
    /// Of this run.
    steps: u64,
}

impl Scheduler for Bounded {
    fn wants_fingerprint(&self) -> bool {
        self.search.borrow().path.at_end()
    }

    fn pick(&mut self, point: Point<'_>) -> Option<usize> {
        let mut search = self.search.borrow_mut();
        let before = self.steps;
        self.steps += 1;
        if let Some(taken) = search.path.pick() {
            return Some(taken);
        }
        if before >= search.bound {
            return None;
        }
        if search.reached.len() as u64 >= search.max_states {
            search.full = true;
            return None;
        }
        let fewest = search.reached.entry(point.fingerprint).or_insert(u64::MAX);
        if *fewest <= before {
            return None;
        }
        *fewest = before;
        search.path.push_pick(point.enabled.len());
        Some(0)
    }

    fn fault(&mut self, _: FaultPoint) -> bool {
        self.search.borrow_mut().path.fault()
    }
}

/// Searches for the shortest run that breaks an invariant of a variant of the kernel; with `wanted`
/// only runs that break this one count.
///
/// A run ends with the first invariant that breaks, so that only runs count that break the wanted
/// one first. `progress` is called now and then.
pub fn shortest(
    test: &Test,
    variant: &Variant,
    wanted: Option<Invariant>,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Shortest {
    with_program(&Rc::new(test.clone()), variant, |program| {
        search(program, wanted, limits, progress)
    })
}

/// As [`shortest`], of any program.
pub(crate) fn search(
    program: &Program<'_>,
    wanted: Option<Invariant>,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Shortest {
    let started = Instant::now();
    let search = Rc::new(RefCell::new(Search {
        reached: HashMap::default(),
        path: Path::default(),
        bound: u64::MAX,
        max_states: limits.max_states,
        full: false,
    }));
    let (mut found, mut other): (Option<Counterexample>, _) = (None, None);
    let (mut runs, mut cut) = (0_u64, false);
    loop {
        let run = run(program, Box::new(Bounded { search: search.clone(), steps: 0 }), false);
        runs += 1;
        cut |= run.cut;
        let mut search = search.borrow_mut();
        if let Some(violation) = run.violation {
            let is_wanted = wanted.is_none_or(|invariant| violation.invariant == invariant);
            let (decisions, steps) = (run.decisions, run.steps);
            let counterexample = Counterexample { violation, decisions, steps };
            if !is_wanted {
                other.get_or_insert(counterexample);
            } else if found.as_ref().is_none_or(|best| steps < best.steps) {
                search.bound = steps.saturating_sub(1);
                found = Some(counterexample);
            }
        }
        if runs.is_multiple_of(1024) {
            let (states, depth) = (search.reached.len() as u64, search.path.len());
            progress(Progress { states, depth, elapsed: started.elapsed() });
            search.full |= limits.max_time.is_some_and(|max| started.elapsed() > max);
        }
        if search.full || !search.path.backtrack() {
            break;
        }
    }
    let search = search.borrow();
    Shortest {
        counterexample: found,
        other,
        exact: !search.full && !cut,
        states: search.reached.len() as u64,
        elapsed: started.elapsed(),
    }
}
