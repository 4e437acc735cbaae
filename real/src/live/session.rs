//! The repetitions of a test: its threads live through all of them, and so do its connections.

use std::net::TcpListener;
use std::sync::{Arc, Barrier, Mutex, PoisonError};

use ifq_model::test::{Op, RingId, SocketId, Test};

use super::connection::{Connection, listen};
use super::delays::DelayProfile;
use super::options::Options;
use super::rng::Rng;
use super::run::{LiveRun, RunResult};
use super::sender::Sender;
use super::userfault_stall;
use crate::abi::syscall;

/// The threads of a test, which take one run after the other.
#[derive(Debug)]
pub(super) struct Session<'t> {
    test: &'t Test,
    options: Options,
    /// The run that is due, with its number; `None`: the session is over.
    due: Mutex<Option<(u32, Arc<LiveRun<'t>>)>>,
    start: Barrier,
    end: Barrier,
    spins: bool,
}

impl<'t> Session<'t> {
    /// Calls `f` with a session whose threads are alive.
    pub(super) fn with<T>(
        test: &'t Test,
        options: &Options,
        f: impl FnOnce(&Session<'t>) -> T,
    ) -> T {
        let threads = test.threads.len();
        let session = Session {
            test,
            options: *options,
            due: Mutex::new(None),
            start: Barrier::new(threads + 1),
            end: Barrier::new(threads + 1),
            spins: std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() >= threads),
        };
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let session = &session;
                scope.spawn(move || {
                    syscall::pin_thread(thread);
                    session.serve(thread);
                });
            }
            let result = f(&session);
            session.publish(None);
            session.start.wait();
            result
        })
    }

    fn serve(&self, thread: usize) {
        while self.one(thread) {
            self.end.wait();
        }
    }

    /// The part of one thread in the run that is due. `false`: there is none any more.
    fn one(&self, thread: usize) -> bool {
        self.start.wait();
        let due = self.due.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((repetition, run)) = due else { return false };
        let lane = u64::from(repetition) << 8 | thread as u64;
        run.thread(thread, Rng::new(self.options.seed, lane));
        true
    }

    fn publish(&self, due: Option<(u32, Arc<LiveRun<'t>>)>) {
        *self.due.lock().unwrap_or_else(PoisonError::into_inner) = due;
    }

    /// Runs the test once. The calling thread is the executor. The connections come back when all
    /// that used them has been closed.
    ///
    /// # Errors
    ///
    /// Why the machine could not go on.
    pub(super) fn run(
        &self,
        repetition: u32,
        sockets: Vec<Connection>,
    ) -> Result<(RunResult, Vec<Connection>), String> {
        let delays = DelayProfile::choose(&mut Rng::new(
            self.options.seed,
            u64::from(repetition) << 8 | 255,
        ));
        let delayed_step = userfault_stall::choose(self.test, self.options.seed, repetition);
        let run = LiveRun::new(self.test, &self.options, sockets, delays, delayed_step, self.spins);
        let run = Arc::new(run);
        self.publish(Some((repetition, Arc::clone(&run))));
        self.one(self.test.threads.len());
        // From here on no other thread touches the run, and it can be taken apart.
        self.end.wait();
        self.publish(None);
        let shown = match run.values.failure() {
            Some(failure) => Err(failure),
            None => Ok(run.shown()),
        };
        let sockets = Arc::into_inner(run).map(|run| run.sockets).unwrap_or_default();
        Ok((shown?, sockets))
    }
}

/// Connections that runs have used and others will use.
#[derive(Debug)]
pub(super) struct ConnectionPool<'t> {
    test: &'t Test,
    listener: Option<TcpListener>,
    sender: Arc<Sender>,
    /// By socket of the test: those that are ready.
    ready: Vec<Vec<Connection>>,
    /// Those that requests may still point to.
    used: Vec<Connection>,
}

impl<'t> ConnectionPool<'t> {
    pub(super) fn new(test: &'t Test) -> Self {
        let ready = test.sockets.iter().map(|_| Vec::new()).collect();
        ConnectionPool { test, listener: None, sender: Arc::default(), ready, used: Vec::new() }
    }

    /// Connections for one run.
    ///
    /// # Errors
    ///
    /// What the machine could not do, for people.
    pub(super) fn take(&mut self) -> Result<Vec<Connection>, String> {
        (0..self.test.sockets.len()).map(|number| self.one(number)).collect()
    }

    fn one(&mut self, number: usize) -> Result<Connection, String> {
        if let Some(ready) = self.ready[number].pop() {
            return Ok(ready);
        }
        let said = |error| format!("a TCP connection over 127.0.0.1: {error}");
        let listener = match self.listener.take() {
            Some(listener) => listener,
            None => listen().map_err(said)?,
        };
        let number = number as SocketId;
        let in_order = receivers(self.test, number) <= 1;
        let connection = Connection::new(number, in_order, &listener, &self.sender).map_err(said);
        self.listener = Some(listener);
        connection
    }

    /// A run is over.
    pub(super) fn give_back(&mut self, connections: Vec<Connection>) {
        self.used.extend(connections);
    }

    /// No ring is left that has a request on any of them.
    pub(super) fn recycle(&mut self) {
        for connection in self.used.drain(..) {
            if let Some(connection) = connection.recycled() {
                self.ready[usize::from(connection.number())].push(connection);
            }
        }
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
