//! The idle timeout: when a wait for a completion ends without one.
//!
//! In the model such a wait ends without a completion only when no thread can run, and the waiting
//! thread with the smallest number ends first. Here time stands for that: the test has made no progress
//! for a while, and no thread with a smaller number waits.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Default idle timeout. Longer than the background work of the kernel (an RCU grace period, one round
/// of `io_ring_exit_work`).
pub const IDLE_TIMEOUT: Duration = Duration::from_millis(300);

/// The timeout is counted in ticks. Each tick is one wait in the kernel, so a machine that is paused
/// for long loses one tick only.
pub(super) const TICKS: u32 = 20;
/// Ticks that are enough when every other thread is idle or waits, too: only background work of the
/// kernel is left, which completes no request.
const IDLE_TICKS: u32 = 2;

/// Tracks the progress of one run.
#[derive(Debug)]
pub(super) struct IdleTracker {
    limit: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Number of steps that ended and threads that were woken.
    progress: u64,
    waiting: Vec<bool>,
    /// Threads that are blocked on another thread, or have nothing to do.
    idle: Vec<bool>,
    /// Threads that have arrived at the barrier.
    arrived: usize,
}

/// The state of one wait.
#[derive(Debug)]
pub(super) struct IdleWait {
    progress: u64,
    ticks: u32,
}

impl IdleWait {
    /// Whether there was no progress since the last tick.
    pub(super) fn saw_no_progress(&self, tracker: &IdleTracker) -> bool {
        self.progress == tracker.state().progress
    }
}

impl IdleTracker {
    pub(super) fn new(limit: Duration, threads: usize) -> Self {
        let state = State {
            progress: 0,
            waiting: vec![false; threads],
            idle: vec![false; threads],
            arrived: 0,
        };
        IdleTracker { limit, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a step that ended as progress.
    pub(super) fn progress(&self) {
        self.state().progress += 1;
    }

    /// Marks a thread as idle or not. The thread that wakes it must clear the mark, because waking takes
    /// time.
    pub(super) fn set_idle(&self, thread: usize, idle: bool) {
        self.state().idle[thread] = idle;
    }

    /// A thread arrives at the barrier; the last one releases all.
    pub(super) fn arrive(&self, thread: usize) {
        let mut state = self.state();
        state.idle[thread] = true;
        state.arrived += 1;
        if state.arrived == state.idle.len() {
            state.arrived = 0;
            state.idle.fill(false);
            state.progress += 1;
        }
    }

    /// A value was bound: marks the threads that wait for it as running.
    pub(super) fn wake(&self, threads: impl Iterator<Item = usize>) {
        let mut state = self.state();
        threads.for_each(|thread| state.idle[thread] = false);
        state.progress += 1;
    }

    /// A thread starts a wait.
    pub(super) fn begin(&self, thread: usize) -> IdleWait {
        let mut state = self.state();
        state.waiting[thread] = true;
        IdleWait { progress: state.progress, ticks: 0 }
    }

    /// A thread ends its wait.
    pub(super) fn end(&self, thread: usize) {
        self.state().waiting[thread] = false;
    }

    /// The other threads that neither wait nor are idle.
    pub(super) fn busy(&self, thread: usize) -> Vec<usize> {
        let state = self.state();
        let busy = |&other: &usize| other != thread && !state.waiting[other] && !state.idle[other];
        (0..state.idle.len()).filter(busy).collect()
    }

    /// The length of a tick.
    pub(super) fn tick(&self) -> Duration {
        self.limit / TICKS
    }

    /// Counts one [tick](IdleTracker::tick) without a completion. Returns whether the wait ends now, which
    /// counts as progress.
    pub(super) fn timed_out(&self, thread: usize, wait: &mut IdleWait) -> bool {
        let mut state = self.state();
        if wait.progress != state.progress {
            *wait = IdleWait { progress: state.progress, ticks: 0 };
        }
        wait.ticks += 1;
        let inactive = |(waits, idle): (&bool, &bool)| *waits || *idle;
        let all_inactive = state.waiting.iter().zip(&state.idle).all(inactive);
        let enough = if all_inactive { IDLE_TICKS } else { TICKS };
        if wait.ticks < enough || state.waiting[..thread].contains(&true) {
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

    fn tracker(threads: usize) -> IdleTracker {
        IdleTracker::new(IDLE_TIMEOUT, threads)
    }

    /// The number of ticks after which a wait ends, at most `most`.
    fn ticks(tracker: &IdleTracker, thread: usize, most: u32) -> Option<u32> {
        let mut wait = tracker.begin(thread);
        (1..=most).find(|_| tracker.timed_out(thread, &mut wait))
    }

    #[test]
    fn the_waiting_thread_with_the_smallest_number_times_out_first_and_that_is_progress() {
        let tracker = tracker(3);
        tracker.set_idle(0, true);
        let (mut first, mut second) = (tracker.begin(1), tracker.begin(2));
        for _ in 0..2 * TICKS {
            assert!(!tracker.timed_out(2, &mut second), "thread 1 waits too");
        }
        assert!(!tracker.timed_out(1, &mut first));
        assert!(tracker.timed_out(1, &mut first));
        assert!(!tracker.timed_out(2, &mut second), "its ticks start again");
        tracker.set_idle(1, true);
        assert!(tracker.timed_out(2, &mut second), "thread 1 does not wait");
    }

    #[test]
    fn progress_of_any_thread_restarts_the_timeout() {
        let tracker = tracker(2);
        let mut wait = tracker.begin(0);
        for _ in 1..TICKS {
            assert!(!tracker.timed_out(0, &mut wait));
        }
        tracker.progress();
        assert!(!tracker.timed_out(0, &mut wait));
        assert_eq!(wait.ticks, 1);
    }

    #[test]
    fn the_timeout_is_longer_while_another_thread_may_run() {
        assert_eq!(ticks(&tracker(2), 1, 100), Some(TICKS));
        let alone = tracker(2);
        alone.set_idle(0, true);
        assert_eq!(ticks(&alone, 1, 100), Some(IDLE_TICKS));
        assert_eq!(alone.tick() * TICKS, IDLE_TIMEOUT);
    }

    #[test]
    fn a_woken_thread_is_not_idle_before_it_runs() {
        let tracker = tracker(2);
        tracker.set_idle(0, true);
        tracker.wake([0].into_iter());
        assert_eq!(ticks(&tracker, 1, IDLE_TICKS), None);
        tracker.arrive(0);
        assert_eq!(ticks(&tracker, 1, IDLE_TICKS), Some(IDLE_TICKS));
        tracker.arrive(1);
        assert_eq!(ticks(&tracker, 1, IDLE_TICKS), None);
    }
}
