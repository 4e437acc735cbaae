//! The exhaustive explorer: every interleaving of a test, every allowed fault, states remembered.
//!
//! Depth first, along a path of decisions. A state is remembered by its 128-bit fingerprint; a run
//! that meets a known state ends there.
//!
//! Divergence from the memory model: interleavings are sequentially consistent. Missing barriers
//! are for loom.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ifq_model::fault::FaultPoint;
use ifq_model::outcome::Outcome;
use ifq_model::revision::Variant;
use ifq_model::scenario::Test;

use crate::counterexample::Counterexample;
use crate::exec::{Program, run, with_program};
use crate::path::Path;
use crate::schedule::{Point, Scheduler};

/// When a search is given up. What was found until then still counts, but not as exhaustive.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Unique states.
    pub max_states: u64,
    /// Time on the clock.
    pub max_time: Option<Duration>,
    /// End a run that meets a known state. Without it every interleaving is run to its end, which
    /// only the smallest tests allow; it is how the remembering is checked.
    pub remember_states: bool,
}

impl Default for Limits {
    /// Fifty million states: about 1.5 GiB.
    fn default() -> Self {
        Limits { max_states: 50_000_000, max_time: None, remember_states: true }
    }
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Exploration {
    /// The first broken invariant; the search ends with it.
    pub counterexample: Option<Counterexample>,
    /// What user space can see at the end.
    pub outcomes: BTreeSet<Outcome>,
    /// Unique states at scheduling points.
    pub states: u64,
    /// Steps and fault choices from one state to the next.
    pub transitions: u64,
    /// Runs from the start.
    pub runs: u64,
    /// Runs that were given up after [`crate::exec::MAX_STEPS`].
    pub cut: u64,
    /// Steps of all runs, repeated ones included.
    pub steps: u64,
    /// Longest run.
    pub depth: u64,
    /// Nothing was left out.
    pub exhaustive: bool,
    /// Time it took.
    pub elapsed: Duration,
}

/// All outcomes of a test, and whether the set is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcomes {
    /// The outcomes.
    pub set: BTreeSet<Outcome>,
    /// No limit ended the search, and nothing broke.
    pub exhaustive: bool,
}

/// The outcomes that a variant of the kernel allows.
#[must_use]
pub fn outcomes(test: &Test, variant: &Variant, limits: &Limits) -> Outcomes {
    let found = explore(test, variant, limits, &mut |_| {});
    Outcomes { set: found.outcomes, exhaustive: found.exhaustive && found.counterexample.is_none() }
}

/// How far a search is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Unique states so far.
    pub states: u64,
    /// Decisions on the path that is searched.
    pub depth: usize,
    /// Time so far.
    pub elapsed: Duration,
}

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

    fn pick(&mut self, point: Point<'_>) -> Option<usize> {
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

/// Searches all runs of a test on a variant of the kernel, until an invariant breaks.
///
/// `progress` is called now and then.
pub fn explore(
    test: &Test,
    variant: &Variant,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Exploration {
    with_program(&Rc::new(test.clone()), variant, |program| search(program, limits, progress))
}

/// As [`explore`], of any program.
pub(crate) fn search(
    program: &Program<'_>,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Exploration {
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
        transitions: 0,
        runs: 0,
        cut: 0,
        steps: 0,
        depth: 0,
        exhaustive: true,
        elapsed: Duration::ZERO,
    };
    loop {
        let run = run(program, Box::new(Explorer(search.clone())), false);
        found.runs += 1;
        found.steps += run.steps;
        found.depth = found.depth.max(run.steps);
        found.cut += u64::from(run.cut);
        found.outcomes.extend(run.outcome);
        if let Some(violation) = run.violation {
            let (decisions, steps) = (run.decisions, run.steps);
            found.counterexample = Some(Counterexample { violation, decisions, steps });
            break;
        }
        let mut search = search.borrow_mut();
        if found.runs.is_multiple_of(1024) {
            let (states, depth) = (search.visited.len() as u64, search.path.len());
            progress(Progress { states, depth, elapsed: started.elapsed() });
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
    found.exhaustive = !search.full && found.cut == 0 && found.counterexample.is_none();
    found.elapsed = started.elapsed();
    found
}
