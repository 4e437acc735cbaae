//! A run that follows a schedule in words.

use std::cell::RefCell;
use std::rc::Rc;

use ifq_model::fault::FaultPoint;

use super::follow::{Allowed, Follower};
use crate::executor::scheduler::{Scheduler, SchedulingPoint};

/// Follows a schedule. What it leaves open is decided as follows: the thread that ran last continues, otherwise
/// the thread that started first runs, and nothing fails.
#[derive(Debug)]
pub(crate) struct Follow {
    follower: Rc<RefCell<Follower>>,
    running: usize,
}

impl Follow {
    /// A run of a follower that has taken no step.
    pub(crate) fn new(follower: Rc<RefCell<Follower>>) -> Self {
        Follow { follower, running: 0 }
    }
}

impl Scheduler for Follow {
    fn wants_step_log(&self) -> bool {
        true
    }

    fn pick(&mut self, point: SchedulingPoint<'_>) -> Option<usize> {
        let mut follower = self.follower.borrow_mut();
        let thread = match follower.allowed(&point) {
            Allowed::None => return None,
            Allowed::Only(thread) => thread,
            Allowed::All if point.is_start() => point.enabled[0],
            Allowed::All if point.enabled.contains(&self.running) => self.running,
            Allowed::All => point.enabled.iter().copied().min()?,
        };
        if !point.is_start() {
            self.running = thread;
        }
        follower.picked(&point, thread);
        point.enabled.iter().position(|enabled| *enabled == thread)
    }

    fn fault(&mut self, point: FaultPoint) -> bool {
        self.follower.borrow_mut().fault(point).unwrap_or(false)
    }
}
