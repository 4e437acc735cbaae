//! The sequential specification: the results that a test without concurrency must return.
//!
//! The core idea is a second, simpler implementation of the kernel's behaviour. It is written from the
//! kernel's source and the doc comments of [`crate::test`], and it shares no code with the
//! kernel-shaped modules, so that a mistake in one of them shows as a difference.
//!
//! The specification leaves out locks, reference counts, threads and fault points. An ifq has a number
//! of users (ids in rings and exported files), a buffer is in one of a few places, and all
//! background work of an operation has ended before the next operation begins. It does not
//! predict results after user space has returned a buffer that it still holds, or after a page pool was
//! destroyed while buffers of it were in use.
//!
//! [`run`] predicts the results of a whole test. [`Spec`] runs one operation at a time, for generators
//! that choose the next operation from the state after the last one.

mod arguments;
mod ifq;
mod query;
mod ring;
mod rq;
mod share;
mod shared;
mod sock;

use crate::errno::{EBADF, ENODATA, ENOENT, ETIME};
use crate::outcome::{Outcome, Value};
use crate::revision::Revision;
use crate::test::literal::Literal;
use crate::test::{Op, RingId, RingSetup, Test, VarId};

use ifq::IfqState;
use ring::RingState;
use shared::Shared;
use sock::SocketState;

pub use arguments::MAX_ENTRIES;

/// Completions that a ring's queue holds: user space asks for this number.
pub const COMPLETIONS: usize = 8;
/// Areas of an ifq, `ZCRX_MAX_AREAS`.
pub const AREAS: usize = 1024;
/// Buffers that a page pool takes at once from the free list or the refill ring into its cache,
/// `PP_ALLOC_CACHE_REFILL`.
pub const CACHE: usize = 64;
/// Buffers that the page pool's `ptr_ring` holds, unless the driver chooses another size.
pub const RECYCLED: usize = 1024;

/// The number of an ifq: the index of its `register` step among all of them, failed ones included.
type IfqIndex = usize;

/// A buffer of an ifq: its area and its index there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct NiovId {
    area: usize,
    idx: usize,
}

/// A buffer that a completion delivered to user space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DeliveredBuffer {
    ifq: IfqIndex,
    at: NiovId,
    /// The number of this delivery, unique over all buffers.
    delivery: u64,
}

/// The result of a step, and what it refers to.
#[derive(Clone, Copy, Debug, Default)]
struct StepResult {
    result: i64,
    /// The ifq that the step registered, cloned, exported or imported.
    origin: Option<IfqIndex>,
    /// The buffer of a completion.
    buffer: Option<DeliveredBuffer>,
    /// The number of a request in its ring.
    request: Option<u64>,
}

/// The results of the steps, by variable. A copy has room for the result of one more step.
#[derive(Debug)]
struct Results(Vec<Option<StepResult>>);

impl Clone for Results {
    fn clone(&self) -> Self {
        let mut results = Vec::with_capacity(self.0.len() + 1);
        results.extend_from_slice(&self.0);
        Results(results)
    }
}

/// The state of the system between two operations.
#[derive(Clone, Debug)]
pub struct Spec {
    revision: Revision,
    setups: Vec<(RingId, RingSetup)>,
    rings: Vec<Shared<RingState>>,
    /// By ring: whether the test's only thread set it up.
    of_thread: Vec<bool>,
    ifqs: Vec<Shared<IfqState>>,
    /// Exported files, in the order of their export; `None`: closed.
    boxes: Vec<Option<IfqIndex>>,
    socks: Vec<Shared<SocketState>>,
    /// The ifq that each queue of the device is bound to.
    queues: Vec<Option<IfqIndex>>,
    device_gone: bool,
    device_down: bool,
    /// A page pool was destroyed while buffers of it were in use. They are free again when its release
    /// worker looks, once a second.
    late_buffers: bool,
    vars: Results,
    /// The number of deliveries so far.
    deliveries: u64,
    /// User space has returned a buffer that it still holds.
    misused: bool,
}

/// The results that a test must return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecifiedResults {
    /// The raw result of each step that binds a result, in the order of the steps. Descriptors are
    /// numbered from the number of rings on.
    pub results: Vec<(VarId, i64)>,
    /// What is not free after everything is closed, in words. Must be empty.
    pub left: Vec<String>,
}

impl SpecifiedResults {
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

/// Predicts the results of a valid test with at most one thread, on a revision whose own defects are
/// fixed, if no fault point fails. `None` if the test has more threads, if the application returns a
/// buffer that it still holds, or if a page pool is destroyed while buffers of it are in use.
///
/// In a thread, unlike in `finally`, the exit of a ring runs in the background. The prediction assumes
/// that each exit has ended before the next step begins.
#[must_use]
pub fn run(test: &Test, revision: Revision) -> Option<SpecifiedResults> {
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
    (!spec.misused && !spec.late_buffers).then(|| SpecifiedResults { results, left: spec.left() })
}

impl Spec {
    /// The initial state of a test: rings and sockets are open, nothing is registered or sent.
    #[must_use]
    pub fn new(test: &Test, revision: Revision) -> Self {
        Spec {
            revision,
            setups: test.setups.clone(),
            rings: (0..test.rings.len())
                .map(|ring| Shared::new(RingState::of(test, ring as RingId)))
                .collect(),
            of_thread: (0..test.rings.len())
                .map(|ring| test.driver(ring as RingId) == Some(0))
                .collect(),
            ifqs: Vec::new(),
            boxes: Vec::new(),
            socks: (test.sockets.iter()).map(|s| Shared::new(SocketState::new(s.queue))).collect(),
            queues: vec![None; test.queues as usize],
            device_gone: false,
            device_down: false,
            late_buffers: false,
            vars: Results(Vec::new()),
            deliveries: 0,
            misused: false,
        }
    }

    /// Runs one operation with all its background work. Returns the result, -errno on failure.
    pub fn step(&mut self, op: &Op, bind: Option<VarId>) -> i64 {
        let mut bound = StepResult { origin: self.origin(op), ..StepResult::default() };
        bound.result = self.operation(op, &mut bound).unwrap_or_else(|errno| errno);
        self.end_closed_sockets();
        if let Some(var) = bind {
            let var = usize::from(var);
            let vars = &mut self.vars.0;
            if vars.len() <= var {
                vars.resize(var + 1, None);
            }
            vars[var] = Some(bound);
        }
        bound.result
    }

    /// The ifq that the result of an operation refers to, whether or not the operation succeeds.
    fn origin(&mut self, op: &Op) -> Option<IfqIndex> {
        match *op {
            Op::Register { buffers, entries, .. } => {
                self.ifqs.push(Shared::new(IfqState::new(buffers, entries)));
                Some(self.ifqs.len() - 1)
            }
            Op::Clone { ifq: var, .. }
            | Op::Export { ifq: var, .. }
            | Op::Import { fd: var, .. } => self.var(var).origin,
            _ => None,
        }
    }

    fn operation(&mut self, op: &Op, bound: &mut StepResult) -> Result<i64, i64> {
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
            Op::NetdevDown => self.netdev_down(),
            Op::NetdevUp => self.netdev_up(),
            Op::RestartQueue { queue } => self.restart_queue(queue),
            Op::Scribble { ifq, word, value } => {
                // An ifq that comes from no registration has no refill ring to write into.
                if let Some(target) = self.var(ifq).origin {
                    self.ifqs[target].rq.scribble(word, value);
                }
                Ok(0)
            }
            Op::Exit { ring } => self.exit(ring),
            Op::Enable { ring } => self.enable(ring),
            Op::Cancel { ring, request } => {
                let wanted = self.var(request).request;
                match self.cancel(ring, |number, _| Some(number) == wanted)? {
                    0 => Err(-ENOENT),
                    _ => Ok(0),
                }
            }
            Op::CancelSocket { ring, socket } => {
                self.opened(ring)?;
                if !self.socks[usize::from(socket)].open {
                    return Err(-EBADF);
                }
                self.cancel(ring, |_, on| on == socket)
            }
            Op::CloseSocket { socket } => self.close_socket(socket).map(|()| 0),
            Op::CancelAll { ring } => self.cancel(ring, |_, _| true),
            Op::Exec => {
                self.exec();
                Ok(0)
            }
            Op::Die => {
                self.close_all();
                Ok(0)
            }
            Op::Close { fd } => self.close(self.var(fd).result),
            Op::Recv { ring, ifq, socket, len, modifiers } => {
                let submitted = self.recv(ring, self.var(ifq).result, socket, len, modifiers)?;
                bound.request = Some(self.rings[usize::from(ring)].submitted);
                Ok(submitted)
            }
            Op::Wait { ring } => {
                let cqe = self.wait(ring)?.ok_or(-ETIME)?;
                bound.buffer = cqe.buffer;
                Ok(cqe.res)
            }
            Op::Return { cqe, ifq, checked, .. } => {
                let buffer = self.var(cqe).buffer.ok_or(-ENODATA)?;
                let target = self.var(ifq).origin.ok_or(-ENODATA)?;
                self.ifqs[target].rq.push(buffer, buffer.ifq == target, checked).map(|()| 0)
            }
            Op::Send { socket, len, layout } => self.send(socket, len, layout).map(|()| 0),
            Op::Shutdown { socket } => self.shutdown(socket).map(|()| 0),
            Op::Reset { socket } => self.reset(socket).map(|()| 0),
        }
    }

    fn var(&self, var: VarId) -> StepResult {
        if let Some(literal) = Literal::of(var) {
            return StepResult { result: literal.value(), ..StepResult::default() };
        }
        self.vars.0.get(usize::from(var)).copied().flatten().unwrap_or_default()
    }

    /// An open ring, to read.
    fn opened(&self, ring: RingId) -> Result<&RingState, i64> {
        let ring = self.rings.get(usize::from(ring)).ok_or(-EBADF)?;
        if ring.open { Ok(ring) } else { Err(-EBADF) }
    }

    /// An open ring, to change.
    fn open(&mut self, ring: RingId) -> Result<&mut RingState, i64> {
        let ring = self.rings.get_mut(usize::from(ring)).ok_or(-EBADF)?;
        if ring.open { Ok(ring) } else { Err(-EBADF) }
    }
}
