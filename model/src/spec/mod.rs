//! The sequential specification: what a test without concurrency must return.
//!
//! Written for itself, from the kernel's source and the doc comments of [`crate::scenario`]; it
//! shares no code with the kernel-shaped modules, so that a slip there shows as a difference here.
//! There are no locks, no counts and no threads: an ifq is used by a set of rings and box files, a
//! buffer is in one of a few places, and whatever an operation starts in the background has ended
//! before the next operation begins.
//!
//! [`run`] answers for a whole test. [`Spec`] goes step by step, for those who make up the next
//! operation from the state that the last one has left.

mod ifq;
mod look;
mod ring;
mod sock;

use crate::errno::{EBADF, EBUSY, EEXIST, EINVAL, ENODATA, ENODEV, ENXIO, ERANGE, ETIME};
use crate::outcome::{Outcome, Value};
use crate::revision::Revision;
use crate::scenario::{Op, RingId, Socket, Source, Test, VarId};

use ifq::{Entry, Ifq};
use ring::Ring;
use sock::Stream;

/// Ids that a ring has for its ifqs. The kernel has 2^31.
pub const IDS: usize = 16;
/// Completions that a ring's queue holds, and as many again wait in its overflow list. In the kernel
/// the list ends with memory.
pub const COMPLETIONS: usize = 8;
/// Requests that a ring may have at a time. In the kernel they end with memory.
pub const REQUESTS: usize = 8;
/// Fragments that a socket's receive queue holds. In the kernel it is bounded in bytes.
pub const SEGMENTS: usize = 32;
/// Buffers that a page pool takes from the free list or the refill ring at a time, and holds in its
/// cache. 64 in the kernel.
pub const CACHE: usize = 8;
/// Buffers that a page pool keeps for itself when they come back another way. In the kernel as many
/// as the driver asks for.
pub const RECYCLED: usize = 16;
/// `IO_RQ_MAX_ENTRIES`.
pub const MAX_ENTRIES: u32 = 32768;

/// An ifq, by the order of the `register` steps, failed ones included.
type IfqNo = usize;

/// A buffer as a completion names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Buffer {
    ifq: IfqNo,
    idx: usize,
    /// Tells apart the times that it was handed to user space.
    handed: u64,
}

/// What a step has bound.
#[derive(Clone, Copy, Debug, Default)]
struct Bound {
    result: i64,
    /// The ifq that the value goes back to.
    origin: Option<IfqNo>,
    /// Of a completion.
    buffer: Option<Buffer>,
}

/// What is known of the system between two operations.
#[derive(Clone, Debug)]
pub struct Spec {
    revision: Revision,
    rings: Vec<Ring>,
    ifqs: Vec<Ifq>,
    /// Exported files, by the order of their export; `None`: closed.
    boxes: Vec<Option<IfqNo>>,
    socks: Vec<Stream>,
    /// The ifq that each queue of the device is bound to.
    queues: Vec<Option<IfqNo>>,
    vars: Vec<Option<Bound>>,
    /// How often a buffer was handed to user space.
    handed: u64,
    misused: bool,
    overrun: bool,
}

/// What a test must return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The raw result of each step that binds one, in the order in which they run. Descriptors
    /// count from the number of rings on.
    pub results: Vec<(VarId, i64)>,
    /// What is left when everything is closed, in words; must be empty.
    pub left: Vec<String>,
}

impl Answer {
    /// The observed results.
    #[must_use]
    pub fn outcome(&self, test: &Test) -> Outcome {
        let value = |var: &VarId| {
            let kind = test.vars[usize::from(*var)].kind;
            let found = self.results.iter().find(|(v, _)| v == var);
            found.map_or(Value::Unbound, |(_, raw)| Value::from_raw(kind, *raw))
        };
        Outcome(test.observe.iter().map(value).collect())
    }
}

/// What a valid test with at most one thread must return when no fault point fails. `None` if it
/// has more threads.
///
/// In a thread, unlike in `finally`, the exit of a ring goes on in the background: there the answer
/// is the one in which each exit has ended before the next step begins.
#[must_use]
pub fn run(test: &Test, revision: Revision) -> Option<Answer> {
    if test.threads.len() > 1 {
        return None;
    }
    let mut spec = Spec::new(test.rings.len(), &test.sockets, test.queues, revision);
    let mut results = Vec::new();
    for step in test.steps() {
        let result = spec.step(&step.op, step.bind);
        results.extend(step.bind.map(|var| (var, result)));
    }
    spec.close_all();
    Some(Answer { results, left: spec.left() })
}

impl Spec {
    /// Rings and sockets are open, nothing is registered, nothing was sent.
    #[must_use]
    pub fn new(rings: usize, sockets: &[Socket], queues: u32, revision: Revision) -> Self {
        Spec {
            revision,
            rings: vec![Ring::new(); rings],
            ifqs: Vec::new(),
            boxes: Vec::new(),
            socks: sockets.iter().map(|s| Stream::new(s.queue)).collect(),
            queues: vec![None; queues as usize],
            vars: Vec::new(),
            handed: 0,
            misused: false,
            overrun: false,
        }
    }

    /// Does one operation and all that follows from it; returns its result, -errno on failure.
    pub fn step(&mut self, op: &Op, bind: Option<VarId>) -> i64 {
        // One revision so far; the next one decides here what it does differently.
        let Revision::Import73 = self.revision;
        let mut bound = Bound::default();
        bound.result = self.operation(op, &mut bound).unwrap_or_else(|errno| errno);
        if let Some(var) = bind {
            let var = usize::from(var);
            if self.vars.len() <= var {
                self.vars.resize(var + 1, None);
            }
            self.vars[var] = Some(bound);
        }
        bound.result
    }

    fn operation(&mut self, op: &Op, bound: &mut Bound) -> Result<i64, i64> {
        match *op {
            Op::Register { ring, source, buffers, entries } => {
                bound.origin = Some(self.ifqs.len());
                self.ifqs.push(Ifq::new(buffers, entries));
                self.register(ring, source, entries)
            }
            Op::Import { ring, fd } => {
                bound.origin = self.var(fd).origin;
                self.import(ring, self.var(fd).result)
            }
            Op::Export { ring, ifq } => {
                bound.origin = self.var(ifq).origin;
                let found = self.lookup(ring, ifq)?.ok_or(-ENXIO)?;
                self.ifqs[found].users += 1;
                self.boxes.push(Some(found));
                Ok((self.rings.len() + self.boxes.len() - 1) as i64)
            }
            Op::Flush { ring, ifq } => {
                let found = self.lookup(ring, ifq)?.ok_or(-ENXIO)?;
                self.misused |= self.ifqs[found].flush();
                Ok(0)
            }
            Op::Exit { ring } => self.exit(ring),
            Op::Close { fd } => self.close(self.var(fd).result),
            Op::Recv { ring, ifq, socket, len } => {
                let id = self.var(ifq).result;
                self.recv(ring, id, socket, len)
            }
            Op::Wait { ring } => {
                let cqe = self.wait(ring)?.ok_or(-ETIME)?;
                bound.buffer = cqe.buffer;
                Ok(cqe.res)
            }
            Op::Return { cqe, ifq, .. } => {
                let buffer = self.var(cqe).buffer.ok_or(-ENODATA)?;
                let target = self.var(ifq).origin.ok_or(-ENODATA)?;
                self.ifqs[target].rq.push(Entry { buffer, own: buffer.ifq == target }).map(|()| 0)
            }
            Op::Send { socket, len } => self.send(socket, len).map(|()| 0),
            Op::Shutdown { socket } => {
                self.socks[usize::from(socket)].shutdown = true;
                self.wake(socket);
                Ok(0)
            }
        }
    }

    fn lookup(&mut self, ring: RingId, ifq: VarId) -> Result<Option<IfqNo>, i64> {
        let id = self.var(ifq).result;
        Ok(self.open(ring)?.lookup(id))
    }

    fn var(&self, var: VarId) -> Bound {
        self.vars.get(usize::from(var)).copied().flatten().unwrap_or_default()
    }

    fn open(&mut self, ring: RingId) -> Result<&mut Ring, i64> {
        let ring = self.rings.get_mut(usize::from(ring)).ok_or(-EBADF)?;
        if ring.open { Ok(ring) } else { Err(-EBADF) }
    }

    /// The ifq was made by the caller; it is used by nobody unless this succeeds.
    fn register(&mut self, ring: RingId, source: Source, entries: u32) -> Result<i64, i64> {
        let new = self.ifqs.len() - 1;
        let table = self.open(ring)?;
        if entries == 0 || entries > MAX_ENTRIES {
            return Err(-EINVAL);
        }
        let id = table.free_id().ok_or(-EBUSY)?;
        if let Source::Queue(queue) = source {
            if self.queues.is_empty() {
                return Err(-ENODEV);
            }
            let bound = self.queues.get_mut(queue as usize).ok_or(-ERANGE)?;
            if bound.is_some() {
                return Err(-EEXIST);
            }
            *bound = Some(new);
            self.ifqs[new].open_queue(queue as usize);
        }
        self.ifqs[new].users = 1;
        self.open(ring)?.ids[id] = Some(new);
        Ok(id as i64)
    }

    fn import(&mut self, ring: RingId, fd: i64) -> Result<i64, i64> {
        self.open(ring)?;
        let found = self.box_file(fd).and_then(|file| *file).ok_or(-EBADF)?;
        let table = self.open(ring)?;
        let id = table.free_id().ok_or(-EBUSY)?;
        table.ids[id] = Some(found);
        self.ifqs[found].users += 1;
        Ok(id as i64)
    }

    fn box_file(&mut self, fd: i64) -> Option<&mut Option<IfqNo>> {
        let rings = self.rings.len();
        self.boxes.get_mut(usize::try_from(fd).ok()?.checked_sub(rings)?)
    }

    fn close(&mut self, fd: i64) -> Result<i64, i64> {
        let ifq = self.box_file(fd).and_then(Option::take).ok_or(-EBADF)?;
        self.drop_user(ifq);
        Ok(0)
    }

    /// The ring's ids stop being users, its requests are cancelled, its completions are lost.
    fn exit(&mut self, ring: RingId) -> Result<i64, i64> {
        self.open(ring)?.open = false;
        for ifq in std::mem::take(&mut self.rings[usize::from(ring)].ids).into_iter().flatten() {
            self.drop_user(ifq);
        }
        self.overrun |= !self.rings[usize::from(ring)].clear();
        for sock in &mut self.socks {
            sock.waiters.retain(|(other, _)| *other != ring);
        }
        Ok(0)
    }

    /// The last user's end closes the device queue and takes back what user space holds.
    fn drop_user(&mut self, ifq: IfqNo) {
        self.ifqs[ifq].users -= 1;
        if self.ifqs[ifq].users == 0 {
            if let Some(queue) = self.ifqs[ifq].close_queue() {
                self.queues[queue] = None;
            }
            self.ifqs[ifq].scrub();
        }
    }

    /// Closes all that is open, sockets last.
    pub fn close_all(&mut self) {
        for ring in 0..self.rings.len() {
            let _ = self.exit(ring as RingId);
        }
        for fd in self.rings.len()..self.rings.len() + self.boxes.len() {
            let _ = self.close(fd as i64);
        }
        for socket in 0..self.socks.len() {
            while let Some(segment) = self.socks[socket].segments.pop_front() {
                self.release(segment);
            }
        }
    }

    /// What is not free, in words. Empty after [`Spec::close_all`].
    #[must_use]
    pub fn left(&self) -> Vec<String> {
        let ifqs = self.ifqs.iter().enumerate().flat_map(|(i, ifq)| {
            ifq.left().map(move |what| format!("ifq of register step {i}: {what}"))
        });
        let queues = self.queues.iter().enumerate().filter(|(_, q)| q.is_some());
        ifqs.chain(queues.map(|(i, _)| format!("queue {i} is bound"))).collect()
    }
}
