//! The sequential specification: what a test without concurrency must return.
//!
//! Written for itself, from the kernel's source and the doc comments of [`crate::test`]; it
//! shares no code with the kernel-shaped modules, so that a slip there shows as a difference here.
//! There are no locks, no counts and no threads: an ifq is used by a set of rings and box files, a
//! buffer is in one of a few places, and whatever an operation starts in the background has ended
//! before the next operation begins.
//!
//! [`run`] answers for a whole test. [`Spec`] goes step by step, for those who make up the next
//! operation from the state that the last one has left.

mod check;
mod ifq;
mod look;
mod ring;
mod rq;
mod share;
mod sock;

use crate::errno::{EBADF, ENODATA, ETIME};
use crate::outcome::{Outcome, Value};
use crate::revision::Revision;
use crate::test::{Op, RingId, RingSetup, Test, VarId};

use ifq::Ifq;
use ring::Ring;
use sock::Stream;

pub use check::MAX_ENTRIES;

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

/// An ifq, by the order of the `register` steps, failed ones included.
type IfqNo = usize;

/// A buffer of an ifq.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct At {
    area: usize,
    idx: usize,
}

/// A buffer as a completion names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Buffer {
    ifq: IfqNo,
    at: At,
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
    setups: Vec<(RingId, RingSetup)>,
    rings: Vec<Ring>,
    ifqs: Vec<Ifq>,
    /// Exported files, by the order of their export; `None`: closed.
    boxes: Vec<Option<IfqNo>>,
    socks: Vec<Stream>,
    /// The ifq that each queue of the device is bound to.
    queues: Vec<Option<IfqNo>>,
    device_gone: bool,
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

/// What a valid test with at most one thread must return on a revision whose own defects are fixed,
/// when no fault point fails. `None` if it has more threads, if the application gives back a buffer
/// that it still holds, or if more completions wait than the model has room for.
///
/// In a thread, unlike in `finally`, the exit of a ring goes on in the background: there the answer
/// is the one in which each exit has ended before the next step begins.
#[must_use]
pub fn run(test: &Test, revision: Revision) -> Option<Answer> {
    if test.threads.len() > 1 {
        return None;
    }
    let mut spec = Spec::new(test, revision);
    let mut results = Vec::new();
    for step in test.steps() {
        let result = spec.step(&step.op, step.bind);
        results.extend(step.bind.map(|var| (var, result)));
    }
    spec.close_all();
    (!spec.misused && !spec.overrun).then(|| Answer { results, left: spec.left() })
}

impl Spec {
    /// The rings and sockets of a test are open, nothing is registered, nothing was sent.
    #[must_use]
    pub fn new(test: &Test, revision: Revision) -> Self {
        Spec {
            revision,
            setups: test.setups.clone(),
            rings: vec![Ring::new(); test.rings.len()],
            ifqs: Vec::new(),
            boxes: Vec::new(),
            socks: test.sockets.iter().map(|s| Stream::new(s.queue)).collect(),
            queues: vec![None; test.queues as usize],
            device_gone: false,
            vars: Vec::new(),
            handed: 0,
            misused: false,
            overrun: false,
        }
    }

    /// Does one operation and all that follows from it; returns its result, -errno on failure.
    pub fn step(&mut self, op: &Op, bind: Option<VarId>) -> i64 {
        let mut bound = Bound { origin: self.origin(op), ..Bound::default() };
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

    /// The ifq that the result of an operation goes back to, whether it succeeds or not.
    fn origin(&mut self, op: &Op) -> Option<IfqNo> {
        match *op {
            Op::Register { buffers, entries, .. } => {
                self.ifqs.push(Ifq::new(buffers, entries));
                Some(self.ifqs.len() - 1)
            }
            Op::Clone { ifq: var, .. }
            | Op::Export { ifq: var, .. }
            | Op::Import { fd: var, .. } => self.var(var).origin,
            _ => None,
        }
    }

    fn operation(&mut self, op: &Op, bound: &mut Bound) -> Result<i64, i64> {
        match *op {
            Op::Register { ring, source, entries, modifiers, .. } => {
                self.register(ring, source, entries, modifiers)
            }
            Op::Clone { ring, from, ifq, modifiers } => {
                self.clone_ifq(ring, from, self.var(ifq).result, modifiers)
            }
            Op::Import { ring, fd, modifiers } => self.import(ring, self.var(fd).result, modifiers),
            Op::Export { ring, ifq, modifiers } => {
                let found = self.ctrl(ring, ifq, modifiers)?;
                self.export(found, modifiers)
            }
            Op::Flush { ring, ifq, modifiers } => {
                let found = self.ctrl(ring, ifq, modifiers)?;
                self.flush(found, modifiers)
            }
            Op::AddArea { ring, ifq, buffers, modifiers } => {
                let found = self.ctrl(ring, ifq, modifiers)?;
                self.add_area(found, buffers, modifiers)
            }
            Op::Arm { ring, ifq, event, modifiers } => {
                let found = self.ctrl(ring, ifq, modifiers)?;
                self.arm(found, event, modifiers)
            }
            Op::Mmap { ring, ifq } => self.mmap(ring, self.var(ifq).result),
            Op::UnregisterNetdev => Ok(self.unregister_netdev()),
            Op::Scribble { ifq, word, value } => {
                let target = self.var(ifq).origin.ok_or(-ENODATA)?;
                self.ifqs[target].rq.scribble(word, value);
                Ok(0)
            }
            Op::Exit { ring } => self.exit(ring),
            Op::Close { fd } => self.close(self.var(fd).result),
            Op::Recv { ring, ifq, socket, len, modifiers } => {
                self.recv(ring, self.var(ifq).result, socket, len, modifiers)
            }
            Op::Wait { ring } => {
                let cqe = self.wait(ring)?.ok_or(-ETIME)?;
                bound.buffer = cqe.buffer;
                Ok(cqe.res)
            }
            Op::Return { cqe, ifq, .. } => {
                let buffer = self.var(cqe).buffer.ok_or(-ENODATA)?;
                let target = self.var(ifq).origin.ok_or(-ENODATA)?;
                self.ifqs[target].rq.push(buffer, buffer.ifq == target).map(|()| 0)
            }
            Op::Send { socket, len } => self.send(socket, len).map(|()| 0),
            Op::Shutdown { socket } => self.shutdown(socket).map(|()| 0),
        }
    }

    fn var(&self, var: VarId) -> Bound {
        self.vars.get(usize::from(var)).copied().flatten().unwrap_or_default()
    }

    fn open(&mut self, ring: RingId) -> Result<&mut Ring, i64> {
        let ring = self.rings.get_mut(usize::from(ring)).ok_or(-EBADF)?;
        if ring.open { Ok(ring) } else { Err(-EBADF) }
    }
}
