//! The exhaustive explorer: every interleaving of a test, every allowed fault, states remembered.
//!
//! Depth first, on the tables of [`crate::code`]. A state is remembered by its fingerprint; a path
//! that meets a known state ends there.
//!
//! Divergence from the memory model: interleavings are sequentially consistent. Missing barriers
//! are for loom.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ifq_model::outcome::Outcome;
use ifq_model::revision::Variant;
use ifq_model::scenario::Test;

use crate::code::Code;
use crate::counterexample::Counterexample;
use crate::exec::{Program, with_program};
use crate::search::dfs::Dfs;
use crate::search::visited::Visited;

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
    /// Take a step that is in no other thread's way alone (persistent sets).
    pub persistent_sets: bool,
}

impl Default for Limits {
    /// Fifty million states: about 1.5 GiB.
    fn default() -> Self {
        Limits {
            max_states: 50_000_000,
            max_time: None,
            remember_states: true,
            persistent_sets: true,
        }
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
    /// How often the states were searched, until nothing unknown was met.
    pub passes: u32,
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
    let mut code = Code::new();
    let mut passes = 0;
    loop {
        passes += 1;
        let visited = Visited::new();
        let known = code.nodes.len();
        let remember = limits.remember_states;
        let mut dfs = Dfs::new(program, code, visited, remember, limits.persistent_sets);
        let mut full = false;
        while dfs.run(1 << 14, limits.max_states) {
            let (states, depth) = (dfs.counts.states, dfs.depth());
            progress(Progress { states, depth, elapsed: started.elapsed() });
            full = states >= limits.max_states
                || limits.max_time.is_some_and(|max| started.elapsed() > max);
            if full {
                break;
            }
        }
        let grown = dfs.code.nodes.len() > known;
        if limits.persistent_sets && grown && dfs.found.is_none() && !full {
            code = dfs.code;
            continue;
        }
        let counts = dfs.counts;
        return Exploration {
            outcomes: dfs.outcomes.iter().map(|i| dfs.code.outcomes[*i as usize].clone()).collect(),
            states: counts.states,
            transitions: counts.transitions,
            runs: counts.runs,
            passes,
            cut: counts.cut,
            steps: counts.run_steps,
            depth: counts.depth,
            exhaustive: !full && counts.cut == 0 && dfs.found.is_none(),
            counterexample: dfs.found,
            elapsed: started.elapsed(),
        };
    }
}
