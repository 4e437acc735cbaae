//! The exhaustive explorer: every interleaving of a test, every allowed fault, states remembered.
//!
//! Depth first, on tables of what each step does (`src/code`). A state is remembered by its
//! fingerprint; a path that meets a known state ends there.
//!
//! Divergence from the memory model: interleavings are sequentially consistent. Missing barriers
//! are for loom.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ifq_model::invariant::Invariant;
use ifq_model::outcome::Outcome;
use ifq_model::revision::Variant;
use ifq_model::test::Test;

use crate::executor::counterexample::Counterexample;
use crate::executor::run::{Program, with_program};
use crate::executor::scheduler::{Priorities, Random, Scheduler};
use crate::search::checkpoint::{self, Checkpoint, CheckpointError, Progressed, Which};
use crate::search::dfs::{AHEAD, Counts, Dfs, Job, Manner};
use crate::search::future::Futures;
use crate::search::parallel::{self, Make, Part, Together, Told};
use crate::search::visited::Visited;
use crate::step_table::Code;
use crate::symmetry::renaming::Group;
use crate::symmetry::rings::group_of;
use crate::symmetry::{Symmetries, Symmetry};

/// When a search is given up. What was found until then still counts, but not as exhaustive.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Unique states.
    pub max_states: u64,
    /// Time on the clock.
    pub max_time: Option<Duration>,
    /// End a run that meets a known state. Without it every interleaving is run to its end, which
    /// only the smallest tests allow; it is how the remembering is checked.
    pub remember_states: bool,
    /// Take a step that is in no other thread's way alone (persistent sets).
    pub persistent_sets: bool,
    /// Of two steps that do not touch each other try only one order (sleep sets). Only for one
    /// processor; several search without.
    pub sleep_sets: bool,
    /// States that differ in such names only are one.
    pub symmetry: Symmetries,
    /// Count besides how many states there are without such names; without those of rings, only the
    /// states in which the test's threads run: set-up and end come to the rings one by one.
    pub orbits: Symmetries,
    /// Search only runs with so many preemptions: times that a thread is put aside that could go on.
    /// Such a search takes no step alone.
    pub preemptions: Option<u32>,
    /// Bytes for remembering states.
    pub max_memory: Option<u64>,
    /// States up to which one processor searches and learns the steps on the way. Larger searches are
    /// prepared by this much of them and some random runs.
    pub small: u64,
    /// Processors that search together.
    pub workers: usize,
    /// Invariants that may break: a run goes on, and what user space sees of it counts. Only for those
    /// that the model looks at from outside, I9 and I10, which change nothing that happens.
    pub tolerated: &'static [Invariant],
}

impl Limits {
    /// Fifty million states: about 1 GiB.
    pub const DEFAULT: Limits = Limits {
        max_states: 50_000_000,
        max_time: None,
        remember_states: true,
        persistent_sets: true,
        sleep_sets: false,
        symmetry: Symmetries::RINGS,
        orbits: Symmetries::NONE,
        preemptions: None,
        max_memory: None,
        small: 20_000,
        workers: 1,
        tolerated: &[],
    };
}

impl Default for Limits {
    fn default() -> Self {
        Limits::DEFAULT
    }
}

impl Limits {
    /// The program as it is searched.
    fn of<'a>(&self, program: &Program<'a>) -> Program<'a> {
        Program { tolerated: self.tolerated, ..*program }
    }
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Exploration {
    /// The first broken invariant; the search ends with it.
    pub counterexample: Option<Counterexample>,
    /// What user space can see at the end.
    pub outcomes: BTreeSet<Outcome>,
    /// Unique states at scheduling points.
    pub states: u64,
    /// Unique states without names, if they were to be counted; see [`Limits::orbits`].
    pub orbits: u64,
    /// Steps and fault choices from one state to the next.
    pub transitions: u64,
    /// Runs from the start.
    pub runs: u64,
    /// How often the states were searched, until nothing unknown was met.
    pub passes: u32,
    /// Runs that were given up after [`crate::executor::run::MAX_STEPS`].
    pub truncated_paths: u64,
    /// Steps of all runs, repeated ones included.
    pub steps: u64,
    /// Longest run.
    pub depth: u64,
    /// Bytes in which the states are remembered.
    pub bytes: u64,
    /// Nothing was left out.
    pub exhaustive: bool,
    /// Time it took.
    pub elapsed: Duration,
}

/// All outcomes of a test, and whether the set is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcomes {
    /// The outcomes.
    pub set: BTreeSet<Outcome>,
    /// No limit ended the search, and nothing broke.
    pub exhaustive: bool,
}

/// The outcomes that a variant of the kernel allows.
#[must_use]
pub fn outcomes(test: &Test, variant: &Variant, limits: &Limits) -> Outcomes {
    let found = explore(test, variant, limits, &mut |_| {});
    Outcomes { set: found.outcomes, exhaustive: found.exhaustive && found.counterexample.is_none() }
}

/// How far a search is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Unique states so far.
    pub states: u64,
    /// Decisions on the path that is searched.
    pub depth: usize,
    /// Bytes in which the states are remembered.
    pub bytes: u64,
    /// Which time it is that the states are searched.
    pub pass: u32,
    /// The share of this pass that is done, from 0 to 1, if its branches were of the same size.
    pub share: f64,
    /// Time so far.
    pub elapsed: Duration,
}

/// Searches all runs of a test on a variant of the kernel, until an invariant breaks.
///
/// `progress` is called now and then.
pub fn explore(
    test: &Test,
    variant: &Variant,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Exploration {
    let found = explore_with(test, variant, limits, None, progress);
    found.expect("a search without checkpoints cannot fail")
}

/// As [`explore`]; a search that takes long leaves checkpoints, and goes on from the last one.
///
/// # Errors
/// If a checkpoint cannot be read or written, or belongs to another search.
pub fn explore_with(
    test: &Test,
    variant: &Variant,
    limits: &Limits,
    checkpoint: Option<&Checkpoint>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Exploration, CheckpointError> {
    let make = |f: &mut dyn FnMut(&Program<'_>)| {
        with_program(&Rc::new(test.clone()), variant, |program| f(&limits.of(program)));
    };
    let make = (limits.workers > 1).then_some(&make as Make<'_>);
    let keep = checkpoint.map(|checkpoint| Keep { checkpoint, test, variant, limits });
    let found = with_program(&Rc::new(test.clone()), variant, |program| {
        search_with(make, keep, &limits.of(program), limits, progress)
    })?;
    if let Some(Checkpoint { path, .. }) = checkpoint
        && (found.exhaustive || found.counterexample.is_some())
        && let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(CheckpointError::Io { path: path.clone(), error });
    }
    Ok(found)
}

/// A large search is prepared by a random run for so many states that make it large.
const RANDOM_RUN_FOR: u64 = 100;

/// As [`explore`], of any program, by one processor.
pub(crate) fn search(
    program: &Program<'_>,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Exploration {
    let found = search_with(None, None, program, limits, progress);
    found.expect("a search without checkpoints cannot fail")
}

fn search_with(
    make: Option<Make<'_>>,
    keep: Option<Keep<'_>>,
    program: &Program<'_>,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Result<Exploration, CheckpointError> {
    let (started, passes) = (Instant::now(), 0);
    let Limits { symmetry, orbits, .. } = limits;
    let buffers = (symmetry.buffers || orbits.buffers)
        && program.symmetry.count <= crate::executor::record::Cell::MAX_BUFFERS;
    let group = match program.alike.filter(|_| symmetry.rings || orbits.rings) {
        Some(test) => alike_from_the_begin(program, group_of(test)),
        None => Group::trivial(),
    };
    let group = Arc::new(group);
    let code = Code::new(if buffers { program.symmetry } else { Symmetry::NONE }, group.clone());
    let mut search = Search { keep, make, program, limits, progress, started, group, code, passes };
    search.small().map_or_else(|| search.large(), Ok)
}

/// Those of some renamings under which every state is the same in which a test's threads begin. What the
/// others make of a state may not be reached at all.
fn alike_from_the_begin(program: &Program<'_>, group: Group) -> Group {
    if group.others() == 0 {
        return group;
    }
    let code = Code::new(Symmetry::NONE, Arc::new(group.clone()));
    let mut dfs = Dfs::new(program, code, None, Visited::new(), Manner::PLAIN);
    dfs.begins_alike = Some(vec![true; group.others()]);
    dfs.begin(Job::whole());
    let more = dfs.run(1 << 14, u64::MAX);
    let alike = dfs.begins_alike.filter(|_| !more).unwrap_or_default();
    group.only(|index| alike.get(index).copied().unwrap_or(false))
}

/// One search of all states.
struct Pass<'a> {
    code: &'a Code,
    futures: Option<&'a Arc<Futures>>,
    manner: Manner,
}

/// Where checkpoints go, and of what.
#[derive(Clone, Copy)]
struct Keep<'a> {
    checkpoint: &'a Checkpoint,
    test: &'a Test,
    variant: &'a Variant,
    limits: &'a Limits,
}

impl Keep<'_> {
    fn which(&self) -> Which {
        Which::new(self.test, self.variant, self.limits)
    }
}

struct Search<'a> {
    keep: Option<Keep<'a>>,
    /// Makes the program for further processors.
    make: Option<Make<'a>>,
    program: &'a Program<'a>,
    limits: &'a Limits,
    progress: &'a mut dyn FnMut(Progress),
    started: Instant,
    group: Arc<Group>,
    code: Code,
    passes: u32,
}

impl Search<'_> {
    fn manner(&self) -> Manner {
        Manner {
            remember: self.limits.remember_states,
            persistent_sets: self.limits.persistent_sets && self.limits.preemptions.is_none(),
            sleep_sets: self.limits.sleep_sets
                && self.limits.workers <= 1
                && self.limits.preemptions.is_none(),
            symmetry: self.limits.symmetry,
            orbits: self.limits.orbits,
            preemptions: self.limits.preemptions,
        }
    }

    fn at(&self, dfs: &Dfs<'_>) -> Progress {
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
    fn full(&self, states: u64, bytes: u64) -> bool {
        // The table grows by doubling: the new one and the old one are there for a while.
        states >= self.limits.max_states
            || self.limits.max_time.is_some_and(|max| self.started.elapsed() > max)
            || self.limits.max_memory.is_some_and(|max| {
                let grows = states > bytes / 8 / 10 * 8;
                bytes > max || grows && bytes * 3 > max
            })
    }

    /// Searches by one processor that learns on the way; `None` if that is too large.
    fn small(&mut self) -> Option<Exploration> {
        loop {
            self.passes += 1;
            let manner = self.manner();
            let futures = manner.persistent_sets.then(|| Arc::new(Futures::new(&self.code)));
            let known = self.code.nodes.len();
            let code = std::mem::replace(&mut self.code, Code::nothing());
            let mut dfs = Dfs::new(self.program, code, futures, Visited::new(), manner);
            dfs.begin(Job::whole());
            let most = self.limits.max_states.min(self.limits.small);
            let (mut more, mut full) = (true, false);
            while more && !full {
                more = dfs.run(1 << 14, most);
                let states = dfs.counts.states;
                let at = self.at(&dfs);
                (self.progress)(at);
                full = more && self.full(states, dfs.bytes());
                if more && !full && states >= self.limits.small {
                    self.code = dfs.code;
                    return None;
                }
            }
            let grown = dfs.code.nodes.len() > known;
            if !full && grown && dfs.found.is_none() && manner.persistent_sets {
                self.code = dfs.code;
                continue;
            }
            let outcome = |i: &u32| dfs.code.outcomes[*i as usize].clone();
            let outcomes = dfs.outcomes.iter().map(outcome).collect();
            return Some(self.found(dfs.counts, dfs.bytes(), outcomes, dfs.found, full));
        }
    }

    /// Searches by as many processors as there may be, from where a checkpoint was left.
    fn large(&mut self) -> Result<Exploration, CheckpointError> {
        // A run shows what it would show with other names, too.
        let names = self.group.others() as u64 + 1;
        for seed in 0..self.limits.small / RANDOM_RUN_FOR / names {
            let scheduler: Box<dyn Scheduler> = match seed % 2 {
                0 => Box::new(Random::new(seed)),
                _ => Box::new(Priorities::new(seed)),
            };
            self.code.learn_with(self.program, scheduler);
        }
        let mut saved = match self.keep {
            Some(keep) => checkpoint::load(&keep.checkpoint.path, &keep.which())?,
            None => None,
        };
        let (base, mut learned_before) = (self.code.clone(), Vec::new());
        if let Some((progressed, _)) = &mut saved {
            learned_before = std::mem::take(&mut progressed.learned_before);
            self.passes = progressed.passes - 1;
            for path in &learned_before {
                self.code.learn(self.program, path, AHEAD);
            }
        }
        loop {
            self.passes += 1;
            let manner = self.manner();
            let code = std::mem::replace(&mut self.code, Code::nothing());
            let futures = manner.persistent_sets.then(|| Arc::new(Futures::new(&code)));
            let pass = Pass { code: &code, futures: futures.as_ref(), manner };
            let (together, end) = self.pass(&pass, saved.take(), &learned_before)?;
            if together.broken {
                return Ok(self.first_broken(base, manner));
            }
            self.code = code;
            for path in &together.learned {
                self.code.learn(self.program, path, AHEAD);
            }
            // Now all is known that anybody ever does: so it does not matter in which order it was learned.
            let knew_all = together.learned.is_empty() || !manner.persistent_sets;
            if end == End::Full || end == End::Done && knew_all {
                let bytes = together.visited.map_or(0, |visited| visited.bytes());
                let full = end == End::Full;
                return Ok(self.found(together.counts, bytes, together.outcomes, None, full));
            }
            learned_before.extend(together.learned);
        }
    }

    /// Searches all states once, in parts with a checkpoint after each.
    fn pass(
        &mut self,
        pass: &Pass<'_>,
        saved: Option<(Progressed, Visited)>,
        learned_before: &[Vec<u32>],
    ) -> Result<(Together, End), CheckpointError> {
        let mut together = Together { left: vec![Job::whole()], ..Together::default() };
        if let Some((progressed, visited)) = saved {
            together.left = progressed.jobs;
            together.counts = progressed.counts;
            together.outcomes = progressed.outcomes.into_iter().collect();
            together.learned = progressed.learned;
            together.visited = Some(visited);
        }
        let mut pause = self.keep.map(|keep| keep.checkpoint.every);
        let mut end = End::Done;
        let mut stale = Stale::new(pass.manner, self.limits.small);
        while !together.left.is_empty() && !together.broken && end == End::Done {
            let begun = Instant::now();
            let part = Part {
                code: pass.code,
                futures: pass.futures,
                jobs: std::mem::take(&mut together.left),
                visited: together.visited.take().unwrap_or_else(Visited::new),
                manner: pass.manner,
            };
            let (before, taught) = (together.counts.states, together.learned.len());
            let (make, program, workers) = (self.make, self.program, self.limits.workers);
            let mut go_on = |told: Told| {
                let Told { depth, share, bytes, learned, .. } = told;
                let states = before + told.states;
                let (pass, elapsed) = (self.passes, self.started.elapsed());
                (self.progress)(Progress { states, depth, bytes, pass, share, elapsed });
                if self.full(states, bytes) {
                    end = End::Full;
                } else if stale.is_stale(states, taught + learned) {
                    end = End::Stale;
                }
                end == End::Done && pause.is_none_or(|pause| begun.elapsed() < pause)
            };
            together.add(match make {
                Some(make) => parallel::run(make, workers, part, &mut go_on),
                None => parallel::alone(program, part, &mut go_on),
            });
            if let (Some(keep), Some(visited)) = (self.keep, &together.visited)
                && !together.left.is_empty()
                && end != End::Stale
            {
                let begun = Instant::now();
                let progressed = Progressed {
                    passes: self.passes,
                    learned_before: learned_before.to_vec(),
                    learned: together.learned.clone(),
                    jobs: together.left.clone(),
                    counts: together.counts,
                    outcomes: together.outcomes.iter().cloned().collect(),
                };
                checkpoint::save(&keep.checkpoint.path, keep.which(), progressed, visited)?;
                pause = Some(keep.checkpoint.every.max(begun.elapsed() * 10));
            }
        }
        Ok((together, end))
    }

    /// What one processor finds first, from what was known before the first pass: the same each time.
    fn first_broken(&mut self, base: Code, manner: Manner) -> Exploration {
        let mut code = base;
        loop {
            let futures = manner.persistent_sets.then(|| Arc::new(Futures::new(&code)));
            let mut dfs = Dfs::new(self.program, code, futures, Visited::new(), manner);
            dfs.begin(Job::whole());
            let mut stale = Stale::new(manner, self.limits.small);
            while dfs.run(1 << 14, u64::MAX)
                && !stale.is_stale(dfs.counts.states, dfs.learned.len())
            {
                let at = self.at(&dfs);
                (self.progress)(at);
            }
            if dfs.found.is_some() || dfs.learned.is_empty() {
                let outcome = |i: &u32| dfs.code.outcomes[*i as usize].clone();
                let outcomes = dfs.outcomes.iter().map(outcome).collect();
                return self.found(dfs.counts, dfs.bytes(), outcomes, dfs.found, false);
            }
            code = dfs.code;
        }
    }

    fn found(
        &self,
        counts: Counts,
        bytes: u64,
        outcomes: BTreeSet<Outcome>,
        counterexample: Option<Counterexample>,
        full: bool,
    ) -> Exploration {
        let complete = !full && counts.truncated_paths == 0 && counts.withheld == 0;
        let outcomes = match self.program.alike.filter(|_| self.limits.symmetry.rings) {
            Some(test) => self.group.images(outcomes, &test.observe),
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
            elapsed: self.started.elapsed(),
        }
    }
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// All states were searched.
    Done,
    /// A limit is reached.
    Full,
    /// It has learned what it should have known, and is not worth going on with.
    Stale,
}

/// When a pass that has learned something is given up, because it is to be searched again anyway: when it
/// has become twice as long without learning more.
#[derive(Clone, Copy, Debug)]
struct Stale {
    /// States when something was learned last, and how much had been by then.
    last: Option<(u64, usize)>,
    matters: bool,
    /// States that are not worth it.
    few: u64,
}

impl Stale {
    fn new(manner: Manner, few: u64) -> Self {
        Stale { last: None, matters: manner.persistent_sets, few }
    }

    fn is_stale(&mut self, states: u64, learned: usize) -> bool {
        if learned > self.last.map_or(0, |(_, before)| before) && self.matters {
            self.last = Some((states, learned));
        }
        self.last.is_some_and(|(since, _)| states > 2 * since + self.few)
    }
}
