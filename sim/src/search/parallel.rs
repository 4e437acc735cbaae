//! One search by several processors.
//!
//! Each has its own tables, its own state and its own path; the set of known states is shared. Who has
//! nothing to do takes the shallowest part of another one's path that was not begun. Which states are
//! searched does not depend on who does it: what is in nobody's way is settled before.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ifq_model::outcome::Outcome;

use super::dfs::{Counts, Dfs, Job, Manner};
use super::future::Futures;
use super::visited::Visited;
use crate::executor::run::Program;
use crate::step_table::Code;

/// Transitions between looks at what the others need.
const TURN: u64 = 1 << 10;

/// The longest time that anybody waits without a look at what changed.
const NAP: Duration = Duration::from_millis(20);

/// What the workers share.
#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Something is in the queue, or nothing will ever be.
    changed: Condvar,
    hungry: AtomicUsize,
    stop: AtomicBool,
    states: AtomicU64,
    learned: AtomicUsize,
    bytes: AtomicU64,
    depth: AtomicUsize,
    /// The share of the search that each worker has done, as bits.
    shares: Vec<AtomicU64>,
}

#[derive(Debug)]
struct Queue {
    jobs: Vec<Job>,
    /// Workers that have nothing to do.
    idle: usize,
    /// Workers that have not come to an end.
    working: usize,
    workers: usize,
}

/// What all of them found together.
#[derive(Debug, Default)]
pub(crate) struct Together {
    pub(crate) counts: Counts,
    pub(crate) outcomes: BTreeSet<Outcome>,
    /// Something broke. What it is is found out in order, so that it does not depend on chance.
    pub(crate) broken: bool,
    /// Paths that taught somebody something.
    pub(crate) learned: Vec<Vec<u32>>,
    /// What was left undone when they were stopped.
    pub(crate) left: Vec<Job>,
    /// The states that are known now. Only the last table: a handle to an earlier one would keep all.
    pub(crate) visited: Option<Visited>,
}

/// Gives a program to whoever asks, on its own thread.
pub(crate) type Make<'a> = &'a (dyn Fn(&mut dyn FnMut(&Program<'_>)) + Sync);

/// What a search is told now and then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) states: u64,
    pub(crate) bytes: u64,
    pub(crate) depth: usize,
    /// The share of the search that is done, if its branches are of the same size.
    pub(crate) share: f64,
    /// Paths that taught somebody something.
    pub(crate) learned: usize,
}

/// What to search.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub(crate) code: &'a Code,
    pub(crate) futures: Option<&'a Arc<Futures>>,
    pub(crate) jobs: Vec<Job>,
    pub(crate) visited: Visited,
    pub(crate) manner: Manner,
}

/// Searches with `workers` processors; `go_on` says whether to.
pub(crate) fn run(
    make: Make<'_>,
    workers: usize,
    part: Part<'_>,
    go_on: &mut dyn FnMut(Told) -> bool,
) -> Together {
    let Part { code, futures, jobs, visited, manner } = part;
    let shared = &Shared::new(jobs, workers);
    let work = |number: usize, visited: Visited| {
        let mut result = Together::default();
        let mut visited = Some(visited);
        make(&mut |program| {
            let Some(visited) = visited.take() else { return };
            let mut dfs = Dfs::new(program, code.clone(), futures.cloned(), visited, manner);
            result.left = shared.work(number, &mut dfs);
            result.absorb(dfs);
        });
        shared.finish();
        result
    };
    let handles: Vec<Visited> = (0..workers).map(|_| visited.clone()).collect();
    drop(visited);
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..)
            .zip(handles)
            .map(|(number, visited)| scope.spawn(move || work(number, visited)))
            .collect();
        shared.watch(go_on);
        let mut together = Together::default();
        for thread in threads {
            match thread.join() {
                Ok(result) => together.add(result),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        together.left.append(&mut shared.queue().jobs);
        together
    })
}

/// As [`run`], on this thread.
pub(crate) fn alone(
    program: &Program<'_>,
    part: Part<'_>,
    go_on: &mut dyn FnMut(Told) -> bool,
) -> Together {
    let Part { code, futures, mut jobs, visited, manner } = part;
    let mut dfs = Dfs::new(program, code.clone(), futures.cloned(), visited, manner);
    let mut together = Together::default();
    while let Some(job) = jobs.pop() {
        dfs.begin(job);
        while dfs.run(TURN, u64::MAX) {
            let (states, bytes, depth) = (dfs.counts.states, dfs.bytes(), dfs.depth());
            let learned = dfs.learned.len();
            if !go_on(Told { states, bytes, depth, share: dfs.share(), learned }) {
                together.left = dfs.give_all();
                together.left.append(&mut jobs);
            }
        }
    }
    together.absorb(dfs);
    together
}

impl Shared {
    fn new(jobs: Vec<Job>, workers: usize) -> Self {
        Shared {
            queue: Mutex::new(Queue { jobs, idle: 0, working: workers, workers }),
            changed: Condvar::new(),
            hungry: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            states: AtomicU64::new(0),
            learned: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
            depth: AtomicUsize::new(0),
            shares: (0..workers).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does what there is to do; returns what it was stopped from doing.
    fn work(&self, number: usize, dfs: &mut Dfs<'_>) -> Vec<Job> {
        let (mut told, mut done, mut learned) = (0, 0.0, 0);
        while let Some(job) = self.next_job() {
            dfs.begin(job);
            loop {
                let more = dfs.run(TURN, u64::MAX);
                self.states.fetch_add(dfs.counts.states - told, Ordering::Relaxed);
                told = dfs.counts.states;
                self.learned.fetch_add(dfs.learned.len() - learned, Ordering::Relaxed);
                learned = dfs.learned.len();
                self.bytes.store(dfs.bytes(), Ordering::Relaxed);
                self.depth.store(dfs.depth(), Ordering::Relaxed);
                let share: f64 = done + dfs.share();
                self.shares[number].store(share.to_bits(), Ordering::Relaxed);
                if dfs.found.is_some() {
                    self.stop.store(true, Ordering::Relaxed);
                    return Vec::new();
                }
                if !more {
                    done = share;
                    break;
                }
                if self.stop.load(Ordering::Relaxed) {
                    return dfs.give_all();
                }
                if self.hungry.load(Ordering::Relaxed) > 0
                    && let Some(job) = dfs.give()
                {
                    self.queue().jobs.push(job);
                    self.changed.notify_all();
                }
            }
        }
        Vec::new()
    }

    fn next_job(&self) -> Option<Job> {
        let mut queue = self.queue();
        queue.idle += 1;
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            if let Some(job) = queue.jobs.pop() {
                queue.idle -= 1;
                return Some(job);
            }
            if queue.idle == queue.workers {
                self.changed.notify_all();
                return None;
            }
            self.hungry.fetch_add(1, Ordering::Relaxed);
            queue = match self.changed.wait_timeout(queue, NAP) {
                Ok((queue, _)) => queue,
                Err(poisoned) => poisoned.into_inner().0,
            };
            self.hungry.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn finish(&self) {
        self.queue().working -= 1;
        self.changed.notify_all();
    }

    /// Until all have finished.
    fn watch(&self, go_on: &mut dyn FnMut(Told) -> bool) {
        let mut queue = self.queue();
        while queue.working > 0 {
            queue = match self.changed.wait_timeout(queue, NAP) {
                Ok((queue, _)) => queue,
                Err(poisoned) => poisoned.into_inner().0,
            };
            let told = Told {
                states: self.states.load(Ordering::Relaxed),
                learned: self.learned.load(Ordering::Relaxed),
                bytes: self.bytes.load(Ordering::Relaxed),
                depth: self.depth.load(Ordering::Relaxed),
                share: self.shares.iter().map(|s| f64::from_bits(s.load(Ordering::Relaxed))).sum(),
            };
            if !go_on(told) {
                self.stop.store(true, Ordering::Relaxed);
                self.changed.notify_all();
            }
        }
    }
}

impl Together {
    fn absorb(&mut self, dfs: Dfs<'_>) {
        self.counts = dfs.counts;
        self.outcomes =
            dfs.outcomes.iter().map(|i| dfs.code.outcomes[*i as usize].clone()).collect();
        self.broken = dfs.found.is_some();
        self.learned = dfs.learned;
        self.visited = Some(dfs.visited);
    }

    /// Takes in what others found, or a later part.
    pub(crate) fn add(&mut self, other: Together) {
        self.counts.add(&other.counts);
        self.outcomes.extend(other.outcomes);
        self.broken |= other.broken;
        self.learned.extend(other.learned);
        self.left.extend(other.left);
        // All handles lead to the last table; the one that was used last is there already.
        let bytes = |visited: &Option<Visited>| visited.as_ref().map_or(0, Visited::bytes);
        if bytes(&other.visited) > bytes(&self.visited) {
            self.visited = other.visited;
        }
    }
}
