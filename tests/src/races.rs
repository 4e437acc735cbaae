//! Happens-before on the shuttle platform, by vector clocks (Mattern, 1989).
//!
//! shuttle's own clocks advance only after a synchronisation, so they cannot distinguish a write before
//! a release from a write after it.

use std::cell::{Cell, RefCell};

thread_local! {
    static THREADS: RefCell<Vec<Clock>> = const { RefCell::new(Vec::new()) };
}

/// A vector clock: for each thread, how much of it happens before.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock(Vec<u32>);

impl Clock {
    fn get(&self, thread: usize) -> u32 {
        self.0.get(thread).copied().unwrap_or(0)
    }

    fn join(&mut self, other: &Clock) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine = (*mine).max(*theirs);
        }
    }

    fn tick(&mut self, thread: usize) {
        if self.0.len() <= thread {
            self.0.resize(thread + 1, 0);
        }
        self.0[thread] += 1;
    }
}

/// Starts a new execution with thread 0.
pub(crate) fn reset() {
    let mut main = Clock::default();
    main.tick(0);
    THREADS.set(vec![main]);
}

/// Thread `parent` starts thread `child`. Threads are numbered in the order of their starts.
pub(crate) fn start(parent: usize, child: usize) {
    THREADS.with_borrow_mut(|threads| {
        let mut clock = threads[parent].clone();
        clock.tick(child);
        threads[parent].tick(parent);
        debug_assert_eq!(threads.len(), child);
        threads.push(clock);
    });
}

/// The clock that a word or lock passes on from releasing to acquiring threads.
#[derive(Debug, Default)]
pub struct Channel(RefCell<Clock>);

impl Channel {
    /// All releases so far happen before what `thread` does next.
    pub(crate) fn acquire(&self, thread: usize) {
        THREADS.with_borrow_mut(|threads| threads[thread].join(&self.0.borrow()));
    }

    /// What `thread` did so far happens before what a later acquirer does next.
    pub(crate) fn release(&self, thread: usize) {
        THREADS.with_borrow_mut(|threads| {
            self.0.borrow_mut().join(&threads[thread]);
            threads[thread].tick(thread);
        });
    }
}

/// The last accesses to a memory location, each as a thread and its own time at the access.
#[derive(Debug, Default)]
pub(crate) struct Accesses {
    reads: RefCell<Vec<(usize, u32)>>,
    write: Cell<Option<(usize, u32)>>,
}

impl Accesses {
    /// Records an access. `Err`: a conflicting earlier access does not happen before it.
    pub(crate) fn check(&self, thread: usize, writes: bool) -> Result<(), ()> {
        THREADS.with_borrow(|threads| {
            let clock = &threads[thread];
            let before = |(other, time): (usize, u32)| clock.get(other) >= time;
            let now = (thread, clock.get(thread));
            let mut reads = self.reads.borrow_mut();
            let ordered = self.write.get().is_none_or(before)
                && (!writes || reads.iter().copied().all(before));
            if writes {
                reads.clear();
                self.write.set(Some(now));
            } else {
                reads.retain(|(other, _)| *other != thread);
                reads.push(now);
            }
            if ordered { Ok(()) } else { Err(()) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Accesses, Channel, reset, start};

    #[test]
    fn a_write_after_the_release_races_with_a_read_after_the_acquire() {
        reset();
        start(0, 1);
        let (channel, early, late) = (Channel::default(), Accesses::default(), Accesses::default());
        assert_eq!(early.check(0, true), Ok(()));
        channel.release(0);
        assert_eq!(late.check(0, true), Ok(()));
        channel.acquire(1);
        assert_eq!(early.check(1, true), Ok(()));
        assert_eq!(late.check(1, false), Err(()));
    }

    #[test]
    fn a_child_is_ordered_after_the_writes_before_its_start_only() {
        reset();
        let (early, late) = (Accesses::default(), Accesses::default());
        assert_eq!(early.check(0, true), Ok(()));
        start(0, 1);
        assert_eq!(late.check(0, true), Ok(()));
        assert_eq!(early.check(1, false), Ok(()));
        assert_eq!(late.check(1, false), Err(()));
    }

    #[test]
    fn reads_do_not_race_with_reads() {
        reset();
        start(0, 1);
        let location = Accesses::default();
        assert_eq!(location.check(0, false), Ok(()));
        assert_eq!(location.check(1, false), Ok(()));
        assert_eq!(location.check(1, true), Err(()));
    }
}
