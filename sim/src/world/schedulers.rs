//! The scheduler of a world: a [`Strategy`] and faults during the storm; fair and without faults before and
//! after it.

use std::collections::BTreeMap;

use ifq_model::fault::FaultPoint;
use ifq_model::platform::FIRST_KERNEL_SLOT;

use super::faults::{FaultRate, Faults};
use super::strategy::Strategy;
use crate::executor::rng::Rng;
use crate::executor::scheduler::{Scheduler, SchedulingPoint};

/// The parts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The first thread sets up.
    Setup,
    /// The threads of the test run.
    Storm,
    /// All threads of the test have ended.
    Healed,
}

/// Takes the decisions of a world.
#[derive(Clone, Debug)]
pub(super) struct WorldScheduler {
    rng: Rng,
    strategy: Strategy,
    faults: Faults,
    phase: Phase,
    /// Steps of the storm.
    steps: u64,
    /// The steps at which a priority changes or a preemption occurs, the last first.
    changes: Vec<u64>,
    /// By slot, for [`Strategy::Pct`].
    priorities: BTreeMap<u32, i64>,
    /// By thread, for [`Strategy::Pct`]: the priority of its slot, once it was looked up.
    known: Vec<Option<i64>>,
    lowest: i64,
}

impl WorldScheduler {
    /// The same seed gives the same decisions.
    pub(super) fn new(seed: u64, strategy: Strategy, faults: &[FaultRate]) -> Self {
        let mut rng = Rng::new(seed);
        let faults = Faults::new(rng.next_u64(), faults);
        let (count, length) = match strategy {
            Strategy::Pct { depth, length } => (depth.saturating_sub(1), length),
            Strategy::Bounded { preemptions, length } => (preemptions, length),
            Strategy::Uniform | Strategy::Starving { .. } => (0, 1),
        };
        let mut changes: Vec<u64> = (0..count).map(|_| rng.below(length.max(1))).collect();
        changes.sort_unstable_by(|a, b| b.cmp(a));
        let priorities = BTreeMap::new();
        let (phase, steps, lowest) = (Phase::Setup, 0, 0);
        let known = Vec::new();
        WorldScheduler { rng, strategy, faults, phase, steps, changes, priorities, known, lowest }
    }

    fn uniform(&mut self, count: usize) -> usize {
        self.rng.below(count as u64) as usize
    }

    /// Whether a change is due at this step.
    fn changes_now(&mut self) -> bool {
        let due = self.changes.last().is_some_and(|at| *at <= self.steps);
        if due {
            self.changes.pop();
        }
        due
    }

    fn storm(&mut self, point: &SchedulingPoint<'_>) -> usize {
        let count = point.enabled.len();
        match self.strategy {
            Strategy::Uniform => self.uniform(count),
            Strategy::Pct { .. } => self.highest_priority(point),
            Strategy::Bounded { .. } => {
                let preempt = self.changes_now();
                if point.continues && !preempt { 0 } else { self.uniform(count) }
            }
            Strategy::Starving { thread } => {
                let starved = |at: &usize| point.slot(*at) == thread + 1;
                match point.enabled.iter().position(starved) {
                    None => self.uniform(count),
                    Some(at) => {
                        let other = self.uniform(count - 1);
                        other + usize::from(other >= at)
                    }
                }
            }
        }
    }

    /// The enabled thread of highest priority (Burckhardt et al., "A Randomized Scheduler with Probabilistic
    /// Guarantees of Finding Bugs", ASPLOS 2010).
    fn highest_priority(&mut self, point: &SchedulingPoint<'_>) -> usize {
        let (mut best, mut highest) = (0, i64::MIN);
        for (at, thread) in point.enabled.iter().enumerate() {
            let priority = match self.known.get(*thread) {
                Some(Some(known)) => *known,
                _ => self.look_up(*thread, point.slot(*thread)),
            };
            if priority > highest {
                (best, highest) = (at, priority);
            }
        }
        if self.changes_now() {
            self.lowest -= 1;
            let thread = point.enabled[best];
            self.priorities.insert(point.slot(thread), self.lowest);
            self.known[thread] = Some(self.lowest);
        }
        best
    }

    /// The priority of a thread that was not enabled before: that of its slot. No two threads that have not
    /// ended have the same slot.
    fn look_up(&mut self, thread: usize, slot: u32) -> i64 {
        let rng = &mut self.rng;
        let priority = *self.priorities.entry(slot).or_insert_with(|| rng.below(1 << 32) as i64);
        if self.known.len() <= thread {
            self.known.resize(thread + 1, None);
        }
        self.known[thread] = Some(priority);
        priority
    }
}

impl Scheduler for WorldScheduler {
    fn compares_states(&self) -> bool {
        false
    }

    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize> {
        let count = point.enabled.len();
        let picked = match self.phase {
            _ if count == 1 => 0,
            Phase::Storm => self.storm(&point),
            Phase::Setup | Phase::Healed => self.uniform(count),
        };
        let slot = point.slot(point.enabled[picked]);
        self.phase = match self.phase {
            Phase::Setup if slot != 0 && slot < FIRST_KERNEL_SLOT => Phase::Storm,
            Phase::Storm if slot == 0 => Phase::Healed,
            phase => phase,
        };
        self.steps += u64::from(self.phase == Phase::Storm);
        Some(picked)
    }

    fn fault(&mut self, point: FaultPoint) -> bool {
        self.phase == Phase::Storm && self.faults.fails(point)
    }
}
