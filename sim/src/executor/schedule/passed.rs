//! The places that a thread came to instead of the one of its line.

use std::cell::RefCell;
use std::rc::Rc;

use ifq_model::fault::FaultPoint;
use ifq_model::test::schedule::{CodePlace, Switch};

use super::follow::{Allowed, Follower};
use crate::executor::run::{Program, run};
use crate::executor::scheduler::{Replay, Scheduler, SchedulingPoint};

struct ObservedReplay {
    inner: Replay,
    follower: Rc<RefCell<Follower>>,
}

impl Scheduler for ObservedReplay {
    fn wants_step_log(&self) -> bool {
        true
    }

    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize> {
        let mut follower = self.follower.borrow_mut();
        if follower.allowed(&point) == Allowed::None {
            return None;
        }
        let index = self.inner.pick(point)?;
        follower.picked(&point, point.enabled[index]);
        Some(index)
    }

    fn fault(&mut self, point: FaultPoint) -> bool {
        self.follower.borrow_mut().fault(point);
        self.inner.fault(point)
    }
}

/// The places that the thread of the line that a run did not follow came to in that line.
pub(crate) fn passed_places(
    program: &Program<'_>,
    switches: Rc<[Switch]>,
    decisions: &[u32],
) -> Vec<CodePlace> {
    let mut follower = Follower::new(switches);
    follower.passed = Some(Vec::new());
    let follower = Rc::new(RefCell::new(follower));
    let inner = Replay::new(decisions);
    let _ = run(program, Box::new(ObservedReplay { inner, follower: follower.clone() }), false);
    let passed = follower.borrow_mut().passed.take();
    passed.unwrap_or_default()
}
