//! One run of a test: its threads, its phases, and what they leave behind.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, MutexGuard, PoisonError};

use ifq_model::outcome::{Outcome, Value};
use ifq_model::test::{Op, RingId, RingSetup, Step, Test, VarId};

use super::connection::Connection;
use super::delays::DelayProfile;
use super::idle::IdleTracker;
use super::memory::IfqMem;
use super::options::Options;
use super::pending::PendingRequests;
use super::rng::Rng;
use super::start::StartBarrier;
use super::tasks::Tasks;
use super::values::{StepResult, Values};
use crate::abi::syscall::ring::{Ring, Setup};
use crate::job::Stalls;
use crate::job::start_skew::SkewSample;

/// A ring of the test. Whoever uses it holds a reference, as `io_uring_enter(2)` does.
pub(super) type SharedRing = Arc<Mutex<Ring>>;

/// A step and the thread that does it.
pub(super) type ThreadStep<'s> = (usize, &'s Step);

/// What one repetition showed.
#[derive(Debug)]
pub(super) struct RunResult {
    pub(super) outcome: Outcome,
    /// What was wrong apart from it.
    pub(super) problems: Vec<String>,
    pub(super) stalls: Stalls,
    /// How close its threads were.
    pub(super) sample: Option<SkewSample>,
}

/// What the threads of a run share.
#[derive(Debug)]
pub(super) struct LiveRun<'t> {
    pub(super) test: &'t Test,
    pub(super) values: Values,
    /// Open rings.
    pub(super) rings: Vec<Mutex<Option<SharedRing>>>,
    pub(super) sockets: Vec<Connection>,
    /// Requests and events.
    pub(super) pending: PendingRequests,
    /// The memory of every `register` step, with the variable it binds, until the run is over.
    pub(super) memory: Mutex<Vec<(Option<VarId>, Arc<IfqMem>)>>,
    pub(super) idle: IdleTracker,
    turn: Mutex<usize>,
    turned: Condvar,
    phase: Barrier,
    start: StartBarrier,
    delays: DelayProfile,
    /// The step whose page comes late, if one does.
    pub(super) delayed_step: Option<&'t Step>,
    /// Somebody waits for that page, or the call is over.
    pub(super) fault_reached: AtomicBool,
    pub(super) tasks: Tasks,
    mismatch: AtomicBool,
    problems: Mutex<Vec<String>>,
    stalls: Mutex<Stalls>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'t> LiveRun<'t> {
    /// A run that nothing has happened in. `sockets`: the test's connections. `spins`: whether there
    /// is a processor for each thread.
    pub(super) fn new(
        test: &'t Test,
        options: &Options,
        sockets: Vec<Connection>,
        delays: DelayProfile,
        delayed_step: Option<&'t Step>,
        spins: bool,
    ) -> Self {
        let threads = test.threads.len() + 1;
        LiveRun {
            test,
            values: Values::new(test.vars.len()),
            rings: test.rings.iter().map(|_| Mutex::new(None)).collect(),
            sockets,
            pending: PendingRequests::default(),
            memory: Mutex::new(Vec::new()),
            idle: IdleTracker::new(options.idle_timeout, threads),
            turn: Mutex::new(0),
            turned: Condvar::new(),
            phase: Barrier::new(threads),
            start: StartBarrier::new(test.threads.len(), spins),
            delays,
            delayed_step,
            fault_reached: AtomicBool::new(false),
            tasks: Tasks::new(threads),
            mismatch: AtomicBool::new(false),
            problems: Mutex::new(Vec::new()),
            stalls: Mutex::new(Stalls::default()),
        }
    }

    /// The part of one thread. The last one, the executor, drives what no thread of the test does.
    pub(super) fn thread(&self, me: usize, mut rng: Rng) {
        self.tasks.enter(me);
        self.make_rings(me);
        self.wait_for_all(me);
        self.run_sequential(me, 0, &self.test.setup);
        self.wait_for_all(me);
        if let Some(thread) = self.test.threads.get(me) {
            self.idle.progress();
            self.start.release(me);
            self.wait_for_fault(&thread.steps, &mut rng);
            for (at, step) in thread.steps.iter().enumerate() {
                self.delays.step(&mut rng);
                if at == 0 {
                    self.start.step(me);
                }
                self.step(me, step);
            }
        }
        self.wait_for_all(me);
        self.run_sequential(me, self.test.setup.len(), &self.test.finally);
        self.wait_for_all(me);
    }

    fn wait_for_all(&self, me: usize) {
        self.idle.arrive(me);
        self.phase.wait();
    }

    fn make_rings(&self, me: usize) {
        for ring in (0..self.test.rings.len()).filter(|&ring| self.driver(ring as RingId) == me) {
            match Ring::new(setup_of(self.test, ring as RingId)) {
                Ok(made) => *lock(&self.rings[ring]) = Some(Arc::new(Mutex::new(made))),
                Err(error) => self.values.fail(format!("io_uring_setup: {error}")),
            }
        }
    }

    fn driver(&self, ring: RingId) -> usize {
        self.test.driver(ring).unwrap_or(self.test.threads.len())
    }

    /// Runs steps one after the other, each in the thread that drives its ring. `base` is the
    /// number of turns before the first one.
    fn run_sequential(&self, me: usize, base: usize, steps: &[Step]) {
        let executor = self.test.threads.len();
        let owner = |step: &Step| step.op.ring().map_or(executor, |ring| self.driver(ring));
        for (at, step) in steps.iter().enumerate() {
            if owner(step) != me {
                continue;
            }
            let mut turn = lock(&self.turn);
            while *turn < base + at {
                self.idle.set_idle(me, true);
                turn = self.turned.wait(turn).unwrap_or_else(PoisonError::into_inner);
            }
            drop(turn);
            self.idle.set_idle(me, false);
            self.idle.progress();
            self.step(me, step);
            let mut turn = lock(&self.turn);
            *turn += 1;
            self.idle.wake(steps.get(at + 1).map(owner).into_iter());
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
        let Some(bound) = self.execute(me, step) else {
            return;
        };
        self.note(step, &bound);
        if let Some(var) = step.bind {
            self.values.bind(var, bound, &self.idle);
        }
        self.idle.progress();
    }

    /// Waits for a value that another thread may bind; `None` when the run has failed.
    pub(super) fn value(&self, me: usize, var: VarId) -> Option<StepResult> {
        self.values.wait(me, var, &self.idle)
    }

    /// Bytes that are not what was sent are a problem even if nobody observes the result.
    fn note(&self, step: &Step, bound: &StepResult) {
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
    pub(super) fn shown(&self) -> RunResult {
        let stalls = std::mem::take(&mut *lock(&self.stalls));
        let (problems, sample) = (self.problems(), self.start.sample());
        RunResult { outcome: self.outcome(), problems, stalls, sample }
    }

    /// What user space saw.
    fn outcome(&self) -> Outcome {
        let value = |&var: &u16| match self.values.raw(var) {
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
