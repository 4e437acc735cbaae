//! Depth-first search.

mod job;
mod races;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::cost::Reached;
use super::future::Futures;
use super::persistent::Persistent;
use super::sleep::{Asleep, Touched};
use super::state::{Choices, MAX_CHOICES, Mark, State, Touches, Walk};
use super::visited::Visited;
pub(crate) use job::{Counts, Job};

use ifq_model::work::FIRST_KERNEL_SLOT;

use crate::executor::counterexample::Counterexample;
use crate::executor::fingerprint::{Fingerprint, append};
use crate::executor::run::{Program, RunResult, run};
use crate::executor::scheduler::InTurn;
use crate::executor::threads::Pending;
use crate::step_table::Code;
use crate::symmetry::Symmetries;

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
    /// Preemptions before it.
    preempted: u32,
    /// How many threads there were to try, and how many were given away.
    of: usize,
    given: usize,
}

/// With sleep sets, what goes with a frame.
#[derive(Debug)]
struct Nap {
    /// What needs not be tried from here, and what was tried.
    sleep: Vec<Asleep>,
    /// What the step that is being tried touches.
    trying: Asleep,
}

/// Nobody.
const AWAKE: Asleep = Asleep { thread: GIVEN, touched: Touched::NONE, races: false };

/// How a search goes about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// A path that meets a known state ends there.
    pub(crate) remember: bool,
    /// Only threads that are in each other's way are tried.
    pub(crate) persistent_sets: bool,
    /// Of two steps that do not touch each other only one order is tried.
    pub(crate) sleep_sets: bool,
    /// States that differ in such names only are one.
    pub(crate) symmetry: Symmetries,
    /// They are counted as one, besides.
    pub(crate) orbits: Symmetries,
    /// Times that a thread that could go on is put aside on one path.
    pub(crate) preemptions: Option<u32>,
}

impl Manner {
    /// Remembers states, and leaves nothing else out.
    pub(crate) const PLAIN: Manner = Manner {
        remember: true,
        persistent_sets: false,
        sleep_sets: false,
        symmetry: Symmetries::NONE,
        orbits: Symmetries::NONE,
        preemptions: None,
    };
}

/// Where one step is unknown the next ones are as a rule too: so many are learned with it.
pub(crate) const AHEAD: u32 = 64;

/// Transitions after which what was learned is worth finding out anew who is in nobody's way.
const REFRESH: u64 = 1 << 14;

/// A thread of a frame that was given away.
const GIVEN: u32 = u32::MAX;

/// A depth-first search.
pub(crate) struct Dfs<'a> {
    program: &'a Program<'a>,
    pub(crate) code: Code,
    pub(crate) visited: Visited,
    /// The same without names, if those are to be counted.
    orbits: Option<Visited>,
    state: State,
    frames: Vec<Frame>,
    naps: Vec<Nap>,
    todo: Vec<u32>,
    decisions: Vec<u32>,
    enabled: Vec<u32>,
    pub(crate) counts: Counts,
    pub(crate) outcomes: BTreeSet<u32>,
    pub(crate) found: Option<Counterexample>,
    manner: Manner,
    /// With persistent sets.
    persistent: Option<Persistent>,
    /// Stops that they know of, and transitions from which on they are made anew for new ones.
    refreshed: (usize, u64),
    /// Preemptions on the path.
    preempted: u32,
    /// Steps before the first frame.
    before: u64,
    start: State,
    /// Of the whole search.
    share: f64,
    /// What sleeps in the state that is entered next.
    sleep: Vec<Asleep>,
    /// Only the cheapest way to a violation is wanted.
    pub(crate) reached: Option<Reached>,
    /// Only set-up is searched: which renamings leave every state as it is in which the test's threads
    /// begin.
    pub(crate) begins_alike: Option<Vec<bool>>,
    /// Paths that taught something.
    pub(crate) learned: Vec<Vec<u32>>,
}

impl<'a> Dfs<'a> {
    /// With nothing to do yet.
    pub(crate) fn new(
        program: &'a Program<'a>,
        code: Code,
        futures: Option<Arc<Futures>>,
        visited: Visited,
        manner: Manner,
    ) -> Self {
        let refreshed = (code.stops.len(), 0);
        let mut start = State::new(&code, program.max_faults);
        start.touches = manner.sleep_sets.then(Touches::default);
        Dfs {
            program,
            code,
            visited,
            orbits: (manner.orbits != Symmetries::NONE).then(Visited::new),
            state: start.clone(),
            frames: Vec::new(),
            naps: Vec::new(),
            todo: Vec::new(),
            decisions: Vec::new(),
            enabled: Vec::new(),
            counts: Counts::default(),
            outcomes: BTreeSet::new(),
            found: None,
            manner,
            persistent: futures.map(Persistent::new),
            refreshed,
            preempted: 0,
            before: 0,
            start,
            share: 0.0,
            sleep: Vec::new(),
            reached: None,
            begins_alike: None,
            learned: Vec::new(),
        }
    }

    /// Begins a part of the search.
    pub(crate) fn begin(&mut self, job: Job) {
        self.state.clone_from(&self.start);
        self.state.grow(&self.code);
        self.frames.clear();
        self.naps.clear();
        self.todo.clear();
        self.decisions.clear();
        (self.preempted, self.before) = (0, 0);
        self.sleep.clear();
        self.share = job.share;
        let mut choices = Choices::default();
        let mut path = &job.path[..];
        while let Some((thread, rest)) = path.split_first() {
            choices.preset(rest.iter().take(MAX_CHOICES).map(|fails| *fails == 1));
            let mark = self.state.mark(*thread as usize);
            self.preempted += u32::from(self.preempts(*thread));
            let walk = self.step(*thread as usize, &mark, &mut choices);
            debug_assert_eq!(walk, Walk::Done);
            self.before += 1;
            let (taken, rest) = rest.split_at(choices.position());
            self.decisions.push(*thread);
            self.decisions.extend(taken);
            path = rest;
        }
        match job.todo {
            None => self.enter(),
            Some(todo) => {
                self.push(todo.iter().rev().copied(), job.quiet);
                if let Some(frame) = self.frames.last_mut() {
                    frame.choices.preset(job.choices.into_iter());
                }
            }
        }
    }

    /// The share of the whole search that this part is done with.
    pub(crate) fn share(&self) -> f64 {
        let (mut done, mut rest) = (0.0, self.share);
        for (index, frame) in self.frames.iter().enumerate() {
            let end = self.frames.get(index + 1).map_or(self.todo.len(), |next| next.todo);
            let open = self.todo[frame.todo..end].iter().filter(|t| **t != GIVEN).count();
            let of = frame.of.max(1) as f64;
            done += rest * (frame.of.saturating_sub(open + frame.given)) as f64 / of;
            rest /= of;
        }
        if self.frames.is_empty() { rest } else { done }
    }

    /// The shallowest state on the path from which something can be given away, half of it.
    pub(crate) fn give(&mut self) -> Option<Job> {
        let mut rest = self.share;
        for index in 0..self.frames.len() {
            let frame = &self.frames[index];
            let each = rest / frame.of.max(1) as f64;
            let end = self.frames.get(index + 1).map_or(self.todo.len(), |next| next.todo);
            // The last one is being tried.
            let open = frame.todo..end.saturating_sub(1).max(frame.todo);
            let given = self.todo[open].iter_mut().map(|at| std::mem::replace(at, GIVEN));
            let given: Vec<u32> = given.filter(|thread| *thread != GIVEN).collect();
            if !given.is_empty() {
                let path = self.decisions[..frame.decisions].to_vec();
                let (quiet, share) = (frame.quiet, each * given.len() as f64);
                self.frames[index].given += given.len();
                let (todo, choices) = (Some(given), Vec::new());
                return Some(Job { path, todo, choices, quiet, share });
            }
            rest = each;
        }
        None
    }

    /// Gives all away that is left to do.
    pub(crate) fn give_all(&mut self) -> Vec<Job> {
        let mut jobs = Vec::new();
        while let Some(mut frame) = self.frames.pop() {
            let mut todo = self.todo.split_off(frame.todo);
            if frame.mark.is_some() && !frame.choices.advance() {
                todo.pop();
                frame.choices.reset();
            }
            todo.retain(|thread| *thread != GIVEN);
            if !todo.is_empty() {
                let path = self.decisions[..frame.decisions].to_vec();
                let choices = frame.choices.taken().to_vec();
                let (quiet, share) = (frame.quiet, 0.0);
                jobs.push(Job { path, todo: Some(todo), choices, quiet, share });
            }
        }
        jobs
    }

    /// Preemptions on the path, if somebody wants to know.
    pub(crate) fn preempted(&self) -> u32 {
        self.preempted
    }

    /// Bytes of the set of known states.
    pub(crate) fn bytes(&self) -> u64 {
        self.visited.bytes()
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
        if self.begins() {
            return;
        }
        let (fingerprint, renaming) = self.fingerprint();
        self.visited.prefetch(fingerprint);
        let mut enabled = std::mem::take(&mut self.enabled);
        self.state.runnable(&self.code, &mut enabled);
        if let Some(first) = enabled.first() {
            let starts = self.code.stops[self.state.threads[*first as usize] as usize].pending
                == Pending::Start;
            if starts || self.is_new(fingerprint) || !self.manner.remember {
                self.counts.states += u64::from(!starts);
                let mut quiet = starts;
                if enabled.len() > 1
                    && let Some(set) = self.persistent(&enabled, renaming)
                {
                    enabled.retain(|thread| set >> thread & 1 == 1);
                    // Nobody can race with a step that is in nobody's way.
                    quiet = enabled.len() == 1 && set.count_ones() == 1;
                } else {
                    self.withhold(&mut enabled);
                }
                self.push(enabled.iter().copied(), quiet);
                if self.manner.sleep_sets && !quiet {
                    self.look_for_races_asleep();
                }
            }
        } else if self.state.all_done(&self.code) {
            self.outcomes.extend(self.state.outcome(&self.code));
        } else {
            self.broken();
        }
        self.enabled = enabled;
    }

    /// Whether set-up, all that is searched, has ended.
    fn begins(&mut self) -> bool {
        let Some(alike) = &mut self.begins_alike else { return false };
        let tests =
            |stop: &u32| (1..FIRST_KERNEL_SLOT).contains(&self.code.stops[*stop as usize].slot);
        let begins = self.state.threads.iter().any(tests);
        if begins {
            let own = self.state.exact_fingerprint();
            let images = self.state.images(true);
            alike.iter_mut().zip(images).for_each(|(alike, image)| *alike &= image == own);
        }
        begins
    }

    /// What the state is known by, and under which renaming that is so; `None`: under none.
    fn known_by(
        &self,
        symmetry: Symmetries,
        besides: impl Fn(Option<usize>) -> Fingerprint,
    ) -> (Fingerprint, Option<usize>) {
        let exact = !symmetry.buffers;
        let own = match exact {
            true => self.state.exact_fingerprint(),
            false => self.state.fingerprint(),
        };
        let own = (own ^ besides(None), None);
        if !symmetry.rings {
            return own;
        }
        let images = self.state.images(exact).enumerate();
        let images = images.map(|(index, image)| (image ^ besides(Some(index)), Some(index)));
        images.fold(own, |least, image| if image.0 < least.0 { image } else { least })
    }

    /// A slot as it is called under a renaming.
    fn slot_under(&self, slot: u32, renaming: Option<usize>) -> u32 {
        renaming.map_or(slot, |index| self.code.names.group.other(index).slot(slot))
    }

    /// What the state is known by: with what it may still do, where that depends on more than the state.
    fn fingerprint(&self) -> (Fingerprint, Option<usize>) {
        let running = self.code.stops[self.state.threads[self.state.running] as usize].slot;
        let running = |renaming| u64::from(self.slot_under(running, renaming));
        let by_preemptions = self.reached.as_ref().map(Reached::counts_preemptions);
        let symmetry = self.manner.symmetry;
        match by_preemptions {
            // What is still to come costs the same only if the same thread goes on for nothing.
            Some(true) => {
                let goes_on = self.state.enabled(&self.code, self.state.running);
                let goes_on = |renaming| if goes_on { running(renaming) + 1 } else { 0 };
                self.known_by(symmetry, |renaming| append(5, goes_on(renaming)))
            }
            // What may still be tried depends on who ran last and on the preemptions that are left.
            None if self.manner.preemptions.is_some() => {
                let left = u64::from(self.preempted);
                self.known_by(symmetry, |renaming| append(append(4, running(renaming)), left))
            }
            _ => self.known_by(symmetry, |_| 0),
        }
    }

    /// Whether the state was not met before.
    fn is_new(&mut self, fingerprint: Fingerprint) -> bool {
        let at_main = self.state.threads[0];
        let renamed = || self.code.stop_image(at_main, 0).is_some();
        let others = self.code.names.group.others() > 0;
        if self.orbits.is_some() && (!self.manner.orbits.rings || !others || renamed()) {
            let (orbit, _) = self.known_by(self.manner.orbits, |_| 0);
            let is_new = self.orbits.as_mut().is_some_and(|orbits| orbits.insert(orbit));
            self.counts.orbits += u64::from(is_new);
        }
        if let Some(reached) = &mut self.reached {
            let (preemptions, steps) = (u64::from(self.preempted), self.frames.len() as u64);
            return reached.enter(fingerprint, preemptions, steps);
        }
        self.visited.insert(fingerprint)
    }

    /// Whether a step of this thread puts one aside that could go on.
    fn preempts(&self, thread: u32) -> bool {
        let running = self.state.running;
        let starts =
            self.code.stops[self.state.threads[thread as usize] as usize].pending == Pending::Start;
        !starts && thread as usize != running && self.state.enabled(&self.code, running)
    }

    /// Leaves out preemptions that the path may not have.
    fn withhold(&mut self, enabled: &mut Vec<u32>) {
        if enabled.len() > 1
            && self.manner.preemptions.is_some_and(|most| self.preempted >= most)
            && self.state.enabled(&self.code, self.state.running)
        {
            self.counts.withheld += enabled.len() as u64 - 1;
            enabled.retain(|thread| *thread as usize == self.state.running);
        }
    }

    /// The threads that are enough, if not all are needed.
    fn persistent(&mut self, enabled: &[u32], renaming: Option<usize>) -> Option<u64> {
        let persistent = self.persistent.as_mut()?;
        // What is searched with too little knowledge is searched again: until then the best guess does.
        let (stops, (known, due)) = (self.code.stops.len(), self.refreshed);
        if stops > known && (stops > known * 3 / 2 || self.counts.transitions >= due) {
            *persistent = Persistent::new(Arc::new(Futures::new(&self.code)));
            self.refreshed = (stops, self.counts.transitions + REFRESH);
        }
        persistent.smallest(&self.code, &self.state, enabled, renaming)
    }

    /// Notes what is to be tried; `quiet`: no other thread's step can race with it.
    fn push(&mut self, threads: impl DoubleEndedIterator<Item = u32>, quiet: bool) {
        let steps = self.before + self.frames.len() as u64;
        if steps >= self.program.max_steps
            || steps >= self.program.lasso_from && self.goes_on_for_ever(steps)
        {
            self.counts.truncated_paths += 1;
            return;
        }
        let todo = self.todo.len();
        if self.manner.sleep_sets {
            let sleep = std::mem::take(&mut self.sleep);
            let awake = |thread: &u32| sleep.iter().all(|asleep| asleep.thread != *thread);
            self.todo.extend(threads.rev().filter(awake));
            self.naps.push(Nap { sleep, trying: AWAKE });
        } else {
            self.todo.extend(threads.rev());
        }
        let (mark, choices, decisions) = (None, Choices::default(), self.decisions.len());
        let preempted = self.preempted;
        let (of, given) = (self.todo.len() - todo, 0);
        self.frames.push(Frame { todo, mark, choices, decisions, quiet, preempted, of, given });
        self.counts.depth = self.counts.depth.max(self.frames.len() as u64);
    }

    /// Whether there is no use in going on: whoever could run was put aside for so long that it is time
    /// to see what a fair schedule makes of it. If that has no end either, it breaks I4.
    fn goes_on_for_ever(&mut self, steps: u64) -> bool {
        if !steps.is_power_of_two() {
            return false;
        }
        let program = Program { max_steps: self.program.max_steps.min(steps * 8), ..*self.program };
        let in_turn = |decisions: &[u32]| run(&program, Box::new(InTurn::new(decisions)), false);
        let all = in_turn(&self.decisions);
        let starved = all.starved;
        if all.violation.is_some() {
            // The shortest way into it that is quickly found.
            let ways = std::iter::successors(Some(0), |most| Some(most * 2 + 1));
            let ways = ways.take_while(|most| *most < self.decisions.len());
            let same = |run: &RunResult| {
                run.violation.as_ref().map(|v| v.invariant)
                    == all.violation.as_ref().map(|v| v.invariant)
            };
            let short = ways.map(|most| in_turn(&self.decisions[..most])).find(same);
            self.take(short.unwrap_or(all));
        }
        self.found.is_some() || starved
    }

    /// Takes the next step that is to be tried; `false` when none is left.
    fn advance(&mut self) -> bool {
        loop {
            let Some(frame) = self.frames.last_mut() else { return false };
            if let Some(mark) = frame.mark.take() {
                self.state.back_to(&self.code, &mark);
                self.decisions.truncate(frame.decisions);
                self.preempted = frame.preempted;
                if !frame.choices.advance() {
                    self.todo.pop();
                    frame.choices.reset();
                    if let Some(nap) = self.naps.last_mut() {
                        nap.sleep.push(std::mem::replace(&mut nap.trying, AWAKE));
                    }
                }
            }
            while self.todo.len() > frame.todo && self.todo.last() == Some(&GIVEN) {
                self.todo.pop();
            }
            if self.todo.len() == frame.todo {
                self.frames.pop();
                self.naps.pop();
                continue;
            }
            break;
        }
        let thread = self.todo[self.todo.len() - 1] as usize;
        let mark = self.state.mark(thread);
        let index = self.frames.len() - 1;
        let mut choices = std::mem::take(&mut self.frames[index].choices);
        if self.manner.preemptions.is_some() {
            self.preempted += u32::from(self.preempts(thread as u32));
        }
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
        if self.manner.sleep_sets {
            self.fall_asleep(index, thread);
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
            self.state.back_to(&self.code, mark);
            let known = self.code.nodes.len();
            let before = self.decisions.len();
            self.decisions.push(thread as u32);
            self.decisions.extend(choices.taken().iter().map(|fails| u32::from(*fails)));
            let run = self.code.learn(self.program, &self.decisions, AHEAD);
            self.learned.push(self.decisions.clone());
            self.decisions.truncate(before);
            self.counts.runs += 1;
            self.counts.run_steps += run.steps;
            self.state.grow(&self.code);
            if self.code.nodes.len() == known {
                // With too little knowledge a step was taken alone that races with another one.
                self.take(run);
                return Walk::Broken;
            }
        }
    }

    /// An invariant broke at the end of the path: the real run says which.
    fn broken(&mut self) {
        if self.found.is_some() {
            return;
        }
        let run = self.code.learn(self.program, &self.decisions, 0);
        self.state.grow(&self.code);
        self.counts.runs += 1;
        self.counts.run_steps += run.steps;
        self.take(run);
    }

    fn take(&mut self, run: RunResult) {
        let Some(violation) = run.violation else {
            panic!("the tables see a violation that no run has, after {:?}", run.decisions);
        };
        let (decisions, steps) = (run.decisions, run.steps);
        self.found = Some(Counterexample { violation, decisions, steps });
    }
}
