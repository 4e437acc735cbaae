//! Replays the schedule of a test file.

use std::rc::Rc;

use ifq_model::revision::Variant;
use ifq_model::test::{Schedule, Test};

use crate::executor::run::{RunResult, run_once, run_traced};
use crate::executor::scheduler::Replay;
use crate::report::table::MAX_TABLE_STEPS;

/// A replayed run.
#[derive(Debug)]
pub struct Replayed {
    /// The variant that the schedule names.
    pub variant: Variant,
    /// The run. It has a trace if it was traced and has at most [`MAX_TABLE_STEPS`] steps.
    pub run: RunResult,
    /// Index of the first decision that names a thread that cannot run.
    pub diverged_at: Option<usize>,
}

/// Replays a schedule without a trace.
#[must_use]
pub fn replay(test: &Rc<Test>, schedule: &Schedule) -> Replayed {
    let variant = Variant::with(test.revisions[0], &schedule.defects).without(&schedule.without);
    let replay = Replay::new(schedule.decisions().unwrap_or_default());
    let diverged = replay.diverged();
    let run = run_once(test, &variant, Box::new(replay));
    Replayed { variant, run, diverged_at: diverged.get() }
}

/// Replays a schedule and records the trace, unless the run is too long to be shown.
#[must_use]
pub fn replay_traced(test: &Rc<Test>, schedule: &Schedule) -> Replayed {
    let mut replayed = replay(test, schedule);
    if replayed.run.steps <= MAX_TABLE_STEPS {
        let replay = Replay::new(schedule.decisions().unwrap_or_default());
        replayed.run = run_traced(test, &replayed.variant, Box::new(replay));
    }
    replayed
}
