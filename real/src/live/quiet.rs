//! When a wait may give up.
//!
//! The model's wait ends without a completion only when nothing else can run any more, and the
//! earliest such thread gives up first. Here the same is said with time: nothing has happened for
//! a while, and no earlier thread is waiting as well.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long nothing may happen before a wait gives up, unless told otherwise. Longer than what the
/// kernel does on its own (an RCU grace period, one turn of `io_ring_exit_work`).
pub const QUIET: Duration = Duration::from_millis(300);

/// Watches the progress of one run.
#[derive(Debug)]
pub(super) struct Quiet {
    limit: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    last_progress: Instant,
    waiting: Vec<bool>,
    /// Threads that do nothing before another one does something, or at all.
    idle: Vec<bool>,
    /// Threads that have come to where all of them wait.
    met: usize,
}

/// When every other thread is idle or waits too, only what the kernel does on its own is left, and
/// of that nothing completes a request: this part of the time is enough.
const SHORT: u32 = 10;

impl Quiet {
    pub(super) fn new(limit: Duration, threads: usize) -> Self {
        let state = State {
            last_progress: Instant::now(),
            waiting: vec![false; threads],
            idle: vec![false; threads],
            met: 0,
        };
        Quiet { limit, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened: a step ended.
    pub(super) fn progress(&self) {
        self.state().last_progress = Instant::now();
    }

    /// A thread begins or ends to wait.
    pub(super) fn set_waiting(&self, thread: usize, waiting: bool) {
        let mut state = self.state();
        state.waiting[thread] = waiting;
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
            state.last_progress = Instant::now();
        }
    }

    /// A value is there: whoever waits for one may go on.
    pub(super) fn wake(&self, threads: impl Iterator<Item = usize>) {
        let mut state = self.state();
        threads.for_each(|thread| state.idle[thread] = false);
        state.last_progress = Instant::now();
    }

    /// How long this thread still has to wait; `None`: it gives up now, which is progress. `asked`:
    /// whether it has asked the kernel since it began to wait. Without that it does not give up: all
    /// the time may have gone by while the machine stood still.
    pub(super) fn remaining(&self, thread: usize, asked: bool) -> Option<Duration> {
        let mut state = self.state();
        let quiet = state.last_progress.elapsed();
        let rests = |(waits, idle): (&bool, &bool)| *waits || *idle;
        let alone = state.waiting.iter().zip(&state.idle).all(rests);
        let limit = if alone { self.limit / SHORT } else { self.limit };
        if quiet < limit {
            return Some(limit - quiet);
        }
        if !asked {
            return Some(limit / 4);
        }
        if state.waiting[..thread].contains(&true) {
            return Some(self.limit / SHORT);
        }
        state.last_progress = Instant::now();
        state.waiting[thread] = false;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_waiting_thread_gives_up_first_and_that_is_progress() {
        let quiet = Quiet::new(Duration::from_millis(1), 3);
        quiet.set_idle(0, true);
        quiet.set_waiting(1, true);
        quiet.set_waiting(2, true);
        std::thread::sleep(Duration::from_millis(2));
        assert!(quiet.remaining(1, false).is_some(), "it has not asked the kernel yet");
        assert!(quiet.remaining(2, true).is_some(), "thread 1 waits too");
        assert_eq!(quiet.remaining(1, true), None);
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(quiet.remaining(2, true), None, "thread 1 waits no more");
    }

    #[test]
    fn progress_of_any_thread_starts_the_time_again() {
        let quiet = Quiet::new(Duration::from_secs(3600), 2);
        quiet.set_waiting(0, true);
        quiet.progress();
        assert!(quiet.remaining(0, true).is_some_and(|left| left > Duration::from_secs(3500)));
    }

    #[test]
    fn a_thread_that_may_still_act_is_waited_for_longer() {
        let quiet = Quiet::new(Duration::from_secs(3600), 2);
        quiet.set_waiting(1, true);
        let long = quiet.remaining(1, true).expect("not yet");
        quiet.set_idle(0, true);
        let short = quiet.remaining(1, true).expect("not yet");
        assert!(short < long / 8, "{short:?}, {long:?}");
    }

    #[test]
    fn whoever_is_let_go_on_is_not_idle_before_it_runs() {
        let quiet = Quiet::new(Duration::from_secs(3600), 2);
        let long = Duration::from_secs(3000);
        quiet.set_waiting(1, true);
        quiet.set_idle(0, true);
        assert!(quiet.remaining(1, true).is_some_and(|left| left < long));
        quiet.wake([0].into_iter());
        assert!(quiet.remaining(1, true).is_some_and(|left| left > long));
        quiet.meet(0);
        assert!(quiet.remaining(1, true).is_some_and(|left| left < long));
        quiet.meet(1);
        assert!(quiet.remaining(1, true).is_some_and(|left| left > long));
    }
}
