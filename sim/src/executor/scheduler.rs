//! Who decides which thread runs next, and which fault point fails.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use ifq_model::fault::FaultPoint;

use crate::executor::rng::Rng;
use crate::executor::threads::{Pending, Thread};

/// A scheduling point: the threads that can run.
#[derive(Clone, Copy, Debug)]
pub struct SchedulingPoint<'a> {
    /// Indices of the threads that can run; never empty. The one that ran last comes first if it
    /// can go on, the others follow in the order of their start.
    pub enabled: &'a [usize],
    /// Whether the first of them is the one that ran last.
    pub continues: bool,
    /// Fingerprint of the state, if [`Scheduler::wants_fingerprint`].
    pub fingerprint: u128,
    /// All threads of the run.
    pub(crate) threads: &'a [Thread],
}

impl SchedulingPoint<'_> {
    /// Whether a thread that was just started runs to its first scheduling point: no choice.
    pub(crate) fn is_start(&self) -> bool {
        self.threads[self.enabled[0]].pending == Pending::Start
    }

    /// The name of a thread that does not depend on the order of starts.
    pub(crate) fn slot(&self, thread: usize) -> u32 {
        self.threads[thread].slot
    }
}

/// Counts preemptions: switches away from a thread that could have gone on.
///
/// The start of a thread is not a choice and no switch: whoever started it still runs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PreemptionCounter {
    /// So many so far.
    pub(crate) count: u64,
    running: usize,
}

impl PreemptionCounter {
    /// The slot of the thread that runs, if it can go on.
    pub(crate) fn running(&self, point: &SchedulingPoint<'_>) -> Option<u32> {
        point.enabled.contains(&self.running).then(|| point.slot(self.running))
    }

    /// A thread was picked.
    pub(crate) fn pick(&mut self, point: &SchedulingPoint<'_>, thread: usize) {
        if point.is_start() {
            return;
        }
        self.count += u64::from(thread != self.running && self.running(point).is_some());
        self.running = thread;
    }
}

/// The source of all decisions of a run.
pub trait Scheduler {
    /// Whether the next [`Scheduler::pick`] looks at the fingerprint.
    fn wants_fingerprint(&self) -> bool {
        false
    }
    /// Which of `point.enabled` runs, as an index into it; `None` ends the run here.
    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize>;
    /// Whether a fault point fails. Asked only while the test allows one more fault.
    fn fault(&mut self, point: FaultPoint) -> bool;
}

/// Every thread that can run has the same chance; a fault point fails once in eight times.
#[derive(Clone, Debug)]
pub struct Random {
    rng: Rng,
}

impl Random {
    /// Same seed, same decisions.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Random { rng: Rng::new(seed) }
    }
}

impl Scheduler for Random {
    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize> {
        Some(self.rng.below(point.enabled.len() as u64) as usize)
    }

    fn fault(&mut self, _: FaultPoint) -> bool {
        self.rng.below(8) == 0
    }
}

/// The thread of highest priority runs; now and then it falls below all others (Burckhardt, Kothari,
/// Musuvathi, Nagarakatte, "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs",
/// ASPLOS 2010). Comes to where one thread is far ahead of another, which [`Random`] hardly ever does.
#[derive(Clone, Debug)]
pub(crate) struct Priorities {
    rng: Rng,
    /// By slot; the highest runs.
    priorities: BTreeMap<u32, i64>,
    lowest: i64,
}

/// Priorities change once in so many steps.
const CHANGES: u64 = 50;

impl Priorities {
    /// Same seed, same decisions.
    pub(crate) fn new(seed: u64) -> Self {
        Priorities { rng: Rng::new(seed), priorities: BTreeMap::new(), lowest: 0 }
    }
}

impl Scheduler for Priorities {
    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize> {
        for thread in point.enabled {
            let priority = self.rng.below(1 << 32) as i64;
            self.priorities.entry(point.slot(*thread)).or_insert(priority);
        }
        let places = 0..point.enabled.len();
        let picked =
            places.max_by_key(|place| self.priorities[&point.slot(point.enabled[*place])])?;
        if self.rng.below(CHANGES) == 0 {
            self.lowest -= 1;
            self.priorities.insert(point.slot(point.enabled[picked]), self.lowest);
        }
        Some(picked)
    }

    fn fault(&mut self, _: FaultPoint) -> bool {
        self.rng.below(8) == 0
    }
}

/// Repeats recorded decisions. After the last one, the thread that ran last goes on, nothing fails.
#[derive(Clone, Debug)]
pub struct Replay {
    decisions: std::vec::IntoIter<u32>,
    diverged: Rc<Cell<Option<usize>>>,
    taken: usize,
}

impl Replay {
    /// Of the decisions of [`crate::executor::run::RunResult::decisions`].
    #[must_use]
    pub fn new(decisions: &[u32]) -> Self {
        let decisions = Vec::from(decisions).into_iter();
        Replay { decisions, diverged: Rc::default(), taken: 0 }
    }

    /// Where to find, after the run, the position of the decision that did not fit.
    #[must_use]
    pub fn diverged(&self) -> Rc<Cell<Option<usize>>> {
        self.diverged.clone()
    }

    fn next(&mut self) -> Option<u32> {
        self.taken += 1;
        self.decisions.next()
    }
}

impl Scheduler for Replay {
    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize> {
        let Some(thread) = self.next() else { return Some(0) };
        let found = point.enabled.iter().position(|t| *t == thread as usize);
        if found.is_none() {
            self.diverged.set(Some(self.taken - 1));
        }
        found
    }

    fn fault(&mut self, _: FaultPoint) -> bool {
        self.next() == Some(1)
    }
}

/// Repeats recorded decisions; after the last one, of those that can run the one that has not run for
/// the longest time does. Nothing fails then.
#[derive(Debug)]
pub(crate) struct InTurn {
    decisions: std::vec::IntoIter<u32>,
    /// By slot: when it ran last.
    ran: BTreeMap<u32, u64>,
    now: u64,
}

impl InTurn {
    pub(crate) fn new(decisions: &[u32]) -> Self {
        let decisions = Vec::from(decisions).into_iter();
        InTurn { decisions, ran: BTreeMap::new(), now: 0 }
    }
}

impl Scheduler for InTurn {
    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize> {
        let ran = |place: &usize| {
            let slot = point.slot(point.enabled[*place]);
            (self.ran.get(&slot).copied().unwrap_or(0), slot)
        };
        let picked = match self.decisions.next() {
            Some(thread) => point.enabled.iter().position(|t| *t == thread as usize)?,
            None => (0..point.enabled.len()).min_by_key(ran)?,
        };
        self.now += 1;
        self.ran.insert(point.slot(point.enabled[picked]), self.now);
        Some(picked)
    }

    fn fault(&mut self, _: FaultPoint) -> bool {
        self.decisions.next() == Some(1)
    }
}

/// Runs decisions read from bytes, for fuzzing: what the bytes say, as long as there are any; then
/// each thread to its end.
#[derive(Clone, Debug)]
pub struct FuzzSchedule {
    bytes: std::vec::IntoIter<u8>,
}

impl FuzzSchedule {
    /// One byte a decision.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let bytes = Vec::from(bytes).into_iter();
        FuzzSchedule { bytes }
    }
}

impl Scheduler for FuzzSchedule {
    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize> {
        // Where there is no choice no byte is spent.
        if point.enabled.len() == 1 {
            return Some(0);
        }
        let byte = self.bytes.next().unwrap_or(0);
        Some(usize::from(byte) % point.enabled.len())
    }

    fn fault(&mut self, _: FaultPoint) -> bool {
        self.bytes.next().unwrap_or(0) & 7 == 7
    }
}
