//! Replays the schedule of a test file.

use std::rc::Rc;

use ifq_model::revision::Variant;
use ifq_model::test::schedule::Switch;
use ifq_model::test::{Schedule, ScheduleOrder, Test};

use crate::executor::run::{RunResult, run_once, run_traced};
use crate::executor::schedule::run_following;
use crate::executor::scheduler::Replay;
use crate::report::table::MAX_TABLE_STEPS;
use crate::search::exploration::Unfollowed;
use crate::search::limits::Limits;
use crate::search::reference::matching_run;

/// A replayed run.
#[derive(Debug)]
pub struct Replayed {
    /// The variant that the schedule names.
    pub variant: Variant,
    /// The run. It has a trace if it was traced and has at most [`MAX_TABLE_STEPS`] steps.
    pub run: RunResult,
    /// Index of the first decision that names a thread that cannot run.
    pub diverged_at: Option<usize>,
    /// Why no run matches a schedule in words.
    pub unfollowed: Option<Unfollowed>,
}

/// Number of states of the search for a run that matches a schedule that leaves something open.
const SEARCHED_STATES: u64 = 1 << 20;

/// Replays a schedule without a trace.
#[must_use]
pub fn replay(test: &Rc<Test>, schedule: &Schedule) -> Replayed {
    let variant = Variant::with(test.revisions[0], &schedule.defects).without(&schedule.without);
    match &schedule.order {
        ScheduleOrder::Decisions(decisions) => {
            let replay = Replay::new(decisions);
            let diverged = replay.diverged();
            let run = run_once(test, &variant, Box::new(replay));
            Replayed { variant, run, diverged_at: diverged.get(), unfollowed: None }
        }
        ScheduleOrder::Switches(switches) => follow(test, variant, switches),
    }
}

/// Follows a schedule in words. If the run that leaves nothing to choice does not match, searches for one that does.
fn follow(test: &Rc<Test>, variant: Variant, switches: &[Switch]) -> Replayed {
    let (run, deviation) = run_following(test, &variant, switches);
    let Some(deviation) = deviation else {
        return Replayed { variant, run, diverged_at: None, unfollowed: None };
    };
    let limits = Limits { max_states: SEARCHED_STATES, ..Limits::default() };
    match matching_run(test, &variant, switches, &limits) {
        Ok(decisions) => {
            let run = run_once(test, &variant, Box::new(Replay::new(&decisions)));
            Replayed { variant, run, diverged_at: None, unfollowed: None }
        }
        Err(unfollowed) => {
            let known = || Unfollowed { deviation, passed: Vec::new() };
            let unfollowed = Some(unfollowed.unwrap_or_else(known));
            Replayed { variant, run, diverged_at: None, unfollowed }
        }
    }
}

/// Replays a schedule and records the trace, unless the run is too long to be shown.
#[must_use]
pub fn replay_traced(test: &Rc<Test>, schedule: &Schedule) -> Replayed {
    let mut replayed = replay(test, schedule);
    if replayed.run.steps <= MAX_TABLE_STEPS {
        let replay = Replay::new(&replayed.run.decisions);
        replayed.run = run_traced(test, &replayed.variant, Box::new(replay));
    }
    replayed
}
