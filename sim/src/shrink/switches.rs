//! Fewer preemptions in a run, greedily.
//!
//! A run is taken apart into goes: a thread, and how many steps it does before another one runs. A
//! change moves goes together or leaves one out, and is run; what is then no longer possible is
//! skipped. What counts of a change is only the run that came of it.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use ifq_model::fault::FaultPoint;
use ifq_model::invariant::Invariant;

use crate::executor::counterexample::Counterexample;
use crate::executor::run::{Program, run};
use crate::executor::scheduler::{PreemptionCounter, Replay, Scheduler, SchedulingPoint};

/// A thread, by its slot, and its steps in a row.
type Go = (u32, u64);

/// As many steps as it can do.
const ALL: u64 = u64::MAX;

/// What a run does, in terms that mean something for another run.
#[derive(Clone, Debug, Default)]
struct Plan {
    goes: Vec<Go>,
    /// The fault points that fail: of which thread, and which of those it comes to.
    faults: BTreeSet<(u32, u64)>,
}

/// What was taken down of a run.
#[derive(Debug, Default)]
struct Seen {
    plan: Plan,
    preemptions: PreemptionCounter,
    /// Of the thread that runs.
    slot: u32,
    /// How many fault points each thread has come to.
    asked: BTreeMap<u32, u64>,
}

/// Takes a run down.
struct Watch<S> {
    inner: S,
    seen: Rc<RefCell<Seen>>,
}

impl<S: Scheduler> Scheduler for Watch<S> {
    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize> {
        let index = self.inner.pick(point)?;
        let seen = &mut *self.seen.borrow_mut();
        let thread = point.enabled[index];
        seen.preemptions.pick(&point, thread);
        seen.slot = point.slot(thread);
        if !point.is_start() {
            match seen.plan.goes.last_mut().filter(|(slot, _)| *slot == seen.slot) {
                Some((_, steps)) => *steps += 1,
                None => seen.plan.goes.push((seen.slot, 1)),
            }
        }
        Some(index)
    }

    fn fault(&mut self, point: FaultPoint) -> bool {
        let fails = self.inner.fault(point);
        let seen = &mut *self.seen.borrow_mut();
        let asked = seen.asked.entry(seen.slot).or_default();
        if fails {
            seen.plan.faults.insert((seen.slot, *asked));
        }
        *asked += 1;
        fails
    }
}

/// Does what a plan says as far as that is possible; then each thread to its end.
struct Follow {
    goes: std::vec::IntoIter<Go>,
    go: Option<Go>,
    faults: BTreeSet<(u32, u64)>,
    slot: u32,
    asked: BTreeMap<u32, u64>,
}

impl Follow {
    fn new(plan: Plan) -> Self {
        let (goes, faults) = (plan.goes.into_iter(), plan.faults);
        Follow { goes, go: None, faults, slot: 0, asked: BTreeMap::new() }
    }

    fn next(&mut self, point: SchedulingPoint<'_>) -> usize {
        if point.is_start() {
            return 0;
        }
        loop {
            let Some((slot, steps)) = self.go.take().or_else(|| self.goes.next()) else {
                return 0;
            };
            let found = point.enabled.iter().position(|thread| point.slot(*thread) == slot);
            if let Some(index) = found.filter(|_| steps > 0) {
                self.go = Some((slot, steps - u64::from(steps != ALL)));
                return index;
            }
        }
    }
}

impl Scheduler for Follow {
    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize> {
        let index = self.next(point);
        self.slot = point.slot(point.enabled[index]);
        Some(index)
    }

    fn fault(&mut self, _: FaultPoint) -> bool {
        let asked = self.asked.entry(self.slot).or_default();
        *asked += 1;
        self.faults.contains(&(self.slot, *asked - 1))
    }
}

/// A run that breaks an invariant, with what was taken down of it.
struct Broken {
    counterexample: Counterexample,
    plan: Plan,
    preemptions: u64,
}

impl Broken {
    /// What is to fall: preemptions, then steps.
    fn cost(&self) -> (u64, u64) {
        (self.preemptions, self.counterexample.steps)
    }
}

fn watch(
    program: &Program<'_>,
    wanted: Invariant,
    inner: impl Scheduler + 'static,
) -> Option<Broken> {
    let seen = Rc::new(RefCell::new(Seen::default()));
    let run = run(program, Box::new(Watch { inner, seen: seen.clone() }), false);
    let violation = run.violation.filter(|violation| violation.invariant == wanted)?;
    let (decisions, steps) = (run.decisions, run.steps);
    let counterexample = Counterexample { violation, decisions, steps };
    let seen = seen.take();
    Some(Broken { counterexample, plan: seen.plan, preemptions: seen.preemptions.count })
}

/// The number of preemptions of a counterexample.
pub(super) fn preemptions(program: &Program<'_>, found: &Counterexample) -> u64 {
    let replay = Replay::new(&found.decisions);
    watch(program, found.violation.invariant, replay).map_or(0, |run| run.preemptions)
}

/// Takes out what can be taken out, until no change is left that does. Each one that is taken lowers
/// the preemptions, or keeps them and lowers the steps.
pub(super) fn reduce(program: &Program<'_>, found: &Counterexample) -> Counterexample {
    let wanted = found.violation.invariant;
    let Some(mut best) = watch(program, wanted, Replay::new(&found.decisions)) else {
        return found.clone();
    };
    loop {
        let before = best.cost();
        let mut i = 0;
        while i < best.plan.goes.len() {
            let changed = changes(&best.plan, i)
                .into_iter()
                .filter_map(|plan| watch(program, wanted, Follow::new(plan)))
                .find(|run| run.cost() < best.cost());
            match changed {
                Some(run) => best = run,
                None => i += 1,
            }
        }
        if best.cost() == before {
            return best.counterexample;
        }
    }
}

/// Other plans, by the go with this number: it goes on to its end or to the end of the thread's next
/// go, it waits for that, or it is left out.
fn changes(plan: &Plan, i: usize) -> Vec<Plan> {
    let with = |goes: Vec<Go>| Plan { goes, faults: plan.faults.clone() };
    let goes = &plan.goes;
    let (slot, steps) = goes[i];
    let mut to_its_end = goes.clone();
    to_its_end[i].1 = ALL;
    let mut left_out = goes.clone();
    left_out.remove(i);
    let mut plans = vec![with(to_its_end)];
    if let Some(next) = (i + 1..goes.len()).find(|j| goes[*j].0 == slot) {
        let both = (slot, steps.saturating_add(goes[next].1));
        let mut early = goes.clone();
        early.remove(next);
        early[i] = both;
        let mut late = goes.clone();
        late[next] = both;
        late.remove(i);
        plans.extend([with(early), with(late)]);
    }
    plans.push(with(left_out));
    plans
}
