//! Parallel search with work stealing.
//!
//! Each worker has its own step table, state and path; the visited set is shared. An idle worker steals the
//! shallowest unexplored branch of another worker. The visited states do not depend on the number of
//! workers, because persistent sets are computed from a dependence relation that is fixed for the pass.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ifq_model::outcome::Outcome;

use super::checkpoint::SearchProgress;
use super::dependence::Dependence;
use super::dfs::Dfs;
use super::job::{SearchCounts, SearchJob};
use super::options::SearchOptions;
use super::visited::VisitedSet;
use crate::executor::run::Program;
use crate::step_table::StepTable;

/// Transitions between two checks for idle workers.
const BATCH: u64 = 1 << 10;

/// Longest time that a thread waits without polling the shared state.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// State that the workers share.
#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Signalled when a job is queued or the search ends.
    changed: Condvar,
    waiting_workers: AtomicUsize,
    stop: AtomicBool,
    states: AtomicU64,
    recorded_paths: AtomicUsize,
    bytes: AtomicU64,
    depth: AtomicUsize,
    /// By worker: share of the search that is complete, as bits of an `f64`.
    shares: Vec<AtomicU64>,
}

#[derive(Debug)]
struct Queue {
    jobs: Vec<SearchJob>,
    /// Workers without a job.
    idle: usize,
    /// Workers that have not returned.
    working: usize,
    workers: usize,
}

/// The merged result of all workers.
#[derive(Debug, Default)]
pub(crate) struct MergedResult {
    pub(crate) counts: SearchCounts,
    pub(crate) outcomes: BTreeSet<Outcome>,
    /// A violation was found. A sequential search determines which one is reported, so that the result is
    /// deterministic.
    pub(crate) violated: bool,
    /// Paths whose steps were unknown.
    pub(crate) recorded_paths: Vec<Vec<u32>>,
    /// Jobs that were not finished when the search was stopped.
    pub(crate) remaining: Vec<SearchJob>,
    /// The visited set. Only a handle to the newest table: an older handle would keep all tables alive.
    pub(crate) visited: Option<VisitedSet>,
}

/// Calls a function with the program, created on the calling thread.
pub(crate) type ProgramFactory<'a> = &'a (dyn Fn(&mut dyn FnMut(&Program<'_>)) + Sync);

/// Progress of all workers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProgressSample {
    pub(crate) states: u64,
    pub(crate) bytes: u64,
    pub(crate) depth: usize,
    /// Estimated share of the search that is complete, if all branches have one size.
    pub(crate) share: f64,
    /// Number of paths whose steps were unknown.
    pub(crate) recorded_paths: usize,
}

/// Input of a parallel search.
#[derive(Debug)]
pub(crate) struct PassInput<'a> {
    pub(crate) table: &'a StepTable,
    pub(crate) dependence: Option<&'a Arc<Dependence>>,
    pub(crate) jobs: Vec<SearchJob>,
    pub(crate) visited: VisitedSet,
    pub(crate) options: SearchOptions,
}

/// Searches with `workers` threads, as long as `should_continue` returns `true`.
pub(crate) fn run(
    factory: ProgramFactory<'_>,
    workers: usize,
    input: PassInput<'_>,
    should_continue: &mut dyn FnMut(ProgressSample) -> bool,
) -> MergedResult {
    let PassInput { table, dependence, jobs, visited, options } = input;
    let shared = &Shared::new(jobs, workers);
    let work = |number: usize, visited: VisitedSet| {
        let mut result = MergedResult::default();
        let mut visited = Some(visited);
        factory(&mut |program| {
            let Some(visited) = visited.take() else { return };
            let mut dfs = Dfs::new(program, table.clone(), dependence.cloned(), visited, options);
            result.remaining = shared.work(number, &mut dfs);
            result.set_from(dfs);
        });
        shared.finish();
        result
    };
    let handles: Vec<VisitedSet> = (0..workers).map(|_| visited.clone()).collect();
    drop(visited);
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = (0..)
            .zip(handles)
            .map(|(number, visited)| scope.spawn(move || work(number, visited)))
            .collect();
        shared.watch(should_continue);
        let mut merged = MergedResult::default();
        for thread in threads {
            match thread.join() {
                Ok(result) => merged.add(result),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        merged.remaining.append(&mut shared.queue().jobs);
        merged
    })
}

/// As [`run`], on the calling thread.
pub(crate) fn run_sequential(
    program: &Program<'_>,
    input: PassInput<'_>,
    should_continue: &mut dyn FnMut(ProgressSample) -> bool,
) -> MergedResult {
    let PassInput { table, dependence, mut jobs, visited, options } = input;
    let mut dfs = Dfs::new(program, table.clone(), dependence.cloned(), visited, options);
    let mut merged = MergedResult::default();
    while let Some(job) = jobs.pop() {
        dfs.start_job(job);
        while dfs.run(BATCH, u64::MAX) {
            let (states, bytes, depth) = (dfs.counts.states, dfs.bytes(), dfs.depth());
            let recorded_paths = dfs.recorded_paths.len();
            if !should_continue(ProgressSample {
                states,
                bytes,
                depth,
                share: dfs.share(),
                recorded_paths,
            }) {
                merged.remaining = dfs.drain_jobs();
                merged.remaining.append(&mut jobs);
            }
        }
    }
    merged.set_from(dfs);
    merged
}

impl Shared {
    fn new(jobs: Vec<SearchJob>, workers: usize) -> Self {
        Shared {
            queue: Mutex::new(Queue { jobs, idle: 0, working: workers, workers }),
            changed: Condvar::new(),
            waiting_workers: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            states: AtomicU64::new(0),
            recorded_paths: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
            depth: AtomicUsize::new(0),
            shares: (0..workers).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs jobs until there are none; returns the unfinished ones if the search is stopped.
    fn work(&self, number: usize, dfs: &mut Dfs<'_>) -> Vec<SearchJob> {
        let (mut reported, mut finished_share, mut recorded_paths) = (0, 0.0, 0);
        while let Some(job) = self.next_job() {
            dfs.start_job(job);
            loop {
                let more = dfs.run(BATCH, u64::MAX);
                self.states.fetch_add(dfs.counts.states - reported, Ordering::Relaxed);
                reported = dfs.counts.states;
                self.recorded_paths
                    .fetch_add(dfs.recorded_paths.len() - recorded_paths, Ordering::Relaxed);
                recorded_paths = dfs.recorded_paths.len();
                self.bytes.store(dfs.bytes(), Ordering::Relaxed);
                self.depth.store(dfs.depth(), Ordering::Relaxed);
                let share: f64 = finished_share + dfs.share();
                self.shares[number].store(share.to_bits(), Ordering::Relaxed);
                if dfs.found.is_some() {
                    self.stop.store(true, Ordering::Relaxed);
                    return Vec::new();
                }
                if !more {
                    finished_share = share;
                    break;
                }
                if self.stop.load(Ordering::Relaxed) {
                    return dfs.drain_jobs();
                }
                if self.waiting_workers.load(Ordering::Relaxed) > 0
                    && let Some(job) = dfs.steal_branch()
                {
                    self.queue().jobs.push(job);
                    self.changed.notify_all();
                }
            }
        }
        Vec::new()
    }

    fn next_job(&self) -> Option<SearchJob> {
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
            self.waiting_workers.fetch_add(1, Ordering::Relaxed);
            queue = match self.changed.wait_timeout(queue, POLL_INTERVAL) {
                Ok((queue, _)) => queue,
                Err(poisoned) => poisoned.into_inner().0,
            };
            self.waiting_workers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn finish(&self) {
        self.queue().working -= 1;
        self.changed.notify_all();
    }

    /// Reports progress until all workers have returned.
    fn watch(&self, should_continue: &mut dyn FnMut(ProgressSample) -> bool) {
        let mut queue = self.queue();
        while queue.working > 0 {
            queue = match self.changed.wait_timeout(queue, POLL_INTERVAL) {
                Ok((queue, _)) => queue,
                Err(poisoned) => poisoned.into_inner().0,
            };
            let reported = ProgressSample {
                states: self.states.load(Ordering::Relaxed),
                recorded_paths: self.recorded_paths.load(Ordering::Relaxed),
                bytes: self.bytes.load(Ordering::Relaxed),
                depth: self.depth.load(Ordering::Relaxed),
                share: self.shares.iter().map(|s| f64::from_bits(s.load(Ordering::Relaxed))).sum(),
            };
            if !should_continue(reported) {
                self.stop.store(true, Ordering::Relaxed);
                self.changed.notify_all();
            }
        }
    }
}

impl MergedResult {
    /// The result so far of a resumed search, or an empty one with the whole search as remaining job.
    pub(crate) fn resumed(saved: Option<(SearchProgress, VisitedSet)>) -> Self {
        let Some((progress, visited)) = saved else {
            return MergedResult { remaining: vec![SearchJob::whole()], ..MergedResult::default() };
        };
        MergedResult {
            counts: progress.counts,
            outcomes: progress.outcomes.into_iter().collect(),
            violated: false,
            recorded_paths: progress.recorded_paths,
            remaining: progress.jobs,
            visited: Some(visited),
        }
    }

    /// Takes the result of one worker.
    fn set_from(&mut self, dfs: Dfs<'_>) {
        self.counts = dfs.counts;
        self.outcomes =
            dfs.outcomes.iter().map(|i| dfs.table.outcomes[*i as usize].clone()).collect();
        self.violated = dfs.found.is_some();
        self.recorded_paths = dfs.recorded_paths;
        self.visited = Some(dfs.visited);
    }

    /// Merges the result of another worker or of a later part.
    pub(crate) fn add(&mut self, other: MergedResult) {
        self.counts.add(&other.counts);
        self.outcomes.extend(other.outcomes);
        self.violated |= other.violated;
        self.recorded_paths.extend(other.recorded_paths);
        self.remaining.extend(other.remaining);
        // All handles lead to the newest table; the last used one refers to it already.
        let bytes = |visited: &Option<VisitedSet>| visited.as_ref().map_or(0, VisitedSet::bytes);
        if bytes(&other.visited) > bytes(&self.visited) {
            self.visited = other.visited;
        }
    }
}
