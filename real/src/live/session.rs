//! The repetitions of a test. Its threads and connections are reused by all of them.

use std::net::TcpListener;
use std::sync::{Arc, Barrier, Mutex, PoisonError};

use ifq_model::test::{Op, RingId, SocketId, Test};

use super::connection::{Connection, RECEIVE_BUFFER, listen};
use super::delays::DelayProfile;
use super::device::{Connected, Far, NewConnection, Nic};
use super::far_socket::Socket;
use super::inject::FILE_MAX;
use super::injection::{self, Injection, Means};
use super::late_page;
use super::options::Options;
use super::rng::Rng;
use super::run::{LiveRun, RunResult};
use super::sender::Sender;
use crate::abi::syscall;

/// The threads of a test, which execute one run after the other.
#[derive(Debug)]
pub(super) struct Session<'t> {
    test: &'t Test,
    options: Options,
    nic: Option<&'t Arc<Nic>>,
    /// The current run with its number. `None`: the session has ended.
    current: Mutex<Option<(u32, Arc<LiveRun<'t>>)>>,
    start: Barrier,
    end: Barrier,
    spins: bool,
}

impl<'t> Session<'t> {
    /// Starts the threads, calls `f` with the session, and joins the threads.
    pub(super) fn with<T>(
        test: &'t Test,
        options: &Options,
        nic: Option<&'t Arc<Nic>>,
        f: impl FnOnce(&Session<'t>) -> T,
    ) -> T {
        let threads = test.threads.len();
        let session = Session {
            test,
            options: *options,
            nic,
            current: Mutex::new(None),
            start: Barrier::new(threads + 1),
            end: Barrier::new(threads + 1),
            spins: !options.forced
                && std::thread::available_parallelism().is_ok_and(|cpus| cpus.get() >= threads),
        };
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let session = &session;
                scope.spawn(move || {
                    match session.options.forced {
                        // Processor 0 is for everything else.
                        true => _ = syscall::pin_to_cpu(thread + 1),
                        false => syscall::pin_thread(thread),
                    }
                    session.run_all(thread);
                });
            }
            let result = f(&session);
            session.publish(None);
            session.start.wait();
            result
        })
    }

    fn run_all(&self, thread: usize) {
        while self.run_one(thread) {
            self.end.wait();
        }
    }

    /// Executes one thread of the current run. `false`: the session has ended.
    fn run_one(&self, thread: usize) -> bool {
        self.start.wait();
        let due = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((repetition, run)) = due else { return false };
        let lane = u64::from(repetition) << 8 | thread as u64;
        run.thread(thread, Rng::new(self.options.seed, lane));
        true
    }

    fn publish(&self, due: Option<(u32, Arc<LiveRun<'t>>)>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = due;
    }

    /// Runs the test once; the calling thread is the executor. Returns the connections once all rings
    /// that used them are closed.
    ///
    /// # Errors
    ///
    /// A message for the user: why the run failed.
    pub(super) fn run(
        &self,
        repetition: u32,
        sockets: Vec<Connection>,
        sweep: Option<Injection<'t>>,
    ) -> Result<(RunResult, Vec<Connection>), String> {
        let delays = DelayProfile::choose(&mut Rng::new(
            self.options.seed,
            u64::from(repetition) << 8 | 255,
        ));
        let delayed_fault = match self.options.forced || self.options.sweep {
            true => None,
            false => late_page::choose(self.test, self.options.seed, repetition),
        };
        let means = Means {
            nic: self.nic.is_some_and(|nic| nic.equipment().segment.is_none()),
            guest: std::process::id() == 1,
            files: std::path::Path::new(FILE_MAX).exists(),
        };
        let injection = match (sweep, self.options.forced, delayed_fault) {
            (Some(failure), ..) => Some(failure),
            (None, true, _) => injection::of_schedule(self.test, means)?,
            (None, false, None) if self.options.sweep => None,
            (None, false, None) => {
                injection::choose(self.test, means, self.options.seed, repetition)
            }
            (None, false, Some(_)) => None,
        };
        let run = LiveRun::new(
            self.test,
            &self.options,
            self.nic.cloned(),
            sockets,
            delays,
            (delayed_fault, injection),
            self.spins,
        );
        let run = Arc::new(run);
        self.publish(Some((repetition, Arc::clone(&run))));
        self.run_one(self.test.threads.len());
        // After this no other thread uses the run.
        self.end.wait();
        self.publish(None);
        let result = match run.values.failure() {
            Some(failure) => Err(failure),
            None => Ok(run.result()),
        };
        let sockets = Arc::into_inner(run).map(|run| run.sockets).unwrap_or_default();
        Ok((result?, sockets))
    }
}

/// The connections that the repetitions reuse.
#[derive(Debug)]
pub(super) struct ConnectionPool<'t> {
    test: &'t Test,
    listener: Option<TcpListener>,
    sender: Arc<Sender>,
    nic: Option<&'t Arc<Nic>>,
    /// The connections that are ready, by socket of the test.
    ready: Vec<Vec<Connection>>,
    /// Connections that requests may still refer to.
    used: Vec<Connection>,
}

impl<'t> ConnectionPool<'t> {
    /// `forced`: a controller follows the threads of the test.
    pub(super) fn new(test: &'t Test, nic: Option<&'t Arc<Nic>>, forced: bool) -> Self {
        let ready = test.sockets.iter().map(|_| Vec::new()).collect();
        ConnectionPool {
            test,
            listener: None,
            sender: Arc::new(Sender::new(forced)),
            nic,
            ready,
            used: Vec::new(),
        }
    }

    /// Takes the connections for one run.
    ///
    /// # Errors
    ///
    /// A message for the user: a connection cannot be created.
    pub(super) fn take(&mut self) -> Result<Vec<Connection>, String> {
        (0..self.test.sockets.len()).map(|number| self.one(number)).collect()
    }

    fn one(&mut self, number: usize) -> Result<Connection, String> {
        if let Some(ready) = self.ready[number].pop() {
            return Ok(ready);
        }
        if let (Some(queue), Some(nic)) = (self.test.sockets[number].queue, self.nic) {
            return self.over_device(number, queue, nic);
        }
        let context = |error| format!("a TCP connection over 127.0.0.1: {error}");
        let listener = match self.listener.take() {
            Some(listener) => listener,
            None => listen().map_err(context)?,
        };
        let number = number as SocketId;
        let in_order = receivers(self.test, number) <= 1;
        let connection =
            Connection::new(number, in_order, &listener, &self.sender).map_err(context);
        self.listener = Some(listener);
        connection
    }

    fn over_device(&self, number: usize, queue: u32, nic: &Arc<Nic>) -> Result<Connection, String> {
        let closes = self.test.steps().any(|step| match step.op {
            Op::CloseSocket { socket } => usize::from(socket) == number,
            _ => false,
        });
        let wanted =
            NewConnection { socket: number, queue, receive_buffer: RECEIVE_BUFFER, closes };
        let Connected { far, near } = Arc::clone(nic).connect(wanted)?;
        let in_order = receivers(self.test, number as SocketId) <= 1;
        let connection = match far {
            Far::Frames(peer) => Connection::over_device(number as SocketId, in_order, peer, near),
            Far::Socket(far, watch) => {
                Connection::of_sockets(number as SocketId, in_order, far, near, &self.sender)
                    .map(|connection| connection.watched(watch))
            }
            Far::OnHost(far, watch) => {
                let far = Socket::There(far);
                Connection::with_far_socket(number as SocketId, in_order, far, near)
                    .map(|connection| connection.watched(watch))
            }
        };
        connection.map_err(|error| format!("a TCP connection over the device: {error}"))
    }

    /// Returns the connections of a run that has ended. One over the device is closed: the unread packets in its
    /// receive queue keep buffers of an ifq, and its memory.
    pub(super) fn give_back(&mut self, connections: Vec<Connection>) {
        self.used.extend(connections.into_iter().filter(|one| !one.is_over_device()));
    }

    /// Makes the returned connections ready again. No ring may have a request on them.
    pub(super) fn recycle(&mut self) {
        for connection in self.used.drain(..) {
            if let Some(connection) = connection.recycled() {
                self.ready[usize::from(connection.number())].push(connection);
            }
        }
    }
}

/// The number of rings that receive from a socket.
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
