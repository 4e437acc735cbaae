//! Depth-first search over the states of a program.
//!
//! The core idea is a stack of frames, one for each state on the current path. A frame holds the threads that
//! are still to be explored from its state. One state is kept and updated in place; backtracking undoes steps.

mod canonical;
mod execute;
mod fairness;
mod races;
mod stealing;

use std::collections::BTreeSet;
use std::sync::Arc;

use ifq_model::work::FIRST_KERNEL_SLOT;

use super::cost_bound::CostBoundedVisited;
use super::dependence::Dependence;
use super::fault_choices::{FaultChoices, MAX_CHOICES};
use super::job::{SearchCounts, SearchJob};
use super::options::SearchOptions;
use super::persistent::PersistentSets;
use super::shortest_runs::ShortestRuns;
use super::sleep::{SleepEntry, SleepFrame};
use super::state::{State, StepResult, UndoPoint};
use super::step_accesses::StepAccesses;
use super::visited::VisitedSet;
use crate::executor::counterexample::Counterexample;
use crate::executor::run::Program;
use crate::executor::threads::Pending;
use crate::step_table::StepTable;
use crate::symmetry::Symmetries;

/// A frame of the stack: a state on the path.
#[derive(Debug)]
struct Frame {
    /// Index of its first thread in [`Dfs::todo`].
    todo: usize,
    /// Undoes the current step.
    undo_point: Option<UndoPoint>,
    /// The choices at the fault points of the current step.
    choices: FaultChoices,
    /// Number of decisions before the current step.
    decisions: usize,
    /// No step of another thread conflicts with the steps of this frame.
    independent: bool,
    /// Preemptions before the current step.
    preemptions: u32,
    /// Number of threads to explore in total.
    total: usize,
    /// Number of threads that other workers have stolen.
    stolen: usize,
}

/// Number of transitions after which persistent sets take new program points into account.
const REFRESH_INTERVAL: u64 = 1 << 14;

/// A thread of [`Dfs::todo`] that another worker has stolen.
const STOLEN: u32 = u32::MAX;

/// A depth-first search.
pub(crate) struct Dfs<'a> {
    program: &'a Program<'a>,
    pub(crate) table: StepTable,
    pub(crate) visited: VisitedSet,
    /// Canonical fingerprints of the visited states, if orbits are counted.
    orbits: Option<VisitedSet>,
    state: State,
    frames: Vec<Frame>,
    /// One for each frame, if sleep sets are used.
    sleep_frames: Vec<SleepFrame>,
    /// The unexplored threads of all frames.
    todo: Vec<u32>,
    decisions: Vec<u32>,
    enabled: Vec<u32>,
    pub(crate) counts: SearchCounts,
    pub(crate) outcomes: BTreeSet<u32>,
    pub(crate) found: Option<Counterexample>,
    options: SearchOptions,
    persistent: Option<PersistentSets>,
    /// Number of program points that [`Dfs::persistent`] covers, and number of transitions at which it is
    /// computed anew.
    refreshed: (usize, u64),
    /// Preemptions on the path.
    preemptions: u32,
    /// Steps before the first frame.
    steps_before: u64,
    initial: State,
    /// Share of this job in the whole search.
    share: f64,
    /// Sleep set of the next state.
    sleep: Vec<SleepEntry>,
    /// Replaces the visited set in a search for the cheapest counterexample.
    pub(crate) cost_bound: Option<CostBoundedVisited>,
    /// The shortest runs by outcome, in a search for them.
    pub(crate) shortest_runs: Option<ShortestRuns>,
    /// If set, the search ends where the test's threads begin. By permutation: whether it fixes all of these
    /// states.
    pub(crate) initially_symmetric: Option<Vec<bool>>,
    /// Paths whose steps were unknown.
    pub(crate) recorded_paths: Vec<Vec<u32>>,
}

impl<'a> Dfs<'a> {
    /// A search without a job.
    pub(crate) fn new(
        program: &'a Program<'a>,
        table: StepTable,
        dependence: Option<Arc<Dependence>>,
        visited: VisitedSet,
        options: SearchOptions,
    ) -> Self {
        let refreshed = (table.points.len(), 0);
        let mut initial = State::new(&table, program.max_faults);
        initial.step_accesses = options.sleep_sets.then(StepAccesses::default);
        Dfs {
            program,
            table,
            visited,
            orbits: (options.count_orbits != Symmetries::NONE).then(VisitedSet::new),
            state: initial.clone(),
            frames: Vec::new(),
            sleep_frames: Vec::new(),
            todo: Vec::new(),
            decisions: Vec::new(),
            enabled: Vec::new(),
            counts: SearchCounts::default(),
            outcomes: BTreeSet::new(),
            found: None,
            options,
            persistent: dependence.map(PersistentSets::new),
            refreshed,
            preemptions: 0,
            steps_before: 0,
            initial,
            share: 0.0,
            sleep: Vec::new(),
            cost_bound: None,
            shortest_runs: None,
            initially_symmetric: None,
            recorded_paths: Vec::new(),
        }
    }

    /// Starts a job: executes its path and pushes the first frame.
    pub(crate) fn start_job(&mut self, job: SearchJob) {
        self.state.clone_from(&self.initial);
        self.state.grow(&self.table);
        self.frames.clear();
        self.sleep_frames.clear();
        self.todo.clear();
        self.decisions.clear();
        (self.preemptions, self.steps_before) = (0, 0);
        self.sleep.clear();
        self.share = job.share;
        let mut choices = FaultChoices::default();
        let mut path = &job.path[..];
        while let Some((thread, rest)) = path.split_first() {
            choices.preset(rest.iter().take(MAX_CHOICES).map(|fails| *fails == 1));
            let undo_point = self.state.undo_point(*thread as usize);
            self.preemptions += u32::from(self.preempts(*thread));
            let result = self.step(*thread as usize, &undo_point, &mut choices);
            debug_assert_eq!(result, StepResult::Done);
            self.steps_before += 1;
            let (taken, rest) = rest.split_at(choices.position());
            self.decisions.push(*thread);
            self.decisions.extend(taken);
            path = rest;
        }
        match job.todo {
            None => self.enter(),
            Some(todo) => {
                self.push(todo.iter().rev().copied(), job.independent);
                if let Some(frame) = self.frames.last_mut() {
                    frame.choices.preset(job.choices.into_iter());
                }
            }
        }
    }

    /// Number of preemptions on the path, in a search that counts them.
    pub(crate) fn preemptions(&self) -> u32 {
        self.preemptions
    }

    /// Size of the visited set in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.visited.bytes()
    }

    /// Number of frames.
    pub(crate) fn depth(&self) -> usize {
        self.frames.len()
    }

    /// Continues for about `transitions` transitions, or until there are `states` states; `false` when the job
    /// is complete or a violation was found.
    pub(crate) fn run(&mut self, transitions: u64, states: u64) -> bool {
        let until = self.counts.transitions + transitions;
        while self.counts.transitions < until && self.counts.states < states {
            if self.found.is_some() || !self.advance() {
                return false;
            }
        }
        true
    }

    /// Enters a state: looks it up in the visited set and pushes a frame if it is new.
    fn enter(&mut self) {
        if self.reached_test_start() {
            return;
        }
        let (fingerprint, permutation) = self.visited_key();
        self.visited.prefetch(fingerprint);
        let mut enabled = std::mem::take(&mut self.enabled);
        self.state.runnable(&self.table, &mut enabled);
        if let Some(first) = enabled.first() {
            let starts = self.table.points[self.state.threads[*first as usize] as usize].pending
                == Pending::Start;
            if starts || self.is_new(fingerprint) || !self.options.remember_states {
                self.counts.states += u64::from(!starts);
                let mut independent = starts;
                if enabled.len() > 1
                    && let Some(set) = self.persistent_set(&enabled, permutation)
                {
                    enabled.retain(|thread| set >> thread & 1 == 1);
                    // A singleton persistent set: no other thread conflicts with its step.
                    independent = enabled.len() == 1 && set.count_ones() == 1;
                } else {
                    self.apply_preemption_bound(&mut enabled);
                }
                self.push(enabled.iter().copied(), independent);
                if self.options.sleep_sets && !independent {
                    self.check_races_of_sleeping();
                }
            }
        } else if self.state.all_done(&self.table) {
            self.end_run();
        } else {
            self.report_violation();
        }
        self.enabled = enabled;
    }

    /// Records the outcome of a complete run.
    fn end_run(&mut self) {
        let Some(outcome) = self.state.outcome(&self.table) else { return };
        self.outcomes.insert(outcome);
        if let (Some(runs), Some(bound)) = (&mut self.shortest_runs, &mut self.cost_bound) {
            let steps = self.steps_before + self.frames.len() as u64;
            runs.add(&self.table.outcomes[outcome as usize], &self.decisions, steps, bound);
        }
    }

    /// Whether a search of the set-up has reached a state where a thread of the test begins; if so, checks
    /// which permutations fix it.
    fn reached_test_start(&mut self) -> bool {
        let Some(symmetric) = &mut self.initially_symmetric else { return false };
        let is_test_thread =
            |point: &u32| (1..FIRST_KERNEL_SLOT).contains(&self.table.points[*point as usize].slot);
        let reached = self.state.threads.iter().any(is_test_thread);
        if reached {
            let own = self.state.exact_fingerprint();
            let images = self.state.images(true);
            symmetric.iter_mut().zip(images).for_each(|(fixed, image)| *fixed &= image == own);
        }
        reached
    }

    /// Whether a step of this thread is a preemption: the running thread is enabled and another one steps.
    fn preempts(&self, thread: u32) -> bool {
        let running = self.state.running;
        let starts = self.table.points[self.state.threads[thread as usize] as usize].pending
            == Pending::Start;
        !starts && thread as usize != running && self.state.enabled(&self.table, running)
    }

    /// Prunes preemptions beyond the bound.
    fn apply_preemption_bound(&mut self, enabled: &mut Vec<u32>) {
        if enabled.len() > 1
            && self.options.preemptions.is_some_and(|max| self.preemptions >= max)
            && self.state.enabled(&self.table, self.state.running)
        {
            self.counts.preemption_pruned += enabled.len() as u64 - 1;
            enabled.retain(|thread| *thread as usize == self.state.running);
        }
    }

    /// A persistent set of the state as a mask of threads, if one is smaller than all enabled threads.
    fn persistent_set(&mut self, enabled: &[u32], permutation: Option<usize>) -> Option<u64> {
        let persistent = self.persistent.as_mut()?;
        // The table may be incomplete. A pass that grew it is repeated, so an approximate set is sound here.
        let (points, (covered, due)) = (self.table.points.len(), self.refreshed);
        if points > covered && (points > covered * 3 / 2 || self.counts.transitions >= due) {
            *persistent = PersistentSets::new(Arc::new(Dependence::new(&self.table)));
            self.refreshed = (points, self.counts.transitions + REFRESH_INTERVAL);
        }
        persistent.smallest(&self.table, &self.state, enabled, permutation)
    }

    /// Pushes a frame for the current state, unless the path is truncated here.
    fn push(&mut self, threads: impl DoubleEndedIterator<Item = u32>, independent: bool) {
        let steps = self.steps_before + self.frames.len() as u64;
        if steps >= self.program.max_steps
            || steps >= self.program.lasso_from && self.check_fair_extension(steps)
        {
            self.counts.truncated_paths += 1;
            return;
        }
        let todo = self.todo.len();
        if self.options.sleep_sets {
            let sleep = std::mem::take(&mut self.sleep);
            let is_awake = |thread: &u32| sleep.iter().all(|entry| entry.thread != *thread);
            self.todo.extend(threads.rev().filter(is_awake));
            let starts = self.state.starting_thread(&self.table).is_some();
            self.sleep_frames.push(SleepFrame { sleep, current: SleepEntry::NONE, starts });
        } else {
            self.todo.extend(threads.rev());
        }
        let (undo_point, choices, decisions) =
            (None, FaultChoices::default(), self.decisions.len());
        let (total, stolen, preemptions) = (self.todo.len() - todo, 0, self.preemptions);
        self.frames.push(Frame {
            todo,
            undo_point,
            choices,
            decisions,
            independent,
            preemptions,
            total,
            stolen,
        });
        self.counts.depth = self.counts.depth.max(self.frames.len() as u64);
    }

    /// Takes the next unexplored step, after backtracking as far as needed; `false` if there is none.
    fn advance(&mut self) -> bool {
        if !self.backtrack() {
            return false;
        }
        let thread = self.todo[self.todo.len() - 1] as usize;
        let undo_point = self.state.undo_point(thread);
        let index = self.frames.len() - 1;
        let mut choices = std::mem::take(&mut self.frames[index].choices);
        if self.options.preemptions.is_some() {
            self.preemptions += u32::from(self.preempts(thread as u32));
        }
        let result = self.step(thread, &undo_point, &mut choices);
        self.decisions.push(thread as u32);
        self.decisions.extend(choices.taken().iter().map(|fails| u32::from(*fails)));
        self.frames[index].choices = choices;
        self.frames[index].undo_point = Some(undo_point);
        self.counts.transitions += 1;
        if result == StepResult::Violation {
            self.report_violation();
            return true;
        }
        if self.options.sleep_sets {
            self.update_sleep_set(index, thread);
        }
        if self.state.plain_accesses.can_race() && !self.frames[index].independent {
            self.check_races();
        }
        if self.found.is_none() {
            self.enter();
        }
        true
    }

    /// Undoes the current step and pops frames without an unexplored step; `false` if no frame is left.
    #[inline]
    fn backtrack(&mut self) -> bool {
        loop {
            let Some(frame) = self.frames.last_mut() else { return false };
            if let Some(undo_point) = frame.undo_point.take() {
                self.state.undo(&self.table, &undo_point);
                self.decisions.truncate(frame.decisions);
                self.preemptions = frame.preemptions;
                if !frame.choices.advance() {
                    self.todo.pop();
                    frame.choices.reset();
                    if let Some(sleep_frame) = self.sleep_frames.last_mut() {
                        let explored =
                            std::mem::replace(&mut sleep_frame.current, SleepEntry::NONE);
                        sleep_frame.sleep.push(explored);
                        let starts = sleep_frame.starts;
                        // The step before has spawned the thread: its first step is a part of that step.
                        let before = self.sleep_frames.iter_mut().rev().nth(1);
                        if let Some(before) = before.filter(|_| starts) {
                            before.current.extend(&explored);
                        }
                    }
                }
            }
            while self.todo.len() > frame.todo && self.todo.last() == Some(&STOLEN) {
                self.todo.pop();
            }
            if self.todo.len() > frame.todo {
                return true;
            }
            self.frames.pop();
            self.sleep_frames.pop();
        }
    }
}
