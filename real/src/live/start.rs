//! The start of a race: all its threads at the same moment, and how well that went.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::job::start_skew::SkewSample;

/// Threads that come to the same place within so short a time all run right now.
const NEAR: Duration = Duration::from_micros(10);
/// So long they try to. Longer than a processor of a guest is taken from it at a time.
const PATIENCE: Duration = Duration::from_millis(10);

/// Where the threads of a run wait for each other.
#[derive(Debug)]
pub(super) struct StartBarrier {
    /// Whether they wait running: there is a processor for each.
    spins: bool,
    begin: Instant,
    /// How often a thread has come, all rounds together.
    came: AtomicUsize,
    /// Twice the number of the last round that has ended, plus one if the race begins.
    verdict: AtomicUsize,
    /// When the first round ended, in nanoseconds.
    met: AtomicU64,
    /// When each thread came last, was released, and began its first step, in nanoseconds.
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
            came: AtomicUsize::new(0),
            verdict: AtomicUsize::new(0),
            met: AtomicU64::new(0),
            arrived: times(),
            released: times(),
            stepped: times(),
        }
    }

    /// Releases the threads at the same moment. A barrier wakes them one after the other, and whoever
    /// emulates processors or lends them out stops some of them meanwhile: they meet again until all
    /// come at once.
    pub(super) fn together(&self, thread: usize) {
        let mut round = 1;
        while self.spins && !self.meet(thread, round) {
            round += 1;
        }
        self.now(&self.released[thread]);
    }

    /// One round: whether the race begins, which is the same for all.
    fn meet(&self, thread: usize, round: usize) -> bool {
        self.now(&self.arrived[thread]);
        if self.came.fetch_add(1, Ordering::AcqRel) + 1 == round * self.arrived.len() {
            // The last one decides.
            if round == 1 {
                self.now(&self.met);
            }
            let met = self.met.load(Ordering::Relaxed);
            let tried = nanos(self.begin.elapsed()) - met > nanos(PATIENCE);
            let begins = tried || apart(&self.arrived) <= nanos(NEAR);
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

    /// A thread is about to do its first step.
    pub(super) fn step(&self, thread: usize) {
        self.now(&self.stepped[thread]);
    }

    fn now(&self, time: &AtomicU64) {
        time.store(nanos(self.begin.elapsed()), Ordering::Relaxed);
    }

    /// How far apart the threads were; `None`: there is one, or none.
    pub(super) fn sample(&self) -> Option<SkewSample> {
        (self.released.len() > 1).then(|| (apart(&self.released), apart(&self.stepped)))
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn apart(times: &[AtomicU64]) -> u64 {
    let times = || times.iter().map(|time| time.load(Ordering::Relaxed));
    times().max().zip(times().min()).map_or(0, |(last, first)| last - first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_starts_before_all_have_come_where_they_wait_running() {
        let start = StartBarrier::new(2, true);
        let late = Duration::from_millis(20);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                start.together(0);
                start.step(0);
            });
            std::thread::sleep(late);
            assert_eq!(start.released[0].load(Ordering::Relaxed), 0);
            start.together(1);
            std::thread::sleep(late);
            start.step(1);
        });
        let times = |times: &[AtomicU64]| -> Vec<u64> {
            times.iter().map(|time| time.load(Ordering::Relaxed)).collect()
        };
        let (arrived, released) = (times(&start.arrived), times(&start.released));
        assert!(arrived.iter().max() <= released.iter().min(), "{arrived:?} {released:?}");
        let stepped = times(&start.stepped);
        assert!(stepped[0] >= released[0] && stepped[1] >= released[1] + nanos(late));
        assert_eq!(start.sample().map(|(release, _)| release), Some(apart(&start.released)));
        assert_eq!(StartBarrier::new(1, true).sample(), None);
    }

    #[test]
    fn they_meet_again_until_all_come_at_once_or_it_takes_too_long() {
        for _ in 0..20 {
            let start = StartBarrier::new(3, true);
            std::thread::scope(|scope| {
                let start = &start;
                (0..3).for_each(|thread| _ = scope.spawn(move || start.together(thread)));
            });
            let rounds = start.verdict.load(Ordering::Relaxed) / 2;
            assert_eq!(start.came.load(Ordering::Relaxed), 3 * rounds);
            let tried = nanos(start.begin.elapsed()) > nanos(PATIENCE);
            assert!(apart(&start.arrived) <= nanos(NEAR) || tried);
        }
    }
}
