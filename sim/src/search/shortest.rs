//! The shortest counterexample, or the one with the fewest preemptions: branch and bound over the
//! runs of a test.
//!
//! Depth first like the explorer, and with its fingerprints, but a path ends as soon as it cannot cost
//! less than the best that was found. A state is remembered with the least cost at which it was
//! reached; reached again at less, it is searched again. So what is left at the end is exact.

use std::rc::Rc;
use std::time::{Duration, Instant};

use ifq_model::invariant::Invariant;
use ifq_model::revision::Variant;
use ifq_model::test::Test;

use crate::executor::counterexample::Counterexample;
use crate::executor::run::{Program, with_program};
use crate::search::cost::{Order, Reached};
use crate::search::dfs::{Dfs, Job, Manner};
use crate::search::explore::{Limits, Progress};
use crate::search::visited::Visited;
use crate::step_table::Code;

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

/// Searches for the run with the fewest preemptions, and among those for the shortest, that breaks
/// an invariant; only for one that has less of them than `(preemptions, steps)` says.
pub fn fewest_preemptions(
    test: &Test,
    variant: &Variant,
    wanted: Invariant,
    (preemptions, steps): (u64, u64),
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Shortest {
    let order = Order::Preemptions;
    let bound = order.cost(preemptions, steps).saturating_sub(1);
    with_program(&Rc::new(test.clone()), variant, |program| {
        cheapest(program, Some(wanted), Reached::new(order, bound), limits, progress)
    })
}

/// As [`shortest`], of any program.
pub(crate) fn search(
    program: &Program<'_>,
    wanted: Option<Invariant>,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Shortest {
    cheapest(program, wanted, Reached::new(Order::Steps, u64::MAX), limits, progress)
}

fn cheapest(
    program: &Program<'_>,
    wanted: Option<Invariant>,
    reached: Reached,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Shortest {
    let started = Instant::now();
    let preemptions = reached.counts_preemptions().then_some(u32::MAX);
    let manner = Manner { preemptions, ..Manner::PLAIN };
    let mut dfs = Dfs::new(program, Code::nothing(), None, Visited::new(), manner);
    dfs.reached = Some(reached);
    dfs.begin(Job::whole());
    let (mut found, mut other): (Option<Counterexample>, _) = (None, None);
    let (mut full, mut more) = (false, true);
    // So that a small bound is met.
    let turn = limits.max_states.clamp(1, 1 << 14);
    while more && !full {
        more = dfs.run(turn, u64::MAX);
        let preemptions = u64::from(dfs.preempted());
        let Some(reached) = &mut dfs.reached else { break };
        if let Some(counterexample) = dfs.found.take() {
            more = true;
            let is_wanted =
                wanted.is_none_or(|invariant| counterexample.violation.invariant == invariant);
            if !is_wanted {
                other.get_or_insert(counterexample);
            } else if reached.is_cheaper(preemptions, counterexample.steps) {
                found = Some(counterexample);
            }
        }
        let states = reached.len() as u64;
        let (depth, bytes, elapsed) = (dfs.depth(), dfs.bytes(), started.elapsed());
        progress(Progress { states, depth, bytes, pass: 1, share: dfs.share(), elapsed });
        full = more
            && (states >= limits.max_states
                || limits.max_time.is_some_and(|max| started.elapsed() > max));
    }
    Shortest {
        counterexample: found,
        other,
        exact: !full && dfs.counts.truncated_paths == 0,
        states: dfs.reached.map_or(0, |reached| reached.len() as u64),
        elapsed: started.elapsed(),
    }
}
