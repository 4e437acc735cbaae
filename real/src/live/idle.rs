//! When a wait may give up.
//!
//! The model's wait ends without a completion only when nothing else can run any more, and the
//! earliest such thread gives up first. Here the same is said with time: nothing has happened for
//! a while, and no earlier thread is waiting as well.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long nothing may happen before a wait gives up, unless told otherwise. Longer than what the
/// kernel does on its own (an RCU grace period, one turn of `io_ring_exit_work`).
pub const IDLE_TIMEOUT: Duration = Duration::from_millis(300);

/// The time is counted in so many parts, each of which the kernel was asked for: while a machine
/// stands still for long, one goes by.
pub(super) const TICKS: u32 = 20;
/// When every other thread is idle or waits too, only what the kernel does on its own is left, and
/// of that nothing completes a request: so many parts are enough.
const FEW: u32 = 2;

/// Watches the progress of one run.
#[derive(Debug)]
pub(super) struct IdleTracker {
    limit: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Steps that ended, and threads that were let go on.
    progress: u64,
    waiting: Vec<bool>,
    /// Threads that do nothing before another one does something, or at all.
    idle: Vec<bool>,
    /// Threads that have come to where all of them wait.
    met: usize,
}

/// What one wait has seen of it.
#[derive(Debug)]
pub(super) struct IdleWait {
    progress: u64,
    ticks: u32,
}

impl IdleWait {
    /// Whether nothing has happened since the kernel was asked last.
    pub(super) fn is_undisturbed(&self, quiet: &IdleTracker) -> bool {
        self.progress == quiet.state().progress
    }
}

impl IdleTracker {
    pub(super) fn new(limit: Duration, threads: usize) -> Self {
        let state = State {
            progress: 0,
            waiting: vec![false; threads],
            idle: vec![false; threads],
            met: 0,
        };
        IdleTracker { limit, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened: a step ended.
    pub(super) fn progress(&self) {
        self.state().progress += 1;
    }

    /// A thread begins or ends to be idle. Whoever lets it go on ends it, since to wake up takes time.
    pub(super) fn set_idle(&self, thread: usize, idle: bool) {
        self.state().idle[thread] = idle;
    }

    /// A thread comes to where all of them wait for each other; the last one lets them go on.
    pub(super) fn meet(&self, thread: usize) {
        let mut state = self.state();
        state.idle[thread] = true;
        state.met += 1;
        if state.met == state.idle.len() {
            state.met = 0;
            state.idle.fill(false);
            state.progress += 1;
        }
    }

    /// A value is there: whoever waits for one may go on.
    pub(super) fn wake(&self, threads: impl Iterator<Item = usize>) {
        let mut state = self.state();
        threads.for_each(|thread| state.idle[thread] = false);
        state.progress += 1;
    }

    /// A thread begins to wait.
    pub(super) fn begin(&self, thread: usize) -> IdleWait {
        let mut state = self.state();
        state.waiting[thread] = true;
        IdleWait { progress: state.progress, ticks: 0 }
    }

    /// A thread waits no more.
    pub(super) fn end(&self, thread: usize) {
        self.state().waiting[thread] = false;
    }

    /// The other threads that neither wait nor are idle.
    pub(super) fn busy(&self, thread: usize) -> Vec<usize> {
        let state = self.state();
        let busy = |&other: &usize| other != thread && !state.waiting[other] && !state.idle[other];
        (0..state.idle.len()).filter(busy).collect()
    }

    /// How long the kernel is asked each time.
    pub(super) fn tick(&self) -> Duration {
        self.limit / TICKS
    }

    /// The kernel was asked for a [`IdleTracker::tick`] and nothing came: whether the thread gives up now,
    /// which is progress.
    pub(super) fn gives_up(&self, thread: usize, patience: &mut IdleWait) -> bool {
        let mut state = self.state();
        if patience.progress != state.progress {
            *patience = IdleWait { progress: state.progress, ticks: 0 };
        }
        patience.ticks += 1;
        let rests = |(waits, idle): (&bool, &bool)| *waits || *idle;
        let alone = state.waiting.iter().zip(&state.idle).all(rests);
        let enough = if alone { FEW } else { TICKS };
        if patience.ticks < enough || state.waiting[..thread].contains(&true) {
            return false;
        }
        state.progress += 1;
        state.waiting[thread] = false;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet(threads: usize) -> IdleTracker {
        IdleTracker::new(IDLE_TIMEOUT, threads)
    }

    /// After how many empty ticks in a row a thread gives up, at most `most`.
    fn ticks(quiet: &IdleTracker, thread: usize, most: u32) -> Option<u32> {
        let mut patience = quiet.begin(thread);
        (1..=most).find(|_| quiet.gives_up(thread, &mut patience))
    }

    #[test]
    fn the_earliest_waiting_thread_gives_up_first_and_that_is_progress() {
        let quiet = quiet(3);
        quiet.set_idle(0, true);
        let (mut first, mut second) = (quiet.begin(1), quiet.begin(2));
        for _ in 0..2 * TICKS {
            assert!(!quiet.gives_up(2, &mut second), "thread 1 waits too");
        }
        assert!(!quiet.gives_up(1, &mut first));
        assert!(quiet.gives_up(1, &mut first));
        assert!(!quiet.gives_up(2, &mut second), "it counts anew");
        quiet.set_idle(1, true);
        assert!(quiet.gives_up(2, &mut second), "thread 1 waits no more");
    }

    #[test]
    fn progress_of_any_thread_starts_the_time_again() {
        let quiet = quiet(2);
        let mut patience = quiet.begin(0);
        for _ in 1..TICKS {
            assert!(!quiet.gives_up(0, &mut patience));
        }
        quiet.progress();
        assert!(!quiet.gives_up(0, &mut patience));
        assert_eq!(patience.ticks, 1);
    }

    #[test]
    fn a_thread_that_may_still_act_is_waited_for_longer() {
        assert_eq!(ticks(&quiet(2), 1, 100), Some(TICKS));
        let alone = quiet(2);
        alone.set_idle(0, true);
        assert_eq!(ticks(&alone, 1, 100), Some(FEW));
        assert_eq!(alone.tick() * TICKS, IDLE_TIMEOUT);
    }

    #[test]
    fn whoever_is_let_go_on_is_not_idle_before_it_runs() {
        let quiet = quiet(2);
        quiet.set_idle(0, true);
        quiet.wake([0].into_iter());
        assert_eq!(ticks(&quiet, 1, FEW), None);
        quiet.meet(0);
        assert_eq!(ticks(&quiet, 1, FEW), Some(FEW));
        quiet.meet(1);
        assert_eq!(ticks(&quiet, 1, FEW), None);
    }
}
