//! Schedules in words: runs that follow one, and the words for a run.

pub(crate) mod describe;
pub(crate) mod follow;
mod named;
mod passed;
mod scheduler;

use std::cell::RefCell;
use std::rc::Rc;

use ifq_model::revision::Variant;
use ifq_model::test::schedule::Switch;
use ifq_model::test::{ScheduleOrder, Test, limits};

pub use describe::switches;
use follow::Follower;
pub use follow::{Deviation, Instead};
pub(crate) use passed::passed_places;
use scheduler::Follow;

use super::run::{RunResult, run, with_program};

/// Runs a test once and follows a schedule in words. What the schedule leaves open is decided as follows: the thread
/// that ran last continues, otherwise the thread that started first runs, and no fault point fails. Also returns why
/// the run does not match, if it does not.
#[must_use]
pub fn run_following(
    test: &Rc<Test>,
    variant: &Variant,
    switches: &[Switch],
) -> (RunResult, Option<Deviation>) {
    with_program(test, variant, |program| {
        let follower = Rc::new(RefCell::new(Follower::new(switches.into())));
        let result = run(program, Box::new(Follow::new(follower.clone())), false);
        let mut follower = follower.borrow_mut();
        follower.finish(result.outcome.is_some());
        (result, follower.deviation().cloned())
    })
}

/// The schedule of the run with these decisions: in words, or the decisions if words cannot repeat the run.
pub(crate) fn schedule_order(test: &Test, variant: &Variant, decisions: &[u32]) -> ScheduleOrder {
    match switches(test, variant, decisions) {
        Some(switches) if (1..=limits::STEPS).contains(&switches.len()) => {
            ScheduleOrder::Switches(switches)
        }
        _ => ScheduleOrder::Decisions(decisions.to_vec()),
    }
}
