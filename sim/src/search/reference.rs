//! The reference search: the simple implementation that [`crate::search::explore`] is compared with.
//!
//! The core idea is stateless depth-first search with a visited set. It executes the model's futures
//! directly. Futures cannot be cloned, so it backtracks by executing the program again from the start. It
//! uses no reduction and no step table.
//!
//! It also searches the runs that match a schedule in words. The schedule is part of each state: which line is current,
//! and how often its thread came to the place. Reductions would lose runs: a schedule tells independent steps, rings and
//! buffers apart that a reduction identifies.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashSet};
use std::hash::BuildHasherDefault;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ifq_model::fault::FaultPoint;
use ifq_model::revision::Variant;
use ifq_model::test::schedule::Switch;
use ifq_model::test::{Schedule, Test};

use crate::executor::counterexample::Counterexample;
use crate::executor::fingerprint::FingerprintHasher;
use crate::executor::run::{Program, RunResult, run, with_program};
use crate::executor::schedule::follow::{Allowed, Follower};
use crate::executor::schedule::{Deviation, passed_places};
use crate::executor::scheduler::{Scheduler, SchedulingPoint};
use crate::search::decision_path::DecisionPath;
use crate::search::exploration::{Exploration, Unfollowed};
use crate::search::limits::Limits;

#[derive(Debug, Default)]
struct Search {
    visited: HashSet<u128, BuildHasherDefault<FingerprintHasher>>,
    path: DecisionPath,
    transitions: u64,
    max_states: u64,
    remember_states: bool,
    limit_reached: bool,
    /// The schedule that all runs follow, and the state of the current run.
    schedule: Option<Rc<[Switch]>>,
    follower: Option<Follower>,
    /// The deviation of the run that followed most lines.
    deviation: Option<(Deviation, Vec<u32>)>,
}

struct ReferenceScheduler(Rc<RefCell<Search>>);

impl Scheduler for ReferenceScheduler {
    fn wants_fingerprint(&self) -> bool {
        self.0.borrow().path.at_end()
    }

    fn wants_step_log(&self) -> bool {
        self.0.borrow().schedule.is_some()
    }

    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize> {
        let search = &mut *self.0.borrow_mut();
        let (allowed, state) = match &mut search.follower {
            None => (Allowed::All, 0),
            Some(follower) => (follower.allowed(&point), follower.fingerprint()),
        };
        let choices: &[usize] = match &allowed {
            Allowed::None => return None,
            Allowed::Only(thread) => std::slice::from_ref(thread),
            Allowed::All => point.enabled,
        };
        let thread = choices[search.choose(choices.len(), point.fingerprint ^ state)?];
        if let Some(follower) = &mut search.follower {
            follower.picked(&point, thread);
        }
        point.enabled.iter().position(|enabled| *enabled == thread)
    }

    fn fault(&mut self, point: FaultPoint) -> bool {
        let search = &mut *self.0.borrow_mut();
        match search.follower.as_mut().and_then(|follower| follower.fault(point)) {
            Some(fails) => fails,
            None => search.path.fault(),
        }
    }
}

impl Search {
    /// The next of `of` alternatives; `None` ends the run.
    fn choose(&mut self, of: usize, fingerprint: u128) -> Option<usize> {
        let search = self;
        if let Some(taken) = search.path.pick() {
            return Some(taken);
        }
        if search.visited.len() as u64 >= search.max_states {
            search.limit_reached = true;
            return None;
        }
        if !search.visited.insert(fingerprint) && search.remember_states {
            return None;
        }
        search.transitions += 1;
        search.path.push_pick(of);
        Some(0)
    }

    /// Begins a run.
    fn begin(&mut self) {
        self.follower = self.schedule.clone().map(Follower::new);
    }

    /// Ends a run; whether it matches the schedule.
    fn matches(&mut self, run: &RunResult, violated: bool, complete: bool) -> bool {
        let Some(follower) = &mut self.follower else { return true };
        let matches = if violated || complete { follower.finish(complete) } else { false };
        if let Some(deviation) = follower.deviation()
            && self.deviation.as_ref().is_none_or(|(best, _)| best.line < deviation.line)
        {
            self.deviation = Some((deviation.clone(), run.decisions.clone()));
        }
        matches
    }
}

/// As [`crate::search::explore::explore`], by the reference search.
#[must_use]
pub fn explore(test: &Test, variant: &Variant, limits: &Limits) -> Exploration {
    let switches = test.schedule.as_ref().and_then(Schedule::switches);
    with_program(&Rc::new(test.clone()), variant, |program| {
        let switches = switches.map(Rc::from);
        search(&limits.program(program), switches, limits, &mut |_| true)
    })
}

/// The first run that a search finds that matches a schedule in words; otherwise why there is none, if that is known.
pub fn matching_run(
    test: &Test,
    variant: &Variant,
    switches: &[Switch],
    limits: &Limits,
) -> Result<Vec<u32>, Option<Unfollowed>> {
    let mut first = None;
    let found = with_program(&Rc::new(test.clone()), variant, |program| {
        search(program, Some(switches.into()), limits, &mut |run| {
            first = Some(run.decisions.clone());
            false
        })
    });
    first.ok_or(found.unfollowed)
}

/// As [`explore`], for any program. With a schedule, only the runs that match it. Calls
/// `each` after each complete run; `false` ends the search.
pub(crate) fn search(
    program: &Program<'_>,
    schedule: Option<Rc<[Switch]>>,
    limits: &Limits,
    each: &mut dyn FnMut(&RunResult) -> bool,
) -> Exploration {
    let started = Instant::now();
    let search = Rc::new(RefCell::new(Search {
        max_states: limits.max_states,
        remember_states: limits.remember_states,
        schedule,
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
        unfollowed: None,
        elapsed: Duration::ZERO,
    };
    let mut matched = false;
    loop {
        search.borrow_mut().begin();
        let run = run(program, Box::new(ReferenceScheduler(search.clone())), false);
        found.runs += 1;
        found.steps += run.steps;
        found.depth = found.depth.max(run.steps);
        found.truncated_paths += u64::from(run.step_limit_hit);
        let (violated, complete) = (run.violation.is_some(), run.outcome.is_some());
        let matches = search.borrow_mut().matches(&run, violated, complete);
        matched |= matches && (violated || complete);
        let more = !(matches && (violated || complete)) || each(&run);
        found.outcomes.extend(run.outcome.filter(|_| matches));
        if let Some(violation) = run.violation {
            let (decisions, steps) = (run.decisions, run.steps);
            found.counterexample = Some(Counterexample { violation, decisions, steps });
            break;
        }
        let mut search = search.borrow_mut();
        if found.runs.is_multiple_of(64) {
            search.limit_reached |= limits.is_stopped();
            search.limit_reached |= limits.max_time.is_some_and(|max| started.elapsed() > max);
        }
        search.limit_reached |= !more;
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
    if let (Some(switches), Some((deviation, decisions))) = (&search.schedule, &search.deviation)
        && found.exhaustive
        && !matched
    {
        let (switches, deviation) = (switches.clone(), deviation.clone());
        let passed = passed_places(program, switches, decisions);
        found.unfollowed = Some(Unfollowed { deviation, passed });
    }
    found.elapsed = started.elapsed();
    found
}
