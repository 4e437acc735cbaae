//! A ring: its ids, receive requests and completions.

mod receive;

use std::collections::VecDeque;

use super::{COMPLETIONS, DeliveredBuffer, IfqIndex, Spec};
use crate::errno::{EBADF, EBADFD, ECANCELED, ECONNRESET, EINVAL};
use crate::test::arg_modifier::{ArgModifier, ArgModifiers};
use crate::test::{Event, RingId, RingSetup, SocketId, Test};

/// Fragments that one call of a receive takes, `IO_SKBS_PER_CALL_LIMIT`. The receive stops at the
/// second fragment beyond this limit.
const MAX_FRAGMENTS: u32 = 20;
/// Items of task work that one run takes, `IO_LOCAL_TW_DEFAULT_MAX`.
const TASK_WORK_BATCH: usize = 20;

/// A completion queue entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completion {
    pub(super) res: i64,
    pub(super) buffer: Option<DeliveredBuffer>,
    /// Entries of the queue that are free when the application has taken it.
    entries: usize,
}

#[derive(Clone, Debug)]
struct Request {
    number: u64,
    ifq: IfqIndex,
    socket: SocketId,
    /// Bytes that the request may still receive; 0: no limit.
    len: u32,
    /// The request ends when its task work runs.
    cancelled: bool,
}

/// An item of the ring's task work, which runs when the application waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TaskWork {
    /// Poll the socket of the request with this number.
    Request(u64),
    /// Post the completion of an event.
    Event(Event),
}

/// The state of a ring.
#[derive(Clone, Debug)]
pub(super) struct RingState {
    pub(super) open: bool,
    /// `IORING_SETUP_R_DISABLED`.
    pub(super) disabled: bool,
    /// `IORING_SETUP_CQE_MIXED`: a completion with a buffer takes two entries of the queue, which lie side by
    /// side; if only the last entry of the queue is left, a filler takes it.
    mixed: bool,
    /// Entries that the kernel has filled, and that the application has taken.
    filled: usize,
    taken: usize,
    /// Fillers since the last completion.
    fillers: usize,
    pub(super) ids: Vec<Option<IfqIndex>>,
    requests: Vec<Request>,
    pub(super) submitted: u64,
    work: VecDeque<TaskWork>,
    completions: VecDeque<Completion>,
    overflow: VecDeque<Completion>,
}

impl RingState {
    pub(super) fn new() -> Self {
        RingState {
            open: true,
            disabled: false,
            mixed: false,
            filled: 0,
            taken: 0,
            fillers: 0,
            ids: Vec::new(),
            requests: Vec::new(),
            submitted: 0,
            work: VecDeque::new(),
            completions: VecDeque::new(),
            overflow: VecDeque::new(),
        }
    }

    /// As a test sets the ring up.
    pub(super) fn of(test: &Test, ring: RingId) -> Self {
        RingState {
            disabled: test.is_set_up(ring, RingSetup::Disabled),
            mixed: test.is_set_up(ring, RingSetup::CqeMixed),
            ..RingState::new()
        }
    }

    /// Runs the pending task work, cancels the requests and discards all completions.
    pub(super) fn exit(&mut self) {
        *self = RingState { open: false, ..RingState::new() };
    }

    /// Gives the lowest free id to an ifq.
    pub(super) fn take_id(&mut self, ifq: IfqIndex) -> usize {
        let id = self.ids.iter().position(Option::is_none).unwrap_or(self.ids.len());
        if id == self.ids.len() {
            self.ids.push(None);
        }
        self.ids[id] = Some(ifq);
        id
    }

    pub(super) fn lookup(&self, id: i64) -> Option<IfqIndex> {
        self.ids.get(usize::try_from(id).ok()?).copied().flatten()
    }

    pub(super) fn queue_request(&mut self, number: u64) {
        if !self.work.contains(&TaskWork::Request(number)) {
            self.work.push_back(TaskWork::Request(number));
        }
    }

    pub(super) fn queue_event(&mut self, event: Event) {
        self.work.push_back(TaskWork::Event(event));
    }

    pub(super) fn ready(&self) -> bool {
        !self.completions.is_empty() || !self.overflow.is_empty() || !self.work.is_empty()
    }

    /// Whether the queue has room for one more completion. Completions keep their order, so there
    /// is no room while older ones wait in the overflow list.
    fn room(&mut self, buffer: bool) -> bool {
        self.overflow.is_empty() && self.entries(buffer)
    }

    /// Whether the queue has the entries that a completion needs.
    fn entries(&mut self, buffer: bool) -> bool {
        let needed = self.needed(buffer);
        let used = self.filled - self.taken;
        if needed == 2 && self.filled % COMPLETIONS == COMPLETIONS - 1 {
            if used == COMPLETIONS {
                return false;
            }
            self.filled += 1;
            self.fillers += 1;
        }
        self.filled - self.taken + needed <= COMPLETIONS
    }

    fn needed(&self, buffer: bool) -> usize {
        if self.mixed && buffer { 2 } else { 1 }
    }

    /// Puts a completion into the queue, which has room for it.
    fn post(&mut self, mut completion: Completion) {
        let needed = self.needed(completion.buffer.is_some());
        completion.entries = needed + std::mem::take(&mut self.fillers);
        self.filled += needed;
        self.completions.push_back(completion);
    }

    /// The application looks for a completion, and skips fillers.
    fn reap(&mut self) -> Option<Completion> {
        match self.completions.pop_front() {
            Some(completion) => {
                self.taken += completion.entries;
                Some(completion)
            }
            None => {
                self.taken += std::mem::take(&mut self.fillers);
                None
            }
        }
    }

    /// Posts a completion without a buffer, in the overflow list if the queue is full.
    fn post_or_overflow(&mut self, res: i64) {
        let completion = Completion { res, buffer: None, entries: 0 };
        if self.room(false) {
            self.post(completion);
        } else {
            self.overflow.push_back(completion);
        }
    }

    fn flush_overflow(&mut self) {
        while !self.overflow.is_empty() && self.entries(false) {
            if let Some(oldest) = self.overflow.pop_front() {
                self.post(oldest);
            }
        }
    }
}

/// What a request does after it has polled its socket.
enum RequestAction {
    /// The request completes with this result.
    Complete(i64),
    /// The request waits for the socket.
    WaitForSocket,
    /// The request is queued at the end of the ring's task work.
    Requeue,
}

/// What one call of a receive has done so far.
#[derive(Default)]
struct RecvProgress {
    bytes: u32,
    fragments: u32,
    stopped_early: bool,
}

impl Spec {
    /// The ring, if a task may submit to it and wait for it.
    fn enabled(&mut self, ring: RingId) -> Result<&mut RingState, i64> {
        let ring = self.open(ring)?;
        if ring.disabled { Err(-EBADFD) } else { Ok(ring) }
    }

    /// The task enables a ring.
    pub(super) fn enable(&mut self, ring: RingId) -> Result<i64, i64> {
        let ring = self.open(ring)?;
        if !ring.disabled {
            return Err(-EBADFD);
        }
        ring.disabled = false;
        Ok(0)
    }

    /// Cancels the requests that wait and for which the function holds, by number and socket. Returns how
    /// many.
    pub(super) fn cancel(
        &mut self,
        ring: RingId,
        matches: impl Fn(u64, SocketId) -> bool,
    ) -> Result<i64, i64> {
        let ring = self.open(ring)?;
        let mut found = Vec::new();
        for request in ring.requests.iter_mut().filter(|q| matches(q.number, q.socket)) {
            request.cancelled = true;
            found.push(request.number);
        }
        for number in &found {
            ring.queue_request(*number);
        }
        Ok(found.len() as i64)
    }

    /// The task of the thread executes another program: the task work of its rings runs, and the requests
    /// that are left then end. Nothing happens if it has no requests.
    pub(super) fn exec(&mut self) {
        let own: Vec<usize> = (0..self.rings.len())
            .filter(|ring| self.of_thread[*ring] && self.rings[*ring].open)
            .collect();
        if own.iter().all(|ring| self.rings[*ring].requests.is_empty()) {
            return;
        }
        for ring in own {
            let id = ring as RingId;
            self.run_work(id, usize::MAX);
            self.rings[ring].requests.clear();
            for sock in &mut self.socks {
                sock.waiters.retain(|(of, _)| *of != id);
            }
        }
    }

    /// Submits a request, which first receives the bytes that are in the socket.
    pub(super) fn recv(
        &mut self,
        ring: RingId,
        id: i64,
        socket: SocketId,
        len: u32,
        modifiers: ArgModifiers,
    ) -> Result<i64, i64> {
        let table = self.enabled(ring)?;
        table.submitted += 1;
        let number = table.submitted;
        let poll_first = modifiers.has(ArgModifier::PollFirst);
        let valid = modifiers.iter().all(|modifier| modifier == ArgModifier::PollFirst);
        let Some(ifq) = table.lookup(id).filter(|_| valid) else {
            table.post_or_overflow(-EINVAL);
            return Ok(0);
        };
        if !self.socks[usize::from(socket)].open {
            self.rings[usize::from(ring)].post_or_overflow(-EBADF);
            return Ok(0);
        }
        let mut request = Request { number, ifq, socket, len, cancelled: false };
        let action = match poll_first {
            true => RequestAction::WaitForSocket,
            false => self.receive(ring, &mut request, false),
        };
        match action {
            RequestAction::Complete(res) => self.open(ring)?.post_or_overflow(res),
            RequestAction::WaitForSocket | RequestAction::Requeue => {
                self.rings[usize::from(ring)].requests.push(request);
                let sock = &mut self.socks[usize::from(socket)];
                sock.waiters.push_front((ring, number));
                if sock.shutdown || !sock.segments.is_empty() {
                    self.rings[usize::from(ring)].queue_request(number);
                }
            }
        }
        Ok(0)
    }

    /// Reaps the next completion. If the queue is empty, this first runs task work, which receives
    /// bytes for waiting requests, and then moves completions from the overflow list to the queue.
    pub(super) fn wait(&mut self, ring: RingId) -> Result<Option<Completion>, i64> {
        self.enabled(ring)?;
        let mut batch = TASK_WORK_BATCH;
        loop {
            if let Some(completion) = self.open(ring)?.reap() {
                return Ok(Some(completion));
            }
            let idle = self.opened(ring)?.work.is_empty();
            self.run_work(ring, batch);
            self.open(ring)?.flush_overflow();
            // A sleeping waiter is woken for the one completion that it waits for.
            batch = 1;
            if idle {
                break;
            }
        }
        Ok(self.open(ring)?.reap())
    }

    /// Runs up to `batch` items of task work. The final completions of requests are posted together,
    /// after all others.
    fn run_work(&mut self, ring: RingId, batch: usize) {
        let r = usize::from(ring);
        // Up to 7.1 a run takes the list as it is; task work that is queued meanwhile waits for the
        // next run.
        let listed = self.rings[r].work.len();
        let batch = if self.revision.runs_newly_queued_work() { batch } else { batch.min(listed) };
        let mut done = Vec::new();
        for _ in 0..batch {
            let Some(work) = self.rings[r].work.pop_front() else { break };
            match work {
                TaskWork::Request(number) => done.extend(self.run_request(ring, number)),
                TaskWork::Event(event) => self.rings[r].post_or_overflow(event as i64),
            }
        }
        for res in done {
            self.rings[r].post_or_overflow(res);
        }
    }

    /// A request polls its socket. Returns the request's result if it completes.
    fn run_request(&mut self, ring: RingId, number: u64) -> Option<i64> {
        let r = usize::from(ring);
        let at = self.rings[r].requests.iter().position(|q| q.number == number)?;
        let mut request = self.rings[r].requests[at].clone();
        let action = match request.cancelled {
            true => RequestAction::Complete(-ECANCELED),
            false => self.receive(ring, &mut request, true),
        };
        match action {
            RequestAction::Complete(res) => {
                self.rings[r].requests.remove(at);
                let sock = &mut self.socks[usize::from(request.socket)];
                sock.waiters.retain(|waiter| *waiter != (ring, number));
                return Some(res);
            }
            RequestAction::WaitForSocket => {}
            RequestAction::Requeue => self.rings[r].queue_request(number),
        }
        self.rings[r].requests[at] = request;
        None
    }

    /// Receives the bytes in the socket. `woken`: the request was submitted earlier.
    fn receive(&mut self, ring: RingId, request: &mut Request, woken: bool) -> RequestAction {
        let mut progress = RecvProgress::default();
        let stopped = self.receive_fragments(ring, request, &mut progress).err();
        let sock = &mut self.socks[usize::from(request.socket)];
        let ended = sock.shutdown;
        if request.len > 0 && progress.bytes > 0 {
            request.len -= progress.bytes;
            if request.len == 0 {
                return RequestAction::Complete(0);
            }
        }
        if progress.bytes == 0 {
            return match stopped {
                Some(errno) => RequestAction::Complete(errno),
                // One request reports a reset, the others the end of the stream.
                None if std::mem::take(&mut sock.error) => RequestAction::Complete(-ECONNRESET),
                None if ended => RequestAction::Complete(0),
                _ => RequestAction::WaitForSocket,
            };
        }
        let more = progress.fragments > MAX_FRAGMENTS || progress.stopped_early || ended;
        if woken && more { RequestAction::Requeue } else { RequestAction::WaitForSocket }
    }
}
