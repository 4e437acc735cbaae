//! Depth-first search.

use std::collections::BTreeSet;

use ifq_model::invariant::Violation;

use super::future::Futures;
use super::state::{Choices, Footprint, Mark, State, Walk};
use super::visited::Visited;
use crate::code::Code;
use crate::counterexample::Counterexample;
use crate::det::threads::Pending;
use crate::exec::Program;

/// Where one step is unknown the next ones are as a rule too: so many are learned with it.
const AHEAD: u32 = 64;

/// A state on the path: what is still to be tried from it.
#[derive(Debug)]
struct Frame {
    /// Where its threads begin in [`Dfs::todo`].
    todo: usize,
    /// To take back the step that is being tried.
    mark: Option<Mark>,
    choices: Choices,
    /// Length of the decisions before that step.
    decisions: usize,
    quiet: bool,
}

/// Counts of a search.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    /// Unique states.
    pub(crate) states: u64,
    /// Steps from one state to the next.
    pub(crate) transitions: u64,
    /// Runs of the real program, to learn its steps.
    pub(crate) runs: u64,
    /// Steps of those.
    pub(crate) run_steps: u64,
    /// Paths that were given up after the greatest number of steps.
    pub(crate) cut: u64,
    /// Longest path.
    pub(crate) depth: u64,
}

/// A depth-first search.
pub(crate) struct Dfs<'a> {
    program: &'a Program<'a>,
    pub(crate) code: Code,
    visited: Visited,
    state: State,
    frames: Vec<Frame>,
    todo: Vec<u32>,
    decisions: Vec<u32>,
    enabled: Vec<u32>,
    pub(crate) counts: Counts,
    pub(crate) outcomes: BTreeSet<u32>,
    pub(crate) found: Option<Counterexample>,
    remember: bool,
    /// With them, steps that are in nobody's way are taken alone.
    futures: Option<Futures>,
    /// Stops from which on they are made anew.
    refresh: usize,
}

impl<'a> Dfs<'a> {
    /// From the start of the program.
    pub(crate) fn new(
        program: &'a Program<'a>,
        code: Code,
        visited: Visited,
        remember: bool,
        persistent_sets: bool,
    ) -> Self {
        let futures = persistent_sets.then(|| Futures::new(&code));
        let refresh = code.stops.len() * 3 / 2;
        let state = State::new(&code, program.max_faults);
        let mut dfs = Dfs {
            program,
            code,
            visited,
            state,
            frames: Vec::new(),
            todo: Vec::new(),
            decisions: Vec::new(),
            enabled: Vec::new(),
            counts: Counts::default(),
            outcomes: BTreeSet::new(),
            found: None,
            remember,
            futures,
            refresh,
        };
        dfs.enter();
        dfs
    }

    /// Length of the path.
    pub(crate) fn depth(&self) -> usize {
        self.frames.len()
    }

    /// Goes on for about so many transitions, or to so many states; `false` when nothing is left.
    pub(crate) fn run(&mut self, transitions: u64, states: u64) -> bool {
        let until = self.counts.transitions + transitions;
        while self.counts.transitions < until && self.counts.states < states {
            if self.found.is_some() || !self.advance() {
                return false;
            }
        }
        true
    }

    /// Comes to a state: counts it, and notes what is to be tried from it.
    fn enter(&mut self) {
        let mut enabled = std::mem::take(&mut self.enabled);
        self.state.runnable(&self.code, &mut enabled);
        if let Some(first) = enabled.first() {
            let starts = self.code.stops[self.state.threads[*first as usize] as usize].pending
                == Pending::Start;
            if starts || self.visited.insert(self.state.fingerprint()) || !self.remember {
                self.counts.states += u64::from(!starts);
                if enabled.len() > 1
                    && let Some(alone) = self.alone(&enabled)
                {
                    self.push(&[alone], true);
                } else {
                    self.push(&enabled, starts);
                }
            }
        } else if self.state.all_done(&self.code) {
            self.outcomes.extend(self.state.outcome(&self.code));
        } else {
            self.broken();
        }
        self.enabled = enabled;
    }

    /// The first thread whose next step is in nobody's way.
    fn alone(&mut self, enabled: &[u32]) -> Option<u32> {
        // Whatever is found with too little knowledge is found again: until then the best guess does.
        if self.futures.is_some() && self.code.stops.len() > self.refresh {
            self.futures = Some(Futures::new(&self.code));
            self.refresh = self.code.stops.len() * 3 / 2;
        }
        let futures = self.futures.take()?;
        let alone = self.first_alone(&futures, enabled);
        self.futures = Some(futures);
        alone
    }

    fn first_alone(&mut self, futures: &Futures, enabled: &[u32]) -> Option<u32> {
        enabled.iter().copied().find(|thread| {
            let thread = *thread as usize;
            let mark = self.state.mark(thread);
            let mut choices = Choices::default();
            loop {
                let walk = self.step(thread, &mark, &mut choices);
                self.state.back_to(&mark);
                let touched = &self.state.touched;
                if walk != Walk::Done || !futures.alone(&self.code, &self.state, thread, touched) {
                    return false;
                }
                if !choices.advance() {
                    return true;
                }
            }
        })
    }

    /// Notes what is to be tried; `quiet`: no other thread's step can race with it.
    fn push(&mut self, threads: &[u32], quiet: bool) {
        if self.frames.len() as u64 >= self.program.max_steps {
            self.counts.cut += 1;
            return;
        }
        let todo = self.todo.len();
        self.todo.extend(threads.iter().rev());
        let (mark, choices, decisions) = (None, Choices::default(), self.decisions.len());
        self.frames.push(Frame { todo, mark, choices, decisions, quiet });
        self.counts.depth = self.counts.depth.max(self.frames.len() as u64);
    }

    /// Takes the next step that is to be tried; `false` when none is left.
    fn advance(&mut self) -> bool {
        loop {
            let Some(frame) = self.frames.last_mut() else { return false };
            if let Some(mark) = frame.mark.take() {
                self.state.back_to(&mark);
                self.decisions.truncate(frame.decisions);
                if !frame.choices.advance() {
                    self.todo.pop();
                    frame.choices.reset();
                }
            }
            if self.todo.len() == frame.todo {
                self.frames.pop();
                continue;
            }
            break;
        }
        let thread = self.todo[self.todo.len() - 1] as usize;
        let mark = self.state.mark(thread);
        let index = self.frames.len() - 1;
        let mut choices = std::mem::take(&mut self.frames[index].choices);
        let walk = self.step(thread, &mark, &mut choices);
        self.decisions.push(thread as u32);
        self.decisions.extend(choices.taken().iter().map(|fails| u32::from(*fails)));
        self.frames[index].choices = choices;
        self.frames[index].mark = Some(mark);
        self.counts.transitions += 1;
        if walk == Walk::Broken {
            self.broken();
            return true;
        }
        if self.state.footprint.races() && !self.frames[index].quiet {
            self.look_for_races();
        }
        if self.found.is_none() {
            self.enter();
        }
        true
    }

    /// One step; what is not known is learned.
    fn step(&mut self, thread: usize, mark: &Mark, choices: &mut Choices) -> Walk {
        loop {
            let walk = self.state.step(&self.code, thread, choices);
            if walk != Walk::Unknown {
                return walk;
            }
            self.state.back_to(mark);
            let known = self.code.nodes.len();
            let before = self.decisions.len();
            self.decisions.push(thread as u32);
            self.decisions.extend(choices.taken().iter().map(|fails| u32::from(*fails)));
            let run = self.code.learn(self.program, &self.decisions, AHEAD);
            self.decisions.truncate(before);
            self.counts.runs += 1;
            self.counts.run_steps += run.steps;
            self.state.grow(&self.code);
            assert!(self.code.nodes.len() > known, "a run teaches what was not known");
        }
    }

    /// Whether a step of another thread can follow the last one and race with it; also where the
    /// state is known, because it was reached by another step then.
    fn look_for_races(&mut self) {
        let last = self.state.last;
        let mut enabled = Vec::new();
        self.state.runnable(&self.code, &mut enabled);
        let before = std::mem::take(&mut self.state.footprint);
        for thread in enabled {
            let thread = thread as usize;
            if thread != last && self.races(&before, thread) {
                break;
            }
        }
        self.state.footprint = before;
    }

    fn races(&mut self, before: &Footprint, thread: usize) -> bool {
        let acquired = self.code.stops[self.state.threads[thread] as usize].pending.acquires();
        let mut choices = Choices::default();
        let mark = self.state.mark(thread);
        loop {
            let walk = self.step(thread, &mark, &mut choices);
            let races = walk == Walk::Done && before.race(&self.state.footprint, acquired);
            self.state.back_to(&mark);
            if races {
                self.decisions.push(thread as u32);
                self.decisions.extend(choices.taken().iter().map(|fails| u32::from(*fails)));
                self.broken();
                return true;
            }
            if !choices.advance() {
                return false;
            }
        }
    }

    /// An invariant broke at the end of the path: the real run says which.
    fn broken(&mut self) {
        let run = self.code.learn(self.program, &self.decisions, 0);
        self.state.grow(&self.code);
        self.counts.runs += 1;
        self.counts.run_steps += run.steps;
        let Some(violation) = run.violation else {
            panic!("the tables see a violation that no run has, after {:?}", self.decisions);
        };
        self.found = Some(Counterexample {
            violation: Violation { ..violation },
            decisions: run.decisions,
            steps: run.steps,
        });
    }
}
