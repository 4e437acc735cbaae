//! The passes of a search.
//!
//! The core idea is to repeat the search until the step table is complete. Persistent sets are computed from
//! the table. A pass that finds an unknown step records it and is repeated, since the sets before may have
//! been too small. Small state spaces are searched on the calling thread, large ones in parallel.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ifq_model::outcome::Outcome;
use ifq_model::revision::Variant;
use ifq_model::test::Test;

use super::checkpoint::{self, Checkpoint, CheckpointError, SearchIdentity, SearchProgress};
use super::dependence::Dependence;
use super::dfs::Dfs;
use super::exploration::{Exploration, Progress};
use super::initial_symmetry::validate_symmetry_group;
use super::job::{SearchCounts, SearchJob};
use super::limits::Limits;
use super::options::SearchOptions;
use super::parallel::{self, MergedResult, PassInput, ProgramFactory, ProgressSample};
use super::restart::RestartHeuristic;
use super::visited::VisitedSet;
use crate::executor::buffer_symmetry::BufferSymmetry;
use crate::executor::contribution::Contribution;
use crate::executor::counterexample::Counterexample;
use crate::executor::permutation::PermutationGroup;
use crate::executor::run::Program;
use crate::executor::scheduler::{Pct, Random, Scheduler};
use crate::step_table::{StepTable, lookahead_steps};
use crate::symmetry::rings::symmetry_group;

/// A parallel search is prepared by one random run per this many states of
/// [`Limits::sequential_states`].
const STATES_PER_RANDOM_RUN: u64 = 100;

/// Transitions between two progress reports.
const REPORT_INTERVAL: u64 = 1 << 14;

/// Where checkpoints go, and what identifies the search.
#[derive(Clone, Copy)]
pub(super) struct CheckpointSink<'a> {
    pub(super) checkpoint: &'a Checkpoint,
    pub(super) test: &'a Test,
    pub(super) variant: &'a Variant,
    pub(super) limits: &'a Limits,
}

impl CheckpointSink<'_> {
    fn identity(&self) -> SearchIdentity {
        SearchIdentity::new(self.test, self.variant, self.limits)
    }
}

/// Searches all runs of a program. With a `factory`, a large search uses several workers.
pub(super) fn search(
    factory: Option<ProgramFactory<'_>>,
    checkpoints: Option<CheckpointSink<'_>>,
    program: &Program<'_>,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Result<Exploration, CheckpointError> {
    let started = Instant::now();
    let Limits { symmetry, count_orbits, .. } = limits;
    let use_buffers = (symmetry.buffers || count_orbits.buffers)
        && program.symmetry.count <= Contribution::MAX_BUFFERS;
    let group = match program.symmetric_test.filter(|_| symmetry.rings || count_orbits.rings) {
        Some(test) => validate_symmetry_group(program, symmetry_group(test)),
        None => PermutationGroup::trivial(),
    };
    let group = Arc::new(group);
    let buffers = if use_buffers { program.symmetry } else { BufferSymmetry::NONE };
    let table = StepTable::new(buffers, group.clone());
    let passes = 0;
    let mut search =
        Search { checkpoints, factory, program, limits, progress, started, group, table, passes };
    search.search_sequential().map_or_else(|| search.search_parallel(), Ok)
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PassEnd {
    /// All states were expanded.
    Complete,
    /// A limit was reached.
    LimitReached,
    /// The pass recorded unknown steps, must therefore be repeated, and was abandoned.
    Restart,
}

/// Input of one pass.
struct Pass<'a> {
    table: &'a StepTable,
    dependence: Option<&'a Arc<Dependence>>,
    options: SearchOptions,
}

/// A search of a program.
struct Search<'a> {
    checkpoints: Option<CheckpointSink<'a>>,
    /// Creates the program on each worker thread.
    factory: Option<ProgramFactory<'a>>,
    program: &'a Program<'a>,
    limits: &'a Limits,
    progress: &'a mut dyn FnMut(Progress),
    started: Instant,
    group: Arc<PermutationGroup>,
    table: StepTable,
    passes: u32,
}

impl Search<'_> {
    fn progress_of(&self, dfs: &Dfs<'_>) -> Progress {
        Progress {
            states: dfs.counts.states,
            depth: dfs.depth(),
            bytes: dfs.bytes(),
            pass: self.passes,
            share: dfs.share(),
            elapsed: self.started.elapsed(),
        }
    }

    /// Whether a limit is reached.
    fn limit_reached(&self, states: u64, bytes: u64) -> bool {
        // A growing table exists twice for a while, at its old and at its doubled size.
        states >= self.limits.max_states
            || self.limits.is_stopped()
            || self.limits.max_time.is_some_and(|max| self.started.elapsed() > max)
            || self.limits.max_memory.is_some_and(|max| {
                let grows = states > bytes / 8 / 10 * 8;
                bytes > max || grows && bytes * 3 > max
            })
    }

    /// Searches on this thread and fills the step table on demand; `None` if the state space is larger than
    /// [`Limits::sequential_states`].
    fn search_sequential(&mut self) -> Option<Exploration> {
        loop {
            self.passes += 1;
            let options = self.limits.options();
            let dependence =
                options.persistent_sets.then(|| Arc::new(Dependence::new(&self.table)));
            let known_nodes = self.table.nodes.len();
            let table = std::mem::replace(&mut self.table, StepTable::empty());
            let mut dfs = Dfs::new(self.program, table, dependence, VisitedSet::new(), options);
            dfs.start_job(SearchJob::whole());
            let max_states = self.limits.max_states.min(self.limits.sequential_states);
            let (mut more, mut limit_reached) = (true, false);
            while more && !limit_reached {
                more = dfs.run(REPORT_INTERVAL, max_states);
                let states = dfs.counts.states;
                let progress = self.progress_of(&dfs);
                (self.progress)(progress);
                limit_reached = more && self.limit_reached(states, dfs.bytes());
                if more && !limit_reached && states >= self.limits.sequential_states {
                    self.table = dfs.table;
                    return None;
                }
            }
            let grown = dfs.table.nodes.len() > known_nodes;
            if !limit_reached && grown && dfs.found.is_none() && options.persistent_sets {
                self.table = dfs.table;
                continue;
            }
            let outcome = |i: &u32| dfs.table.outcomes[*i as usize].clone();
            let outcomes = dfs.outcomes.iter().map(outcome).collect();
            let bytes = dfs.bytes();
            return Some(self.result(dfs.counts, bytes, outcomes, dfs.found, limit_reached));
        }
    }

    /// Searches on all workers, from the last checkpoint if there is one.
    fn search_parallel(&mut self) -> Result<Exploration, CheckpointError> {
        self.record_random_runs();
        let mut saved = match self.checkpoints {
            Some(sink) => checkpoint::load(&sink.checkpoint.path, &sink.identity())?,
            None => None,
        };
        let (base, mut recorded_before) = (self.table.clone(), Vec::new());
        if let Some((progress, _)) = &mut saved {
            recorded_before = std::mem::take(&mut progress.recorded_before);
            self.passes = progress.passes - 1;
            self.record_paths(&recorded_before);
        }
        loop {
            self.passes += 1;
            let options = self.limits.options();
            let table = std::mem::replace(&mut self.table, StepTable::empty());
            let dependence = options.persistent_sets.then(|| Arc::new(Dependence::new(&table)));
            let pass = Pass { table: &table, dependence: dependence.as_ref(), options };
            let (merged, end) = self.run_pass(&pass, saved.take(), &recorded_before)?;
            if merged.violated {
                return Ok(self.first_violation(base, options));
            }
            self.table = table;
            self.record_paths(&merged.recorded_paths);
            // If the table was complete, the result does not depend on the order of recording.
            let table_was_complete = merged.recorded_paths.is_empty() || !options.persistent_sets;
            if end == PassEnd::LimitReached || end == PassEnd::Complete && table_was_complete {
                let bytes = merged.visited.map_or(0, |visited| visited.bytes());
                let limit_reached = end == PassEnd::LimitReached;
                return Ok(self.result(merged.counts, bytes, merged.outcomes, None, limit_reached));
            }
            recorded_before.extend(merged.recorded_paths);
        }
    }

    /// Fills the step table with the steps of random runs.
    fn record_random_runs(&mut self) {
        // A run records its images under all permutations, too.
        let group_order = self.group.nontrivial_count() as u64 + 1;
        for seed in 0..self.limits.sequential_states / STATES_PER_RANDOM_RUN / group_order {
            let scheduler: Box<dyn Scheduler> = match seed % 2 {
                0 => Box::new(Random::new(seed)),
                _ => Box::new(Pct::new(seed)),
            };
            self.table.record_run(self.program, scheduler);
        }
    }

    fn record_paths(&mut self, paths: &[Vec<u32>]) {
        for path in paths {
            self.table.record_path(self.program, path, lookahead_steps(path));
        }
    }

    /// One pass over the state space, in parts that end with a checkpoint each.
    fn run_pass(
        &mut self,
        pass: &Pass<'_>,
        saved: Option<(SearchProgress, VisitedSet)>,
        recorded_before: &[Vec<u32>],
    ) -> Result<(MergedResult, PassEnd), CheckpointError> {
        let mut merged = MergedResult::resumed(saved);
        let mut interval = self.checkpoints.map(|sink| sink.checkpoint.every);
        let mut end = PassEnd::Complete;
        let mut restart = RestartHeuristic::new(pass.options, self.limits.sequential_states);
        while !merged.remaining.is_empty() && !merged.violated && end == PassEnd::Complete {
            end = self.run_part(pass, &mut merged, &mut restart, interval);
            if let (Some(sink), Some(visited)) = (self.checkpoints, &merged.visited)
                && !merged.remaining.is_empty()
                && !merged.violated
                && end != PassEnd::Restart
            {
                let begun = Instant::now();
                let progress = SearchProgress {
                    passes: self.passes,
                    recorded_before: recorded_before.to_vec(),
                    recorded_paths: merged.recorded_paths.clone(),
                    jobs: merged.remaining.clone(),
                    counts: merged.counts,
                    outcomes: merged.outcomes.iter().cloned().collect(),
                };
                checkpoint::save(&sink.checkpoint.path, sink.identity(), progress, visited)?;
                interval = Some(sink.checkpoint.every.max(begun.elapsed() * 10));
            }
        }
        Ok((merged, end))
    }

    /// Searches the remaining jobs until the next checkpoint is due.
    fn run_part(
        &mut self,
        pass: &Pass<'_>,
        merged: &mut MergedResult,
        restart: &mut RestartHeuristic,
        interval: Option<Duration>,
    ) -> PassEnd {
        let begun = Instant::now();
        let input = PassInput {
            table: pass.table,
            dependence: pass.dependence,
            jobs: std::mem::take(&mut merged.remaining),
            visited: merged.visited.take().unwrap_or_else(VisitedSet::new),
            options: pass.options,
        };
        let mut end = PassEnd::Complete;
        let (states_before, recorded) = (merged.counts.states, merged.recorded_paths.len());
        let (factory, program, workers) = (self.factory, self.program, self.limits.workers);
        let mut should_continue = |sample: ProgressSample| {
            let ProgressSample { depth, share, bytes, recorded_paths, .. } = sample;
            let states = states_before + sample.states;
            let (pass, elapsed) = (self.passes, self.started.elapsed());
            (self.progress)(Progress { states, depth, bytes, pass, share, elapsed });
            if self.limit_reached(states, bytes) {
                end = PassEnd::LimitReached;
            } else if restart.should_restart(states, recorded + recorded_paths) {
                end = PassEnd::Restart;
            }
            end == PassEnd::Complete && interval.is_none_or(|interval| begun.elapsed() < interval)
        };
        merged.add(match factory {
            Some(factory) => parallel::run(factory, workers, input, &mut should_continue),
            None => parallel::run_sequential(program, input, &mut should_continue),
        });
        end
    }

    /// The first violation in sequential order, starting from the table before the first pass: the same
    /// counterexample for any number of workers.
    fn first_violation(&mut self, base: StepTable, options: SearchOptions) -> Exploration {
        let mut table = base;
        loop {
            let dependence = options.persistent_sets.then(|| Arc::new(Dependence::new(&table)));
            let mut dfs = Dfs::new(self.program, table, dependence, VisitedSet::new(), options);
            dfs.start_job(SearchJob::whole());
            let mut restart = RestartHeuristic::new(options, self.limits.sequential_states);
            while dfs.run(REPORT_INTERVAL, u64::MAX)
                && !restart.should_restart(dfs.counts.states, dfs.recorded_paths.len())
            {
                let progress = self.progress_of(&dfs);
                (self.progress)(progress);
                if self.limits.is_stopped() {
                    let (counts, bytes) = (dfs.counts, dfs.bytes());
                    return self.result(counts, bytes, BTreeSet::new(), None, true);
                }
            }
            if dfs.found.is_some() || dfs.recorded_paths.is_empty() {
                let outcome = |i: &u32| dfs.table.outcomes[*i as usize].clone();
                let outcomes = dfs.outcomes.iter().map(outcome).collect();
                return self.result(dfs.counts, dfs.bytes(), outcomes, dfs.found, false);
            }
            table = dfs.table;
        }
    }

    fn result(
        &self,
        counts: SearchCounts,
        bytes: u64,
        outcomes: BTreeSet<Outcome>,
        counterexample: Option<Counterexample>,
        limit_reached: bool,
    ) -> Exploration {
        let complete =
            !limit_reached && counts.truncated_paths == 0 && counts.preemption_pruned == 0;
        let outcomes = match self.program.symmetric_test.filter(|_| self.limits.symmetry.rings) {
            Some(test) => self.group.outcome_images(outcomes, &test.observe),
            None => outcomes,
        };
        Exploration {
            outcomes,
            states: counts.states,
            orbits: counts.orbits,
            transitions: counts.transitions,
            runs: counts.runs,
            passes: self.passes,
            truncated_paths: counts.truncated_paths,
            steps: counts.run_steps,
            depth: counts.depth,
            bytes,
            exhaustive: complete && counterexample.is_none(),
            counterexample,
            limit_reached,
            unfollowed: None,
            elapsed: self.started.elapsed(),
        }
    }
}
