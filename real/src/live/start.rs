//! The start barrier of a race: releases all threads at the same time and measures the start skew.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::job::start_skew::SkewSample;

/// Threads that arrive within this time are all running.
const MAX_SKEW: Duration = Duration::from_micros(10);
/// Time after which the race starts regardless of the skew. Longer than a time slice in which the host
/// does not run a processor of the guest.
const TIME_LIMIT: Duration = Duration::from_millis(10);

/// The start barrier of the threads of a run.
#[derive(Debug)]
pub(super) struct StartBarrier {
    /// Whether the threads spin, because there is a processor for each.
    spins: bool,
    begin: Instant,
    /// Number of arrivals over all rounds.
    arrivals: AtomicUsize,
    /// Twice the number of the last finished round, plus one if the race starts.
    verdict: AtomicUsize,
    /// The end of the first round, in nanoseconds.
    first_round: AtomicU64,
    /// For each thread the last arrival, the release and the first step, in nanoseconds.
    arrived: Vec<AtomicU64>,
    released: Vec<AtomicU64>,
    stepped: Vec<AtomicU64>,
}

impl StartBarrier {
    pub(super) fn new(threads: usize, spins: bool) -> Self {
        let times = || (0..threads).map(|_| AtomicU64::new(0)).collect();
        StartBarrier {
            spins,
            begin: Instant::now(),
            arrivals: AtomicUsize::new(0),
            verdict: AtomicUsize::new(0),
            first_round: AtomicU64::new(0),
            arrived: times(),
            released: times(),
            stepped: times(),
        }
    }

    /// Blocks until all threads are released at the same time. An ordinary barrier wakes threads one
    /// after the other, and a hypervisor may preempt some of them meanwhile. So the threads repeat
    /// rounds until all arrive within [`MAX_SKEW`].
    pub(super) fn release(&self, thread: usize) {
        let mut round = 1;
        while self.spins && !self.round(thread, round) {
            round += 1;
        }
        self.now(&self.released[thread]);
    }

    /// One round. Returns whether the race starts, which is the same for all threads.
    fn round(&self, thread: usize, round: usize) -> bool {
        self.now(&self.arrived[thread]);
        if self.arrivals.fetch_add(1, Ordering::AcqRel) + 1 == round * self.arrived.len() {
            // The last thread to arrive decides.
            if round == 1 {
                self.now(&self.first_round);
            }
            let first = self.first_round.load(Ordering::Relaxed);
            let timed_out = nanos(self.begin.elapsed()) - first > nanos(TIME_LIMIT);
            let begins = timed_out || skew(&self.arrived) <= nanos(MAX_SKEW);
            self.verdict.store(round * 2 + usize::from(begins), Ordering::Release);
            return begins;
        }
        loop {
            let verdict = self.verdict.load(Ordering::Acquire);
            if verdict / 2 == round {
                return verdict % 2 == 1;
            }
            std::hint::spin_loop();
        }
    }

    /// Notes that a thread starts its first step.
    pub(super) fn step(&self, thread: usize) {
        self.now(&self.stepped[thread]);
    }

    fn now(&self, time: &AtomicU64) {
        time.store(nanos(self.begin.elapsed()), Ordering::Relaxed);
    }

    /// The start skew. `None`: there are fewer than two threads.
    pub(super) fn sample(&self) -> Option<SkewSample> {
        (self.released.len() > 1).then(|| (skew(&self.released), skew(&self.stepped)))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn skew(times: &[AtomicU64]) -> u64 {
    let times = || times.iter().map(|time| time.load(Ordering::Relaxed));
    times().max().zip(times().min()).map_or(0, |(last, first)| last - first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spinning_thread_starts_before_all_have_arrived() {
        let start = StartBarrier::new(2, true);
        let delay = Duration::from_millis(20);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                start.release(0);
                start.step(0);
            });
            std::thread::sleep(delay);
            assert_eq!(start.released[0].load(Ordering::Relaxed), 0);
            start.release(1);
            std::thread::sleep(delay);
            start.step(1);
        });
        let times = |times: &[AtomicU64]| -> Vec<u64> {
            times.iter().map(|time| time.load(Ordering::Relaxed)).collect()
        };
        let (arrived, released) = (times(&start.arrived), times(&start.released));
        assert!(arrived.iter().max() <= released.iter().min(), "{arrived:?} {released:?}");
        let stepped = times(&start.stepped);
        assert!(stepped[0] >= released[0] && stepped[1] >= released[1] + nanos(delay));
        assert_eq!(start.sample().map(|(release, _)| release), Some(skew(&start.released)));
        assert_eq!(StartBarrier::new(1, true).sample(), None);
    }

    #[test]
    fn rounds_repeat_until_all_arrive_together_or_the_time_is_over() {
        for _ in 0..20 {
            let start = StartBarrier::new(3, true);
            std::thread::scope(|scope| {
                let start = &start;
                (0..3).for_each(|thread| _ = scope.spawn(move || start.release(thread)));
            });
            let rounds = start.verdict.load(Ordering::Relaxed) / 2;
            assert_eq!(start.arrivals.load(Ordering::Relaxed), 3 * rounds);
            let timed_out = nanos(start.begin.elapsed()) > nanos(TIME_LIMIT);
            assert!(skew(&start.arrived) <= nanos(MAX_SKEW) || timed_out);
        }
    }
}
