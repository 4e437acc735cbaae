//! Shortest witnesses: for each wanted outcome, a run with the fewest steps that ends with it.
//!
//! One search finds all of them. It is the depth-first branch and bound of [`super::shortest`], except that
//! it prunes only once each wanted outcome was reached: then a path ends as soon as it cannot be shorter
//! than the longest of the runs so far.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ifq_model::outcome::Outcome;
use ifq_model::revision::Variant;
use ifq_model::test::schedule::Switch;
use ifq_model::test::{Schedule, Test};

use crate::executor::run::{Program, with_program};
use crate::executor::witness::Witness;
use crate::search::cost_bound::{CostBoundedVisited, CostOrder};
use crate::search::dfs::Dfs;
use crate::search::exploration::Progress;
use crate::search::job::SearchJob;
use crate::search::limits::Limits;
use crate::search::options::SearchOptions;
use crate::search::reference::each_matching_run;
use crate::search::shortest_runs::ShortestRuns;
use crate::search::visited::VisitedSet;
use crate::step_table::StepTable;

/// The result of a search for shortest witnesses.
#[derive(Clone, Debug)]
pub struct Witnesses {
    /// The shortest one found for each wanted outcome, sorted by outcome.
    pub witnesses: Vec<Witness>,
    /// The search was complete: no shorter ones exist, and an outcome without one is impossible.
    pub exact: bool,
    /// Number of unique states.
    pub states: u64,
    /// Wall-clock time.
    pub elapsed: Duration,
}

impl Witnesses {
    /// The witness of an outcome.
    #[must_use]
    pub fn of(&self, outcome: &Outcome) -> Option<&Witness> {
        self.witnesses.iter().find(|witness| witness.outcome == *outcome)
    }

    /// The shortest of all; of equally long ones, the first.
    #[must_use]
    pub fn shortest(&self) -> Option<&Witness> {
        self.witnesses.iter().min_by_key(|witness| witness.steps)
    }
}

/// Searches for the shortest run of a variant of the kernel that ends with each of the outcomes.
///
/// Runs that violate an invariant have no outcome. The search uses no reduction and one processor; of
/// `limits` only the numbers of states and seconds count. Calls `progress` after every few thousand
/// transitions.
pub fn shortest_witnesses(
    test: &Test,
    variant: &Variant,
    outcomes: &BTreeSet<Outcome>,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Witnesses {
    if let Some(switches) = test.schedule.as_ref().and_then(Schedule::switches) {
        return matching_witnesses(test, variant, switches, outcomes, limits);
    }
    with_program(&Rc::new(test.clone()), variant, |program| {
        search(&limits.program(program), outcomes, limits, progress)
    })
}

/// For each outcome the shortest run that the search with a schedule meets.
fn matching_witnesses(
    test: &Test,
    variant: &Variant,
    switches: &[Switch],
    outcomes: &BTreeSet<Outcome>,
    limits: &Limits,
) -> Witnesses {
    let mut witnesses: BTreeMap<Outcome, Witness> = BTreeMap::new();
    let found = each_matching_run(test, variant, switches, limits, &mut |run| {
        if let Some(outcome) = run.outcome.as_ref().filter(|outcome| outcomes.contains(outcome))
            && witnesses.get(outcome).is_none_or(|known| known.steps > run.steps)
        {
            let (decisions, steps) = (run.decisions.clone(), run.steps);
            let witness = Witness { outcome: outcome.clone(), decisions, steps };
            witnesses.insert(outcome.clone(), witness);
        }
        true
    });
    Witnesses {
        witnesses: witnesses.into_values().collect(),
        // The search ends a path at a state that it has seen on a longer one.
        exact: false,
        states: found.states,
        elapsed: found.elapsed,
    }
}

/// As [`shortest_witnesses`], for any program.
pub(crate) fn search(
    program: &Program<'_>,
    outcomes: &BTreeSet<Outcome>,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Witnesses {
    let started = Instant::now();
    let mut dfs =
        Dfs::new(program, StepTable::empty(), None, VisitedSet::new(), SearchOptions::UNREDUCED);
    dfs.cost_bound = Some(CostBoundedVisited::new(CostOrder::Steps, u64::MAX));
    dfs.shortest_runs = Some(ShortestRuns::new(outcomes));
    dfs.start_job(SearchJob::whole());
    let (mut limit_reached, mut more) = (false, !outcomes.is_empty());
    // Small, so that a small limit is checked in time.
    let batch = limits.max_states.clamp(1, 1 << 14);
    while more && !limit_reached {
        more = dfs.run(batch, u64::MAX);
        // A run that violates an invariant has no outcome.
        more |= dfs.found.take().is_some();
        let states = dfs.cost_bound.as_ref().map_or(0, |visited| visited.len() as u64);
        let (depth, bytes, elapsed) = (dfs.depth(), dfs.bytes(), started.elapsed());
        progress(Progress { states, depth, bytes, pass: 1, share: dfs.share(), elapsed });
        limit_reached = more
            && (states >= limits.max_states
                || limits.max_time.is_some_and(|max| started.elapsed() > max));
    }
    let found = dfs.shortest_runs.take().map(ShortestRuns::into_witnesses);
    Witnesses {
        witnesses: found.unwrap_or_default(),
        exact: !limit_reached && dfs.counts.truncated_paths == 0,
        states: dfs.cost_bound.map_or(0, |visited| visited.len() as u64),
        elapsed: started.elapsed(),
    }
}
