//! A ring: ids, receive requests, completions.

use std::collections::VecDeque;

use super::sock::{PAGE, Segment};
use super::{Buffer, COMPLETIONS, IDS, IfqNo, REQUESTS, Spec};
use crate::errno::{EAGAIN, ECANCELED, EFAULT, EINVAL, ENOMEM, ENOSPC};
use crate::scenario::{RingId, SocketId};

/// Fragments after which a receive gives others a turn, `IO_SKBS_PER_CALL_LIMIT`; it stops at the
/// second one beyond.
const FRAGMENTS: u32 = 20;

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

/// A ring.
#[derive(Clone, Debug)]
pub(super) struct Ring {
    pub(super) open: bool,
    pub(super) ids: Vec<Option<IfqNo>>,
    requests: Vec<Request>,
    submitted: u64,
    /// Requests to look at when the application waits.
    work: VecDeque<u64>,
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

    /// Cancels the requests; what was posted is lost. `false` if there was no room to post.
    pub(super) fn clear(&mut self) -> bool {
        let room = (0..self.requests.len()).all(|_| self.post_last(-ECANCELED));
        *self = Ring { open: false, ..Ring::new() };
        room
    }

    pub(super) fn free_id(&self) -> Option<usize> {
        self.ids.iter().position(Option::is_none)
    }

    pub(super) fn lookup(&self, id: i64) -> Option<IfqNo> {
        self.ids.get(usize::try_from(id).ok()?).copied().flatten()
    }

    pub(super) fn queue_work(&mut self, request: u64) {
        if !self.work.contains(&request) {
            self.work.push_back(request);
        }
    }

    pub(super) fn ready(&self) -> bool {
        !self.completions.is_empty() || !self.overflow.is_empty() || !self.work.is_empty()
    }

    /// Whether there is room for one more completion that is not a request's last one. Completions
    /// keep their order, so there is none while older ones wait.
    fn room(&self) -> bool {
        self.overflow.is_empty() && self.completions.len() < COMPLETIONS
    }

    /// Posts a request's last completion; `false` if it is lost.
    fn post_last(&mut self, res: i64) -> bool {
        let last = Completion { res, buffer: None };
        if self.room() {
            self.completions.push_back(last);
        } else if self.overflow.len() < COMPLETIONS {
            self.overflow.push_back(last);
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
    ) -> Result<i64, i64> {
        let table = self.open(ring)?;
        if table.requests.len() == REQUESTS {
            return Err(-EAGAIN);
        }
        table.submitted += 1;
        let number = table.submitted;
        let Some(ifq) = table.lookup(id) else {
            self.overrun |= !self.open(ring)?.post_last(-EINVAL);
            return Ok(0);
        };
        let mut request = Request { number, ifq, socket, len };
        match self.receive(ring, &mut request, false) {
            Turn::Done(res) => self.overrun |= !self.open(ring)?.post_last(res),
            Turn::Wait | Turn::Again => {
                self.rings[usize::from(ring)].requests.push(request);
                let sock = &mut self.socks[usize::from(socket)];
                sock.waiters.push_front((ring, number));
                if sock.shutdown || !sock.segments.is_empty() {
                    self.rings[usize::from(ring)].queue_work(number);
                }
            }
        }
        Ok(0)
    }

    /// The next completion. What has come in for waiting requests is received only now, and only
    /// if no completion is there; completions that found no room follow after that.
    pub(super) fn wait(&mut self, ring: RingId) -> Result<Option<Completion>, i64> {
        if self.open(ring)?.completions.is_empty() {
            self.run_work(ring);
            self.open(ring)?.flush_overflow();
        }
        Ok(self.open(ring)?.completions.pop_front())
    }

    /// Last completions are posted together, after all the others.
    fn run_work(&mut self, ring: RingId) {
        let r = usize::from(ring);
        let mut done = Vec::new();
        while let Some(number) = self.rings[r].work.pop_front() {
            let found = self.rings[r].requests.iter().position(|q| q.number == number);
            let Some(at) = found else { continue };
            let mut request = self.rings[r].requests[at].clone();
            match self.receive(ring, &mut request, true) {
                Turn::Done(res) => {
                    done.push(res);
                    self.rings[r].requests.remove(at);
                    let sock = &mut self.socks[usize::from(request.socket)];
                    sock.waiters.retain(|waiter| *waiter != (ring, number));
                    continue;
                }
                Turn::Wait => {}
                Turn::Again => self.rings[r].work.push_back(number),
            }
            self.rings[r].requests[at] = request;
        }
        for res in done {
            self.overrun |= !self.rings[r].post_last(res);
        }
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
                Some(errno) if errno != -EAGAIN => Turn::Done(errno),
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
        let r = usize::from(ring);
        if let Some((owner, idx)) = segment.niov {
            if owner != ifq {
                return Err(-EFAULT);
            }
            if !self.rings[r].room() {
                return Err(-ENOSPC);
            }
            self.hand_over(ring, ifq, idx, want);
            return Ok(want);
        }
        let mut copied = 0;
        while copied < want {
            let Some(idx) = self.ifqs[ifq].take_free() else {
                return if copied == 0 { Err(-ENOMEM) } else { Ok(copied) };
            };
            if !self.rings[r].room() {
                self.ifqs[ifq].give_free(idx);
                return if copied == 0 { Err(-ENOSPC) } else { Ok(copied) };
            }
            let n = PAGE.min(want - copied);
            self.hand_over(ring, ifq, idx, n);
            copied += n;
        }
        Ok(copied)
    }

    fn hand_over(&mut self, ring: RingId, ifq: IfqNo, idx: usize, len: u32) {
        self.handed += 1;
        let buffer = Buffer { ifq, idx, handed: self.handed };
        self.ifqs[ifq].hand(buffer);
        let completion = Completion { res: i64::from(len), buffer: Some(buffer) };
        self.rings[usize::from(ring)].completions.push_back(completion);
    }
}
