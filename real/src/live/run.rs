//! One run of a test: its threads, its phases, and what they leave behind.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, PoisonError};
use std::time::Duration;

use ifq_model::outcome::{Outcome, Value};
use ifq_model::scenario::{Op, RingId, SocketId, Step, Test, VarId};

use super::Options;
use super::memory::IfqMem;
use super::ops::SharedRing;
use super::quiet::Quiet;
use super::socket::Connection;
use super::vars::{Bound, Vars};
use crate::pattern::Jitter;
use crate::ring::Ring;

/// What the threads of a run share.
#[derive(Debug)]
pub(super) struct World<'t> {
    pub(super) test: &'t Test,
    pub(super) vars: Vars,
    /// Open rings.
    pub(super) rings: Vec<Mutex<Option<SharedRing>>>,
    pub(super) sockets: Vec<Connection>,
    /// Of each receive request, in the order of submission: where from and into which memory.
    pub(super) requests: Mutex<Vec<(SocketId, Option<Arc<IfqMem>>)>>,
    /// The memory of every `register` step, with the variable it binds, until the run is over.
    pub(super) memory: Mutex<Vec<(Option<VarId>, Arc<IfqMem>)>>,
    pub(super) quiet: Quiet,
    turn: Mutex<usize>,
    turned: Condvar,
    phase: Barrier,
    mismatch: AtomicBool,
}

/// Runs a test once.
pub(super) fn once(
    test: &Test,
    options: &Options,
    repetition: u32,
) -> Result<(Outcome, Vec<String>), String> {
    let world = World::new(test, options)?;
    std::thread::scope(|scope| {
        // The last thread is the executor: it drives what no thread of the test does.
        for thread in 0..=test.threads.len() {
            let world = &world;
            let lane = u64::from(repetition) << 8 | thread as u64;
            let jitter = Jitter::new(options.seed, lane);
            scope.spawn(move || world.thread(thread, jitter));
        }
    });
    if let Some(failure) = world.vars.failure() {
        return Err(failure);
    }
    Ok((world.outcome(), world.problems()))
}

impl<'t> World<'t> {
    fn new(test: &'t Test, options: &Options) -> Result<Self, String> {
        let mut sockets = Vec::new();
        for number in 0..test.sockets.len() as SocketId {
            let connection = Connection::new(number, receivers(test, number) <= 1)
                .map_err(|error| format!("a TCP connection over 127.0.0.1: {error}"))?;
            sockets.push(connection);
        }
        let threads = test.threads.len() + 1;
        Ok(World {
            test,
            vars: Vars::new(test.vars.len()),
            rings: test.rings.iter().map(|_| Mutex::new(None)).collect(),
            sockets,
            requests: Mutex::new(Vec::new()),
            memory: Mutex::new(Vec::new()),
            quiet: Quiet::new(options.quiet, threads),
            turn: Mutex::new(0),
            turned: Condvar::new(),
            phase: Barrier::new(threads),
            mismatch: AtomicBool::new(false),
        })
    }

    /// The life of one thread. All of them live until the end: the kernel cancels the requests of
    /// a thread that exits.
    fn thread(&self, me: usize, mut jitter: Jitter) {
        self.make_rings(me);
        self.phase.wait();
        self.in_turn(me, 0, &self.test.setup);
        self.phase.wait();
        if let Some(thread) = self.test.threads.get(me) {
            self.quiet.progress();
            start_jitter(&mut jitter);
            for step in &thread.steps {
                step_jitter(&mut jitter);
                self.step(me, step);
            }
        }
        self.phase.wait();
        self.in_turn(me, self.test.setup.len(), &self.test.finally);
        self.phase.wait();
    }

    fn make_rings(&self, me: usize) {
        for ring in (0..self.test.rings.len()).filter(|&ring| self.driver(ring as RingId) == me) {
            match Ring::new() {
                Ok(made) => {
                    let shared = Arc::new(Mutex::new(made));
                    let slot = &self.rings[ring];
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(shared);
                }
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
        for (at, step) in steps.iter().enumerate() {
            let owner = step.op.ring().map_or(self.test.threads.len(), |ring| self.driver(ring));
            let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
            while *turn < base + at {
                turn = self.turned.wait(turn).unwrap_or_else(PoisonError::into_inner);
            }
            if owner == me {
                drop(turn);
                self.quiet.progress();
                self.step(me, step);
                *self.turn.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                self.turned.notify_all();
            }
        }
    }

    fn step(&self, me: usize, step: &Step) {
        // An operation waits by itself for what it uses; nothing happens when the run has failed.
        if !step
            .after
            .iter()
            .chain(&step.op.uses().collect::<Vec<_>>())
            .all(|&var| self.vars.wait(var).is_some())
        {
            return;
        }
        let Some(bound) = self.operate(me, step) else {
            return;
        };
        self.note(step, &bound);
        if let Some(var) = step.bind {
            self.vars.bind(var, bound);
        }
        self.quiet.progress();
    }

    /// Bytes that are not what was sent are a problem even if nobody observes the result.
    fn note(&self, step: &Step, bound: &Bound) {
        let checked = matches!(step.op, Op::Wait { .. } | Op::Return { .. });
        if checked && bound.raw == -ifq_model::errno::EBADMSG {
            self.mismatch.store(true, Ordering::Relaxed);
        }
    }

    fn outcome(&self) -> Outcome {
        let value = |&var: &u16| match self.vars.raw(var) {
            Some(raw) => Value::from_raw(self.test.vars[usize::from(var)].kind, raw),
            None => Value::Unbound,
        };
        Outcome(self.test.observe.iter().map(value).collect())
    }

    fn problems(&self) -> Vec<String> {
        let mismatch = self.mismatch.load(Ordering::Relaxed);
        mismatch
            .then(|| "a buffer held other bytes than were sent".to_string())
            .into_iter()
            .collect()
    }
}

/// How many rings receive from a socket.
fn receivers(test: &Test, socket: SocketId) -> usize {
    let mut rings: Vec<RingId> = test
        .steps()
        .filter_map(|step| match step.op {
            Op::Recv { ring, socket: from, .. } if from == socket => Some(ring),
            _ => None,
        })
        .collect();
    rings.sort_unstable();
    rings.dedup();
    rings.len()
}

/// Moves the starts of the threads against each other.
fn start_jitter(jitter: &mut Jitter) {
    match jitter.below(4) {
        0 => {}
        1 => std::thread::sleep(Duration::from_micros(jitter.below(300))),
        _ => {
            for _ in 0..jitter.below(8) {
                std::thread::yield_now();
            }
        }
    }
}

/// Lets another thread in between two steps now and then.
fn step_jitter(jitter: &mut Jitter) {
    if jitter.below(3) == 0 {
        std::thread::yield_now();
    }
}
