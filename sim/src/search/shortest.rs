//! Shortest counterexamples, by number of steps or by number of preemptions.
//!
//! The core idea is depth-first branch and bound (Land and Doig, "An Automatic Method of Solving Discrete
//! Programming Problems", Econometrica 28(3), 1960): a path ends as soon as it cannot cost less than the
//! best counterexample so far. The visited set stores the least cost at which each state was reached; a
//! state that is reached at a lower cost is expanded again. The result is exact unless a limit is reached.

use std::rc::Rc;
use std::time::{Duration, Instant};

use ifq_model::invariant::Invariant;
use ifq_model::revision::Variant;
use ifq_model::test::Test;

use crate::executor::counterexample::Counterexample;
use crate::executor::run::{Program, with_program};
use crate::search::cost_bound::{CostBoundedVisited, CostOrder};
use crate::search::dfs::Dfs;
use crate::search::exploration::Progress;
use crate::search::job::SearchJob;
use crate::search::limits::Limits;
use crate::search::options::SearchOptions;
use crate::search::visited::VisitedSet;
use crate::step_table::StepTable;

/// The result of a search for the shortest counterexample.
#[derive(Clone, Debug)]
pub struct Shortest {
    /// The shortest one found.
    pub counterexample: Option<Counterexample>,
    /// The first run that violates another invariant than the wanted one.
    pub other: Option<Counterexample>,
    /// The search was complete: no shorter one exists.
    pub exact: bool,
    /// Number of unique states.
    pub states: u64,
    /// Wall-clock time.
    pub elapsed: Duration,
}

/// Searches for the shortest run that violates an invariant of a variant of the kernel. With `wanted`, only
/// runs that violate this invariant count.
///
/// A run ends with its first violation, so only runs count in which the wanted one comes first. Calls
/// `progress` after every few thousand transitions.
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

/// Searches for the run with the fewest preemptions, and among those for the shortest, that violates an
/// invariant and costs less than `(preemptions, steps)`.
pub fn fewest_preemptions(
    test: &Test,
    variant: &Variant,
    wanted: Invariant,
    (preemptions, steps): (u64, u64),
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Shortest {
    let order = CostOrder::Preemptions;
    let bound = order.cost(preemptions, steps).saturating_sub(1);
    with_program(&Rc::new(test.clone()), variant, |program| {
        branch_and_bound(
            program,
            Some(wanted),
            CostBoundedVisited::new(order, bound),
            limits,
            progress,
        )
    })
}

/// As [`shortest`], for any program.
pub(crate) fn search(
    program: &Program<'_>,
    wanted: Option<Invariant>,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Shortest {
    branch_and_bound(
        program,
        wanted,
        CostBoundedVisited::new(CostOrder::Steps, u64::MAX),
        limits,
        progress,
    )
}

/// Searches with a cost-bounded visited set.
fn branch_and_bound(
    program: &Program<'_>,
    wanted: Option<Invariant>,
    visited: CostBoundedVisited,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Shortest {
    let started = Instant::now();
    let preemptions = visited.counts_preemptions().then_some(u32::MAX);
    let options = SearchOptions { preemptions, ..SearchOptions::UNREDUCED };
    let mut dfs = Dfs::new(program, StepTable::empty(), None, VisitedSet::new(), options);
    dfs.cost_bound = Some(visited);
    dfs.start_job(SearchJob::whole());
    let (mut found, mut other): (Option<Counterexample>, _) = (None, None);
    let (mut limit_reached, mut more) = (false, true);
    // Small, so that a small limit is checked in time.
    let batch = limits.max_states.clamp(1, 1 << 14);
    while more && !limit_reached {
        more = dfs.run(batch, u64::MAX);
        let preemptions = u64::from(dfs.preemptions());
        let Some(visited) = &mut dfs.cost_bound else { break };
        if let Some(counterexample) = dfs.found.take() {
            more = true;
            let is_wanted =
                wanted.is_none_or(|invariant| counterexample.violation.invariant == invariant);
            if !is_wanted {
                other.get_or_insert(counterexample);
            } else if visited.is_cheaper(preemptions, counterexample.steps) {
                found = Some(counterexample);
            }
        }
        let states = visited.len() as u64;
        let (depth, bytes, elapsed) = (dfs.depth(), dfs.bytes(), started.elapsed());
        progress(Progress { states, depth, bytes, pass: 1, share: dfs.share(), elapsed });
        limit_reached = more
            && (states >= limits.max_states
                || limits.is_stopped()
                || limits.max_time.is_some_and(|max| started.elapsed() > max));
    }
    Shortest {
        counterexample: found,
        other,
        exact: !limit_reached && dfs.counts.truncated_paths == 0,
        states: dfs.cost_bound.map_or(0, |visited| visited.len() as u64),
        elapsed: started.elapsed(),
    }
}
