//! One run of a test: its threads, its phases, and what they leave behind.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, MutexGuard, PoisonError};

use ifq_model::outcome::{Outcome, Value};
use ifq_model::test::{Op, RingId, RingSetup, Step, Test, VarId};

use super::Options;
use super::jitter::Style;
use super::late::Tasks;
use super::memory::IfqMem;
use super::ops::SharedRing;
use super::quiet::Quiet;
use super::session::Shown;
use super::socket::Connection;
use super::start::Start;
use super::told::Told;
use super::vars::{Bound, Vars};
use crate::job::Stalls;
use crate::pattern::Jitter;
use crate::ring::{Ring, Setup};

/// What the threads of a run share.
#[derive(Debug)]
pub(super) struct World<'t> {
    pub(super) test: &'t Test,
    pub(super) vars: Vars,
    /// Open rings.
    pub(super) rings: Vec<Mutex<Option<SharedRing>>>,
    pub(super) sockets: Vec<Connection>,
    /// Requests and events.
    pub(super) told: Told,
    /// The memory of every `register` step, with the variable it binds, until the run is over.
    pub(super) memory: Mutex<Vec<(Option<VarId>, Arc<IfqMem>)>>,
    pub(super) quiet: Quiet,
    turn: Mutex<usize>,
    turned: Condvar,
    phase: Barrier,
    start: Start,
    style: Style,
    /// The step whose page comes late, if one does.
    pub(super) late: Option<&'t Step>,
    /// Somebody waits for that page, or the call is over.
    pub(super) late_is_there: AtomicBool,
    pub(super) tasks: Tasks,
    mismatch: AtomicBool,
    problems: Mutex<Vec<String>>,
    stalls: Mutex<Stalls>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'t> World<'t> {
    /// A run that nothing has happened in. `sockets`: the test's connections. `spins`: whether there
    /// is a processor for each thread.
    pub(super) fn new(
        test: &'t Test,
        options: &Options,
        sockets: Vec<Connection>,
        style: Style,
        late: Option<&'t Step>,
        spins: bool,
    ) -> Self {
        let threads = test.threads.len() + 1;
        World {
            test,
            vars: Vars::new(test.vars.len()),
            rings: test.rings.iter().map(|_| Mutex::new(None)).collect(),
            sockets,
            told: Told::default(),
            memory: Mutex::new(Vec::new()),
            quiet: Quiet::new(options.quiet, threads),
            turn: Mutex::new(0),
            turned: Condvar::new(),
            phase: Barrier::new(threads),
            start: Start::new(test.threads.len(), spins),
            style,
            late,
            late_is_there: AtomicBool::new(false),
            tasks: Tasks::new(threads),
            mismatch: AtomicBool::new(false),
            problems: Mutex::new(Vec::new()),
            stalls: Mutex::new(Stalls::default()),
        }
    }

    /// The part of one thread. The last one, the executor, drives what no thread of the test does.
    pub(super) fn thread(&self, me: usize, mut jitter: Jitter) {
        self.tasks.enter(me);
        self.make_rings(me);
        self.wait_for_all(me);
        self.in_turn(me, 0, &self.test.setup);
        self.wait_for_all(me);
        if let Some(thread) = self.test.threads.get(me) {
            self.quiet.progress();
            self.start.together(me);
            self.after_late(&thread.steps, &mut jitter);
            for (at, step) in thread.steps.iter().enumerate() {
                self.style.step(&mut jitter);
                if at == 0 {
                    self.start.step(me);
                }
                self.step(me, step);
            }
        }
        self.wait_for_all(me);
        self.in_turn(me, self.test.setup.len(), &self.test.finally);
        self.wait_for_all(me);
    }

    fn wait_for_all(&self, me: usize) {
        self.quiet.meet(me);
        self.phase.wait();
    }

    fn make_rings(&self, me: usize) {
        for ring in (0..self.test.rings.len()).filter(|&ring| self.driver(ring as RingId) == me) {
            match Ring::new(setup_of(self.test, ring as RingId)) {
                Ok(made) => *lock(&self.rings[ring]) = Some(Arc::new(Mutex::new(made))),
                Err(error) => self.vars.fail(format!("io_uring_setup: {error}")),
            }
        }
    }

    fn driver(&self, ring: RingId) -> usize {
        self.test.driver(ring).unwrap_or(self.test.threads.len())
    }

    /// Runs steps one after the other, each in the thread that drives its ring. `base` is the
    /// number of turns before the first one.
    fn in_turn(&self, me: usize, base: usize, steps: &[Step]) {
        let executor = self.test.threads.len();
        let owner = |step: &Step| step.op.ring().map_or(executor, |ring| self.driver(ring));
        for (at, step) in steps.iter().enumerate() {
            if owner(step) != me {
                continue;
            }
            let mut turn = lock(&self.turn);
            while *turn < base + at {
                self.quiet.set_idle(me, true);
                turn = self.turned.wait(turn).unwrap_or_else(PoisonError::into_inner);
            }
            drop(turn);
            self.quiet.set_idle(me, false);
            self.quiet.progress();
            self.step(me, step);
            let mut turn = lock(&self.turn);
            *turn += 1;
            self.quiet.wake(steps.get(at + 1).map(owner).into_iter());
            drop(turn);
            self.turned.notify_all();
        }
    }

    fn step(&self, me: usize, step: &Step) {
        // An operation waits by itself for what it uses; nothing happens when the run has failed.
        if !step
            .after
            .iter()
            .copied()
            .chain(step.op.uses())
            .all(|var| self.value(me, var).is_some())
        {
            return;
        }
        let Some(bound) = self.operate(me, step) else {
            return;
        };
        self.note(step, &bound);
        if let Some(var) = step.bind {
            self.vars.bind(var, bound, &self.quiet);
        }
        self.quiet.progress();
    }

    /// Waits for a value that another thread may bind; `None` when the run has failed.
    pub(super) fn value(&self, me: usize, var: VarId) -> Option<Bound> {
        self.vars.wait(me, var, &self.quiet)
    }

    /// Bytes that are not what was sent are a problem even if nobody observes the result.
    fn note(&self, step: &Step, bound: &Bound) {
        let checked = matches!(step.op, Op::Wait { .. } | Op::Return { .. });
        if checked && bound.raw == -ifq_model::errno::EBADMSG {
            self.mismatch.store(true, Ordering::Relaxed);
        }
    }

    /// Something is wrong that no outcome shows.
    pub(super) fn problem(&self, what: String) {
        lock(&self.problems).push(what);
    }

    /// Adds what a page that came late held up.
    pub(super) fn stalls(&self, stalls: Stalls) {
        lock(&self.stalls).add(stalls);
    }

    /// What the run showed.
    pub(super) fn shown(&self) -> Shown {
        let stalls = std::mem::take(&mut *lock(&self.stalls));
        let (problems, sample) = (self.problems(), self.start.sample());
        Shown { outcome: self.outcome(), problems, stalls, sample }
    }

    /// What user space saw.
    fn outcome(&self) -> Outcome {
        let value = |&var: &u16| match self.vars.raw(var) {
            Some(raw) => Value::from_raw(self.test.vars[usize::from(var)].kind, raw),
            None => Value::Unbound,
        };
        Outcome(self.test.observe.iter().map(value).collect())
    }

    /// What was wrong apart from that.
    fn problems(&self) -> Vec<String> {
        let mut problems = std::mem::take(&mut *lock(&self.problems));
        if self.mismatch.load(Ordering::Relaxed) {
            problems.push("a buffer held other bytes than were sent".to_owned());
        }
        problems
    }
}

fn setup_of(test: &Test, ring: RingId) -> Setup {
    Setup {
        defer_taskrun: !test.is_set_up(ring, RingSetup::NoDefer),
        cqe32: !test.is_set_up(ring, RingSetup::NoCqe32),
        clamp: test.is_set_up(ring, RingSetup::Clamp),
    }
}
