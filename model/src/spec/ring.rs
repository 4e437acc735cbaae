//! A ring: ids, receive requests, completions.

use std::collections::VecDeque;

use super::sock::{PAGE, Segment};
use super::{At, Buffer, COMPLETIONS, IDS, IfqNo, REQUESTS, Spec};
use crate::errno::{EAGAIN, ECANCELED, EFAULT, EINVAL, ENOMEM, ENOSPC};
use crate::test::arg_modifier::ArgModifiers;
use crate::test::{Event, RingId, SocketId};

/// Fragments after which a receive gives others a turn, `IO_SKBS_PER_CALL_LIMIT`; it stops at the
/// second one beyond.
const FRAGMENTS: u32 = 20;
/// Pieces of work that one go runs, `IO_LOCAL_TW_DEFAULT_MAX`.
const WORK: usize = 20;

/// A completion.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completion {
    pub(super) res: i64,
    pub(super) buffer: Option<Buffer>,
}

#[derive(Clone, Debug)]
struct Request {
    number: u64,
    ifq: IfqNo,
    socket: SocketId,
    /// Bytes still wanted; 0: no limit.
    len: u32,
}

/// Something to do when the application waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    /// To look at the socket of the request with this number.
    Request(u64),
    /// To post that an event has fired.
    Event(Event),
}

/// A ring.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    pub(super) open: bool,
    pub(super) ids: Vec<Option<IfqNo>>,
    requests: Vec<Request>,
    submitted: u64,
    work: VecDeque<Work>,
    completions: VecDeque<Completion>,
    overflow: VecDeque<Completion>,
}

impl Ring {
    pub(super) fn new() -> Self {
        Ring {
            open: true,
            ids: vec![None; IDS],
            requests: Vec::new(),
            submitted: 0,
            work: VecDeque::new(),
            completions: VecDeque::new(),
            overflow: VecDeque::new(),
        }
    }

    /// Runs what is left of the work and cancels the requests; what was posted is lost. `false` if
    /// there was no room to post.
    pub(super) fn clear(&mut self) -> bool {
        let events = self.work.iter().filter(|work| matches!(work, Work::Event(_))).count();
        let room = (0..events + self.requests.len()).all(|_| self.post_late(-ECANCELED));
        *self = Ring { open: false, ..Ring::new() };
        room
    }

    pub(super) fn free_id(&self) -> Option<usize> {
        self.ids.iter().position(Option::is_none)
    }

    pub(super) fn lookup(&self, id: i64) -> Option<IfqNo> {
        self.ids.get(usize::try_from(id).ok()?).copied().flatten()
    }

    pub(super) fn queue_request(&mut self, number: u64) {
        if !self.work.contains(&Work::Request(number)) {
            self.work.push_back(Work::Request(number));
        }
    }

    pub(super) fn queue_event(&mut self, event: Event) {
        self.work.push_back(Work::Event(event));
    }

    pub(super) fn ready(&self) -> bool {
        !self.completions.is_empty() || !self.overflow.is_empty() || !self.work.is_empty()
    }

    /// Completions that wait to be taken.
    pub(super) fn posted(&self) -> usize {
        self.completions.len() + self.overflow.len()
    }

    /// Requests that have not ended.
    pub(super) fn requests(&self) -> usize {
        self.requests.len()
    }

    /// Whether the queue has room for one more completion. Completions keep their order, so there
    /// is none while older ones wait.
    fn room(&self) -> bool {
        self.overflow.is_empty() && self.completions.len() < COMPLETIONS
    }

    /// Posts a completion without a buffer, which waits if there is no room; `false` if it is lost.
    fn post_late(&mut self, res: i64) -> bool {
        let completion = Completion { res, buffer: None };
        if self.room() {
            self.completions.push_back(completion);
        } else if self.overflow.len() < COMPLETIONS {
            self.overflow.push_back(completion);
        } else {
            return false;
        }
        true
    }

    fn flush_overflow(&mut self) {
        while self.completions.len() < COMPLETIONS
            && let Some(oldest) = self.overflow.pop_front()
        {
            self.completions.push_back(oldest);
        }
    }
}

/// What comes of a look at the socket.
enum Turn {
    /// The request ends with this result.
    Done(i64),
    /// It waits for the socket.
    Wait,
    /// It goes to the end of the ring's work.
    Again,
}

/// What one receive has done so far.
#[derive(Default)]
struct Progress {
    bytes: u32,
    fragments: u32,
    stopped_early: bool,
}

impl Spec {
    /// A new request first takes what is there.
    pub(super) fn recv(
        &mut self,
        ring: RingId,
        id: i64,
        socket: SocketId,
        len: u32,
        modifiers: ArgModifiers,
    ) -> Result<i64, i64> {
        let table = self.open(ring)?;
        if table.requests.len() == REQUESTS {
            return Err(-EAGAIN);
        }
        table.submitted += 1;
        let number = table.submitted;
        let Some(ifq) = table.lookup(id).filter(|_| modifiers.is_empty()) else {
            self.overrun |= !self.open(ring)?.post_late(-EINVAL);
            return Ok(0);
        };
        let mut request = Request { number, ifq, socket, len };
        match self.receive(ring, &mut request, false) {
            Turn::Done(res) => self.overrun |= !self.open(ring)?.post_late(res),
            Turn::Wait | Turn::Again => {
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

    /// The next completion. What has come in for waiting requests is received only now, and only
    /// if no completion is there; completions that found no room follow after that.
    pub(super) fn wait(&mut self, ring: RingId) -> Result<Option<Completion>, i64> {
        let mut most = WORK;
        while self.open(ring)?.completions.is_empty() {
            let idle = self.open(ring)?.work.is_empty();
            self.run_work(ring, most);
            self.open(ring)?.flush_overflow();
            // Asleep, it is woken for as many as it waits for.
            most = 1;
            if idle {
                break;
            }
        }
        Ok(self.open(ring)?.completions.pop_front())
    }

    /// One go through the work. Last completions are posted together, after all the others.
    fn run_work(&mut self, ring: RingId, most: usize) {
        let r = usize::from(ring);
        // Up to 7.1 the list is taken as it is, and what comes in meanwhile waits for the next go.
        let listed = self.rings[r].work.len();
        let most = if self.revision.runs_newly_queued_work() { most } else { most.min(listed) };
        let mut done = Vec::new();
        for _ in 0..most {
            let Some(work) = self.rings[r].work.pop_front() else { break };
            match work {
                Work::Request(number) => done.extend(self.run_request(ring, number)),
                Work::Event(event) => {
                    self.overrun |= !self.rings[r].post_late(event as i64);
                }
            }
        }
        for res in done {
            self.overrun |= !self.rings[r].post_late(res);
        }
    }

    /// A request looks at its socket. Returns its result if it ends.
    fn run_request(&mut self, ring: RingId, number: u64) -> Option<i64> {
        let r = usize::from(ring);
        let at = self.rings[r].requests.iter().position(|q| q.number == number)?;
        let mut request = self.rings[r].requests[at].clone();
        match self.receive(ring, &mut request, true) {
            Turn::Done(res) => {
                self.rings[r].requests.remove(at);
                let sock = &mut self.socks[usize::from(request.socket)];
                sock.waiters.retain(|waiter| *waiter != (ring, number));
                return Some(res);
            }
            Turn::Wait => {}
            Turn::Again => self.rings[r].queue_request(number),
        }
        self.rings[r].requests[at] = request;
        None
    }

    /// Receives what the socket has. `woken`: not the first look.
    fn receive(&mut self, ring: RingId, request: &mut Request, woken: bool) -> Turn {
        let mut progress = Progress::default();
        let stopped = self.take_fragments(ring, request, &mut progress).err();
        let ended = self.socks[usize::from(request.socket)].shutdown;
        if request.len > 0 && progress.bytes > 0 {
            request.len -= progress.bytes;
            if request.len == 0 {
                return Turn::Done(0);
            }
        }
        if progress.bytes == 0 {
            return match stopped {
                Some(errno) => Turn::Done(errno),
                None if ended => Turn::Done(0),
                _ => Turn::Wait,
            };
        }
        let more = progress.fragments > FRAGMENTS || progress.stopped_early || ended;
        if woken && more { Turn::Again } else { Turn::Wait }
    }

    /// Fragment by fragment, until there is none left, the request has what it wanted, or one
    /// cannot be received.
    fn take_fragments(
        &mut self,
        ring: RingId,
        request: &Request,
        progress: &mut Progress,
    ) -> Result<(), i64> {
        let s = usize::from(request.socket);
        let limit = if request.len == 0 { u32::MAX } else { request.len };
        while progress.bytes < limit
            && let Some(&segment) = self.socks[s].segments.front()
        {
            progress.fragments += 1;
            if progress.fragments > FRAGMENTS + 1 {
                return Err(-EAGAIN);
            }
            let want = segment.len.min(limit - progress.bytes);
            let taken = self.take_fragment(ring, request.ifq, segment, want);
            progress.stopped_early |= taken != Ok(want);
            let taken = taken?;
            progress.bytes += taken;
            self.socks[s].segments[0].len -= taken;
            if taken == segment.len {
                self.socks[s].segments.pop_front();
                self.release(segment);
            }
        }
        Ok(())
    }

    /// Bytes in a device's buffer are handed over where they are, if it is one of the request's
    /// ifq; others are copied, a buffer at a time.
    fn take_fragment(
        &mut self,
        ring: RingId,
        ifq: IfqNo,
        segment: Segment,
        want: u32,
    ) -> Result<u32, i64> {
        let Some((owner, at)) = segment.niov else {
            let copied = self.copy(ring, ifq, want);
            if copied.is_ok() {
                self.notify(ifq, Event::Copy);
            }
            return copied;
        };
        if owner != ifq {
            return Err(-EFAULT);
        }
        if !self.rings[usize::from(ring)].room() {
            return Err(-ENOSPC);
        }
        self.hand_over(ring, ifq, at, want);
        Ok(want)
    }

    fn copy(&mut self, ring: RingId, ifq: IfqNo, want: u32) -> Result<u32, i64> {
        let mut copied = 0;
        while copied < want {
            let Some(at) = self.ifqs[ifq].take_free() else {
                return if copied == 0 { Err(-ENOMEM) } else { Ok(copied) };
            };
            if !self.rings[usize::from(ring)].room() {
                self.ifqs[ifq].give_free(at);
                return if copied == 0 { Err(-ENOSPC) } else { Ok(copied) };
            }
            let n = PAGE.min(want - copied);
            self.hand_over(ring, ifq, at, n);
            copied += n;
        }
        Ok(copied)
    }

    fn hand_over(&mut self, ring: RingId, ifq: IfqNo, at: At, len: u32) {
        self.handed += 1;
        let buffer = Buffer { ifq, at, handed: self.handed };
        self.ifqs[ifq].hand(buffer);
        let completion = Completion { res: i64::from(len), buffer: Some(buffer) };
        self.rings[usize::from(ring)].completions.push_back(completion);
    }
}
