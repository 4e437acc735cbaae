//! Scheduling points, and the interface of schedulers.

use ifq_model::fault::FaultPoint;

use crate::executor::machine::Machine;
use crate::executor::threads::{Pending, Thread};

/// A scheduling point.
#[derive(Clone, Copy, Debug)]
pub struct SchedulingPoint<'a> {
    /// Indices of the enabled threads; never empty. The thread that ran last comes first if it is enabled,
    /// the others follow in the order of spawning.
    pub enabled: &'a [usize],
    /// Whether the first of them is the one that ran last.
    pub continues: bool,
    /// Fingerprint of the state, if [`Scheduler::wants_fingerprint`].
    pub fingerprint: u128,
    /// All threads of the run.
    pub(crate) threads: &'a [Thread],
    /// The machine.
    pub(crate) machine: &'a Machine,
}

impl SchedulingPoint<'_> {
    /// Whether a new thread runs to its first scheduling point, which is not a choice.
    pub(crate) fn is_start(&self) -> bool {
        self.threads[self.enabled[0]].pending == Pending::Start
    }

    /// The slot of a thread: the same in all runs.
    pub(crate) fn slot(&self, thread: usize) -> u32 {
        self.threads[thread].slot
    }
}

/// Counts preemptions: switches away from an enabled thread.
///
/// The start of a new thread is not a switch: the thread that spawned it counts as running.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PreemptionCounter {
    /// Number of preemptions so far.
    pub(crate) count: u64,
    running: usize,
}

impl PreemptionCounter {
    /// The slot of the running thread, if it is enabled.
    pub(crate) fn running(&self, point: &SchedulingPoint<'_>) -> Option<u32> {
        point.enabled.contains(&self.running).then(|| point.slot(self.running))
    }

    /// Counts the choice of `thread`.
    pub(crate) fn pick(&mut self, point: &SchedulingPoint<'_>, thread: usize) {
        if point.is_start() {
            return;
        }
        self.count += u64::from(thread != self.running && self.running(point).is_some());
        self.running = thread;
    }
}

/// Takes all decisions of a run.
pub trait Scheduler {
    /// Whether the next [`Scheduler::pick`] needs the fingerprint.
    fn wants_fingerprint(&self) -> bool {
        false
    }
    /// Whether states of the run are compared. Otherwise the machine has no fingerprints, and a run that never
    /// ends is found by its length only.
    fn compares_states(&self) -> bool {
        true
    }
    /// Whether the machine records what each step does in the terms of a schedule in words.
    fn wants_step_log(&self) -> bool {
        false
    }
    /// Returns an index into `point.enabled`; `None` ends the run.
    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize>;
    /// Whether a fault point fails. Called only while the test allows one more fault.
    fn fault(&mut self, point: FaultPoint) -> bool;
}
