//! One run of a test: its threads and phases, and its result.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, MutexGuard, PoisonError};

use ifq_model::outcome::{Outcome, Value};
use ifq_model::test::{Op, RingId, RingSetup, Step, Test, VarId};

use super::connection::Connection;
use super::delays::DelayProfile;
use super::device::Nic;
use super::idle::IdleTracker;
use super::injection::Injection;
use super::late_page::DelayedFault;
use super::memory::IfqMem;
use super::options::Options;
use super::pending::PendingRequests;
use super::rng::Rng;
use super::start::StartBarrier;
use super::tasks::Tasks;
use super::values::{StepResult, Values};
use crate::abi::marker::Marker;
use crate::abi::syscall;
use crate::abi::syscall::exec::execute_in_new_task;
use crate::abi::syscall::ring::{Ring, RingFd, Setup};
use crate::job::start_skew::SkewSample;
use crate::job::{OVERWRITTEN_BUFFER, Stalls};

/// A ring of the test. Its users hold a reference, as `io_uring_enter(2)` does.
pub(super) type SharedRing = Arc<OpenRing>;

/// An open ring.
#[derive(Debug)]
pub(super) struct OpenRing {
    /// For the calls that any thread may make at any time.
    pub(super) fd: RingFd,
    /// For those that use its queues.
    pub(super) queues: Mutex<Ring>,
}

impl OpenRing {
    fn new(ring: Ring) -> Self {
        OpenRing { fd: ring.fd(), queues: Mutex::new(ring) }
    }
}

/// A step with the number of the thread that executes it.
pub(super) type ThreadStep<'s> = (usize, &'s Step);

/// The result of one repetition.
#[derive(Debug)]
pub(super) struct RunResult {
    pub(super) outcome: Outcome,
    /// Problems that the outcome does not show.
    pub(super) problems: Vec<String>,
    pub(super) stalls: Stalls,
    /// The start skew of its threads.
    pub(super) sample: Option<SkewSample>,
    /// Whether a call failed at its place in a sweep.
    pub(super) call_failed: bool,
}

/// The state that the threads of a run share.
#[derive(Debug)]
pub(super) struct LiveRun<'t> {
    pub(super) test: &'t Test,
    pub(super) values: Values,
    /// Open rings.
    pub(super) rings: Vec<Mutex<Option<SharedRing>>>,
    pub(super) sockets: Vec<Connection>,
    /// The device of the test, if the machine has a NIC.
    pub(super) nic: Option<Arc<Nic>>,
    /// Pending requests and event registrations.
    pub(super) pending: PendingRequests,
    /// The memory of each `register` step with the variable that it binds. It is kept until the run ends.
    pub(super) memory: Mutex<Vec<(Option<VarId>, Arc<IfqMem>)>>,
    pub(super) idle: IdleTracker,
    turn: Mutex<usize>,
    turned: Condvar,
    phase: Barrier,
    start: StartBarrier,
    delays: DelayProfile,
    /// A controller outside of the machine decides which thread runs.
    pub(super) forced: bool,
    /// The page fault that is delayed, if any.
    pub(super) delayed_fault: Option<DelayedFault<'t>>,
    /// The fault that is injected, if any.
    pub(super) injection: Option<Injection<'t>>,
    /// Whether a call failed at its place in a sweep.
    pub(super) call_failed: AtomicBool,
    /// Whether that step has reached the page fault, or its call has returned.
    pub(super) fault_reached: AtomicBool,
    pub(super) tasks: Tasks,
    mismatch: AtomicBool,
    overwritten: AtomicBool,
    /// Whether a ring or a descriptor was closed since the last wait for background work.
    closing: AtomicBool,
    problems: Mutex<Vec<String>>,
    stalls: Mutex<Stalls>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'t> LiveRun<'t> {
    /// A run that has not started. `sockets`: the connections of the test. `spins`: whether there is a
    /// processor for each thread.
    pub(super) fn new(
        test: &'t Test,
        options: &Options,
        nic: Option<Arc<Nic>>,
        sockets: Vec<Connection>,
        delays: DelayProfile,
        (delayed_fault, injection): (Option<DelayedFault<'t>>, Option<Injection<'t>>),
        spins: bool,
    ) -> Self {
        let threads = test.threads.len() + 1;
        LiveRun {
            test,
            values: Values::new(test.vars.len()),
            rings: test.rings.iter().map(|_| Mutex::new(None)).collect(),
            sockets,
            nic,
            pending: PendingRequests::default(),
            memory: Mutex::new(Vec::new()),
            idle: IdleTracker::new(options.idle_timeout, threads),
            turn: Mutex::new(0),
            turned: Condvar::new(),
            phase: Barrier::new(threads),
            start: StartBarrier::new(test.threads.len(), spins),
            delays,
            forced: options.forced,
            delayed_fault,
            injection,
            call_failed: AtomicBool::new(false),
            fault_reached: AtomicBool::new(false),
            tasks: Tasks::new(threads),
            mismatch: AtomicBool::new(false),
            overwritten: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            problems: Mutex::new(Vec::new()),
            stalls: Mutex::new(Stalls::default()),
        }
    }

    /// Runs one thread. The last thread, the executor, runs the steps that belong to no thread of the test.
    pub(super) fn thread(&self, me: usize, mut rng: Rng) {
        match self.exec_step(me) {
            Some(exec) => self.execute_program(me, exec, &mut rng),
            None => self.until_end_of_threads(me, &mut rng),
        }
        self.wait_for_all(me);
        self.run_sequential(me, self.test.setup.len(), &self.test.finally, true);
        self.wait_for_all(me);
    }

    /// The last step of a thread, if it is `exec`.
    fn exec_step(&self, me: usize) -> Option<&'t Step> {
        self.test.threads.get(me)?.steps.last().filter(|step| step.op == Op::Exec)
    }

    /// Runs a thread that ends with `exec` in a task of its own: a thread of this process would end all
    /// others.
    fn execute_program(&self, me: usize, exec: &Step, rng: &mut Rng) {
        match execute_in_new_task(&mut || self.until_end_of_threads(me, rng)) {
            Ok(()) => {
                if let Some(var) = exec.bind {
                    self.values.bind(var, StepResult::status(0), &self.idle);
                }
            }
            Err(error) => self.values.fail(format!("executing a program: {error}")),
        }
        self.idle.progress();
        self.mark(Marker::Done(me as u64));
    }

    /// Rings, set-up and the steps of one thread.
    fn until_end_of_threads(&self, me: usize, rng: &mut Rng) {
        self.tasks.enter(me);
        self.make_rings(me);
        self.wait_for_all(me);
        self.run_sequential(me, 0, &self.test.setup, false);
        self.settle();
        self.wait_for_all(me);
        if let Some(thread) = self.test.threads.get(me) {
            self.idle.progress();
            self.start.release(me);
            self.wait_for_fault(&thread.steps, rng);
            for (at, step) in thread.steps.iter().enumerate() {
                if !self.forced {
                    self.delays.step(rng);
                }
                if at == 0 {
                    self.start.step(me);
                }
                self.step(me, step, Marker::Step(me as u64, at as u64));
            }
            if self.exec_step(me).is_none() {
                self.mark(Marker::Done(me as u64));
            }
        }
    }

    fn wait_for_all(&self, me: usize) {
        self.idle.arrive(me);
        self.phase.wait();
    }

    fn make_rings(&self, me: usize) {
        for ring in (0..self.test.rings.len()).filter(|&ring| self.driver(ring as RingId) == me) {
            match Ring::new(setup_of(self.test, ring as RingId)) {
                Ok(made) => *lock(&self.rings[ring]) = Some(Arc::new(OpenRing::new(made))),
                Err(error) => self.values.fail(format!("io_uring_setup: {error}")),
            }
        }
    }

    fn driver(&self, ring: RingId) -> usize {
        self.test.driver(ring).unwrap_or(self.test.threads.len())
    }

    /// Runs steps one after the other, each in the thread that owns its ring. `base` is the number of
    /// turns before the first step. `settles`: whether background work ends before each step.
    fn run_sequential(&self, me: usize, base: usize, steps: &[Step], settles: bool) {
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
            if settles {
                self.settle();
            }
            let at_step = (base + at) as u64;
            let marker = if settles { Marker::Finally(at as u64) } else { Marker::Setup(at_step) };
            self.step(me, step, marker);
            let mut turn = lock(&self.turn);
            *turn += 1;
            self.idle.wake(steps.get(at + 1).map(owner).into_iter());
            drop(turn);
            self.turned.notify_all();
        }
    }

    /// Tells the controller where the calling thread is.
    fn mark(&self, marker: Marker) {
        if self.forced {
            syscall::mark(marker);
        }
    }

    fn step(&self, me: usize, step: &Step, marker: Marker) {
        // Wait for all variables that the step uses. After a failure no step runs.
        if !step
            .after
            .iter()
            .copied()
            .chain(step.op.uses())
            .all(|var| self.value(me, var).is_some())
        {
            return;
        }
        self.mark(marker);
        if step.op == Op::Exec {
            return;
        }
        let Some(bound) = self.with_fault(step, || self.execute(me, step)) else {
            return;
        };
        self.record_mismatch(step, &bound);
        if let Some(var) = step.bind {
            self.values.bind(var, bound, &self.idle);
        }
        self.idle.progress();
    }

    /// Waits for a result that another thread may bind. `None`: the run failed.
    pub(super) fn value(&self, me: usize, var: VarId) -> Option<StepResult> {
        self.values.wait(me, var, &self.idle)
    }

    /// Records wrong bytes as a problem, even if the test does not observe the result.
    fn record_mismatch(&self, step: &Step, bound: &StepResult) {
        if matches!(step.op, Op::Wait { .. }) && bound.raw == -ifq_model::errno::EBADMSG {
            self.mismatch.store(true, Ordering::Relaxed);
        }
    }

    /// Records that a buffer changed while user space held it.
    pub(super) fn buffer_was_overwritten(&self) {
        self.overwritten.store(true, Ordering::Relaxed);
    }

    /// Notes that background work may release a queue of the device.
    pub(super) fn something_closed(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    /// Waits until the background work that releases queues of the device has ended, or waits for something
    /// else: a queue that another ring uses stays bound.
    fn settle(&self) {
        if let Some(nic) = &self.nic
            && self.closing.swap(false, Ordering::Relaxed)
        {
            nic.settle(self.test.queues);
        }
    }

    /// Records a problem that the outcome does not show.
    pub(super) fn problem(&self, what: String) {
        lock(&self.problems).push(what);
    }

    /// Adds the stalls of a delayed page fault.
    pub(super) fn stalls(&self, stalls: Stalls) {
        lock(&self.stalls).add(stalls);
    }

    /// The result of the run.
    pub(super) fn result(&self) -> RunResult {
        let stalls = std::mem::take(&mut *lock(&self.stalls));
        let (problems, sample) = (self.problems(), self.start.sample());
        RunResult {
            outcome: self.outcome(),
            problems,
            stalls,
            sample,
            call_failed: self.call_failed.load(Ordering::Relaxed),
        }
    }

    /// The observed values.
    fn outcome(&self) -> Outcome {
        let value = |&var: &u16| match self.values.raw(var) {
            Some(raw) => Value::from_raw(self.test.vars[usize::from(var)].kind, raw),
            None => Value::Unbound,
        };
        Outcome(self.test.observe.iter().map(value).collect())
    }

    /// The problems that the outcome does not show.
    fn problems(&self) -> Vec<String> {
        let mut problems = std::mem::take(&mut *lock(&self.problems));
        if self.mismatch.load(Ordering::Relaxed) {
            problems.push("a buffer contained bytes that were not sent".to_owned());
        }
        if self.overwritten.load(Ordering::Relaxed) {
            problems.push(OVERWRITTEN_BUFFER.to_owned());
        }
        problems
    }
}

fn setup_of(test: &Test, ring: RingId) -> Setup {
    Setup {
        defer_taskrun: !test.is_set_up(ring, RingSetup::NoDefer),
        cqe32: !test.is_set_up(ring, RingSetup::NoCqe32)
            && !test.is_set_up(ring, RingSetup::CqeMixed),
        cqe_mixed: test.is_set_up(ring, RingSetup::CqeMixed),
        clamp: test.is_set_up(ring, RingSetup::Clamp),
        disabled: test.is_set_up(ring, RingSetup::Disabled),
    }
}
