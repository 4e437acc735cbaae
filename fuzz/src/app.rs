//! An application that chooses one operation at a time and obeys the contract of user space.
//!
//! The application keeps the state of the sequential specification after the operations so far. The
//! threads of a test run the operations in another order, so this state is an estimate that only steers
//! the choice. The order of decoding guarantees that each result has the right kind and exists before it
//! is used.
//!
//! The contract forbids three things, whatever the kernel returns:
//!
//! * to return a buffer twice, or to another ifq. The application returns the buffer of a completion at
//!   most once, and only if all receives of the ring so far use one ifq;
//! * to write to a refill ring without the lock that its producers share;
//! * to overwrite words of a refill ring.
//!
//! The application may return a buffer after all users of its ifq have exited. That only writes to the
//! application's own memory.

use std::collections::BTreeSet;

use ifq_model::spec::Spec;
use ifq_model::test::arg_modifier::{ArgModifier, ArgModifiers};
use ifq_model::test::{Event, Layout, Op, RingId, SocketId, Source, Step, Test, VarId, VarKind};
use ifq_sim::generate::numbered;

use crate::choices::{Choices, OpBytes};

/// Areas in a test. Each has memory of its own.
pub const MAX_AREAS: usize = 6;
/// Largest number of buffers in an area.
pub const MAX_BUFFERS: u32 = 8;

const BUFFERS: [u32; 4] = [1, 2, 4, MAX_BUFFERS];
const ENTRIES: [u32; 4] = [1, 2, 4, 8];
const SENDS: [u32; 8] = [128, 100, 10, 256, 4096, 8192, 5000, 12000];
const LIMITS: [u32; 4] = [0, 128, 4096, 0];

/// The section of a test that contains a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// [`Test::setup`].
    Setup,
    /// [`Test::threads`].
    Threads,
    /// [`Test::finally`].
    Finally,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OpKind {
    Register,
    Import,
    Clone,
    Export,
    Recv,
    Send,
    Wait,
    Return,
    Flush,
    AddArea,
    Arm,
    Mmap,
    Unregister,
    Close,
    Exit,
    Shutdown,
}

impl OpKind {
    /// Whether fewer operations apply afterwards.
    fn ends_something(self) -> bool {
        matches!(self, OpKind::Close | OpKind::Exit | OpKind::Shutdown | OpKind::Unregister)
    }
}

/// The [`Choices::kind`] of an operation that will probably fail.
const UNLIKELY: usize = Choices::KINDS - 1;
/// The operation of each [`Choices::kind`]. An operation that does not apply is replaced by the next one that
/// does not end anything.
const OP_KINDS: [OpKind; UNLIKELY] = [
    OpKind::Recv,
    OpKind::Import,
    OpKind::Export,
    OpKind::Register,
    OpKind::Return,
    OpKind::Wait,
    OpKind::Send,
    OpKind::Recv,
    OpKind::Import,
    OpKind::Close,
    OpKind::Return,
    OpKind::Wait,
    OpKind::Send,
    OpKind::Shutdown,
    OpKind::Flush,
    OpKind::Exit,
    OpKind::Clone,
    OpKind::Recv,
    OpKind::AddArea,
    OpKind::Register,
    OpKind::Return,
    OpKind::Wait,
    OpKind::Send,
    OpKind::Clone,
    OpKind::Arm,
    OpKind::Mmap,
    OpKind::Return,
    OpKind::Wait,
    OpKind::Send,
    OpKind::Close,
    OpKind::Unregister,
];

/// A completion whose buffer the application may return.
#[derive(Clone, Copy, Debug)]
struct ReturnableCompletion {
    cqe: VarId,
    origin: VarId,
}

/// The state of the application.
#[derive(Clone, Debug)]
pub struct App {
    /// The test so far. Its results are numbered in the order of decoding.
    pub test: Test,
    spec: Spec,
    /// For each result, the ring of its step and the `register` step of its ifq.
    results: Vec<(Option<RingId>, Option<VarId>)>,
    /// For each ring, the `register` steps of the ifqs that it receives from.
    sources: Vec<BTreeSet<VarId>>,
    held: Vec<ReturnableCompletion>,
    recvs_of_ring: Vec<usize>,
    areas: usize,
}

impl App {
    /// The initial state. `test` has rings, sockets, queues and threads, and no steps.
    #[must_use]
    pub fn new(test: Test) -> Self {
        let revision = test.revisions[0];
        App {
            spec: Spec::new(&test, revision),
            results: Vec::new(),
            sources: vec![BTreeSet::new(); test.rings.len()],
            held: Vec::new(),
            recvs_of_ring: vec![0; test.rings.len()],
            areas: 0,
            test,
        }
    }

    /// Appends the operation that the bytes choose, or the next one in the list that applies. `None`:
    /// no operation applies.
    pub fn next(&mut self, section: Section, bytes: OpBytes) -> Option<()> {
        let mut choices = Choices::new(bytes);
        // One kind also chooses operations that will probably fail.
        let unlikely = choices.kind() == UNLIKELY;
        let first = if unlikely { choices.below(OP_KINDS.len()) } else { choices.kind() };
        let (op, mut rest, spec) = (0..OP_KINDS.len()).find_map(|more| {
            let kind = OP_KINDS[(first + more) % OP_KINDS.len()];
            if more > 0 && kind.ends_something() {
                return None;
            }
            let mut rest = choices;
            let op = self.propose(kind, unlikely, &mut rest)?;
            let op = if unlikely { with_modifier(op, &mut rest) } else { op };
            let mut spec = self.spec.clone();
            let result = spec.step(&op, Some(self.results.len() as VarId));
            (unlikely || result >= 0).then_some((op, rest, spec))
        })?;
        self.spec = spec;
        let thread = self.thread(&op, &mut rest);
        let step = self.step(op, &mut rest);
        match section {
            Section::Setup => self.test.setup.push(step),
            Section::Threads => self.test.threads[thread].steps.push(step),
            Section::Finally => self.test.finally.push(step),
        }
        Some(())
    }

    /// The thread of an operation. All operations of a ring belong to one thread, except its exit.
    fn thread(&self, op: &Op, choices: &mut Choices) -> usize {
        let threads = self.test.threads.len();
        match op.ring().filter(|_| !matches!(op, Op::Exit { .. })) {
            Some(ring) => usize::from(ring) % threads,
            None => choices.below(threads),
        }
    }

    fn propose(&self, kind: OpKind, unlikely: bool, choices: &mut Choices) -> Option<Op> {
        let op = match kind {
            OpKind::Register => self.register(unlikely, choices)?,
            OpKind::Import => Op::Import {
                ring: self.ring(unlikely, choices)?,
                fd: self.descriptor(unlikely, choices)?,
                modifiers: ArgModifiers::NONE,
            },
            OpKind::Export => {
                let (ring, ifq) = self.ifq(unlikely, choices)?;
                Op::Export { ring, ifq, modifiers: ArgModifiers::NONE }
            }
            OpKind::Recv => self.recv(unlikely, choices)?,
            OpKind::Send => {
                let len = choices.one_of(&SENDS)?;
                let socket = self.awaited_socket(choices)?;
                let on_queue = self.test.sockets[usize::from(socket)].queue.is_some();
                let layout = match choices.below(8) {
                    6 if on_queue && (2..=8192).contains(&len) => Layout::Frags(2),
                    7 if on_queue && (2..=4096).contains(&len) => Layout::Packets(2),
                    _ => Layout::Pages,
                };
                Op::Send { socket, len, layout }
            }
            OpKind::Wait => Op::Wait { ring: self.receiving_ring(choices)? },
            OpKind::Return => self.return_buffer(unlikely, choices)?,
            OpKind::Flush => {
                let (ring, ifq) = self.ifq(unlikely, choices)?;
                Op::Flush { ring, ifq, modifiers: ArgModifiers::NONE }
            }
            OpKind::Clone => {
                let (from, ifq) = self.ifq(unlikely, choices)?;
                Op::Clone {
                    ring: self.ring(unlikely, choices)?,
                    from,
                    ifq,
                    modifiers: ArgModifiers::NONE,
                }
            }
            OpKind::AddArea if self.areas == MAX_AREAS => return None,
            OpKind::AddArea => {
                let (ring, ifq) = self.ifq(unlikely, choices)?;
                Op::AddArea {
                    ring,
                    ifq,
                    buffers: choices.one_of(&BUFFERS)?,
                    modifiers: ArgModifiers::NONE,
                }
            }
            OpKind::Arm => {
                let (ring, ifq) = self.ifq(unlikely, choices)?;
                Op::Arm {
                    ring,
                    ifq,
                    event: choices.one_of(Event::ALL)?,
                    modifiers: ArgModifiers::NONE,
                }
            }
            OpKind::Mmap => {
                let (ring, ifq) = self.ifq(unlikely, choices)?;
                Op::Mmap { ring, ifq }
            }
            OpKind::Unregister if self.test.queues == 0 => return None,
            OpKind::Unregister => match choices.below(16) {
                0 => Op::UnregisterNetdev,
                1 => Op::NetdevDown,
                2 => Op::NetdevUp,
                3 => Op::RestartQueue { queue: choices.below(self.test.queues as usize) as u32 },
                _ => return None,
            },
            OpKind::Close => Op::Close { fd: self.descriptor(unlikely, choices)? },
            // Choose these seldom, so that many operations come before.
            OpKind::Exit | OpKind::Shutdown if choices.below(2) == 1 => return None,
            OpKind::Exit => Op::Exit { ring: self.ring(unlikely, choices)? },
            OpKind::Shutdown => {
                let socket = choices.one_from(self.sockets(|s| !self.spec.shut_down(s)))?;
                match choices.below(8) {
                    1 => Op::Reset { socket },
                    2 => Op::CloseSocket { socket },
                    3 => Op::CancelSocket { ring: self.receiving_ring(choices)?, socket },
                    4 => Op::CancelAll { ring: self.receiving_ring(choices)? },
                    _ => Op::Shutdown { socket },
                }
            }
        };
        Some(op)
    }

    fn register(&self, unlikely: bool, choices: &mut Choices) -> Option<Op> {
        if self.areas == MAX_AREAS {
            return None;
        }
        let ring = self.ring(unlikely, choices)?;
        let source = match choices.below(1 + self.test.queues as usize) {
            0 => Source::Nodev,
            n => Source::Queue(n as u32 - 1),
        };
        let buffers = choices.one_of(&BUFFERS)?;
        let entries = if unlikely { 0 } else { choices.one_of(&ENTRIES)? };
        let modifiers = match choices.below(8) {
            6 => ArgModifiers::NONE.and(ArgModifier::KernelRegion),
            7 => ArgModifiers::NONE.and(ArgModifier::Events),
            _ => ArgModifiers::NONE,
        };
        Some(Op::Register { ring, source, buffers, entries, modifiers })
    }

    fn recv(&self, unlikely: bool, choices: &mut Choices) -> Option<Op> {
        let (ring, ifq) = self.ifq(unlikely, choices)?;
        let idle = |s| self.spec.waiters(s) == 0;
        let any = unlikely || self.sockets(idle).next().is_none();
        let socket = choices.one_from(self.sockets(|s| any || idle(s)))?;
        Some(Op::Recv {
            ring,
            ifq,
            socket,
            len: choices.one_of(&LIMITS)?,
            modifiers: ArgModifiers::NONE,
        })
    }

    fn return_buffer(&self, unlikely: bool, choices: &mut Choices) -> Option<Op> {
        let held = self.held.iter().copied().filter(|h| unlikely || self.spec.holds(h.cqe));
        let ReturnableCompletion { cqe, origin } = choices.one_from(held)?;
        let ifqs = self.vars(VarKind::Ifq, |ifq| self.origin(ifq) == Some(origin));
        Some(Op::Return { cqe, ifq: choices.one_from(ifqs)?, locked: true, checked: true })
    }

    /// Makes a step with a result. A step that ends something may have to wait for the previous
    /// step.
    fn step(&mut self, op: Op, choices: &mut Choices) -> Step {
        let ends = matches!(
            op,
            Op::Exit { .. }
                | Op::Close { .. }
                | Op::Shutdown { .. }
                | Op::Reset { .. }
                | Op::CloseSocket { .. }
        );
        let last = self.results.len().checked_sub(1).filter(|_| ends && choices.below(2) == 1);
        let var = self.results.len() as VarId;
        let kind = op.yields();
        self.remember(&op, var);
        self.test.vars.push(numbered(kind, usize::from(var)));
        Step { op, bind: Some(var), after: last.map(|last| last as VarId).into_iter().collect() }
    }

    fn remember(&mut self, op: &Op, var: VarId) {
        let mut origin = None;
        match *op {
            Op::Register { .. } => {
                origin = Some(var);
                self.areas += 1;
            }
            Op::AddArea { .. } => self.areas += 1,
            Op::Import { fd: from, .. }
            | Op::Export { ifq: from, .. }
            | Op::Clone { ifq: from, .. } => {
                origin = self.origin(from);
            }
            Op::Recv { ring, ifq, .. } => {
                let source = self.origin(ifq);
                self.sources[usize::from(ring)].extend(source);
                self.recvs_of_ring[usize::from(ring)] += 1;
            }
            Op::Wait { ring } => {
                let sources = &self.sources[usize::from(ring)];
                if let (1, Some(&origin)) = (sources.len(), sources.first()) {
                    self.held.push(ReturnableCompletion { cqe: var, origin });
                }
            }
            Op::Return { cqe, .. } => self.held.retain(|held| held.cqe != cqe),
            _ => {}
        }
        self.results.push((op.ring(), origin));
    }

    fn origin(&self, var: VarId) -> Option<VarId> {
        self.results[usize::from(var)].1
    }

    fn vars<F>(&self, kind: VarKind, good: F) -> impl Iterator<Item = VarId> + Clone
    where
        F: Fn(VarId) -> bool + Clone,
    {
        let vars = (0..).zip(&self.test.vars).filter(move |(_, v)| v.kind == kind);
        vars.map(|(id, _)| id).filter(move |id| good(*id))
    }

    fn rings<F>(&self, good: F) -> impl Iterator<Item = RingId> + Clone
    where
        F: Fn(RingId) -> bool + Clone,
    {
        (0..self.test.rings.len() as RingId).filter(move |ring| good(*ring))
    }

    fn sockets<F>(&self, good: F) -> impl Iterator<Item = SocketId> + Clone
    where
        F: Fn(SocketId) -> bool + Clone,
    {
        (0..self.test.sockets.len() as SocketId).filter(move |socket| good(*socket))
    }

    fn ring(&self, unlikely: bool, choices: &mut Choices) -> Option<RingId> {
        choices.one_from(self.rings(|ring| unlikely || self.spec.ring_open(ring)))
    }

    fn receiving_ring(&self, choices: &mut Choices) -> Option<RingId> {
        choices.one_from(self.rings(|ring| self.recvs_of_ring[usize::from(ring)] > 0))
    }

    /// A socket, preferably one with a waiting request.
    fn awaited_socket(&self, choices: &mut Choices) -> Option<SocketId> {
        let read = |s| self.spec.waiters(s) > 0;
        let any = self.sockets(read).next().is_none();
        choices.one_from(self.sockets(|s| any || read(s)))
    }

    fn descriptor(&self, unlikely: bool, choices: &mut Choices) -> Option<VarId> {
        choices.one_from(self.vars(VarKind::Fd, |fd| unlikely || self.spec.fd_open(fd)))
    }

    /// An ifq and the ring in which its id is valid.
    fn ifq(&self, unlikely: bool, choices: &mut Choices) -> Option<(RingId, VarId)> {
        let ring = |ifq: VarId| self.results[usize::from(ifq)].0;
        let open = |ifq| ring(ifq).is_some_and(|r| self.spec.ring_open(r));
        let ifqs = self.vars(VarKind::Ifq, |ifq| unlikely || (open(ifq) && self.spec.in_use(ifq)));
        let ifq = choices.one_from(ifqs)?;
        Some((ring(ifq)?, ifq))
    }
}

/// Adds a modifier to the argument of an operation, if the operation has an argument.
fn with_modifier(mut op: Op, choices: &mut Choices) -> Op {
    if choices.below(2) == 0 {
        return op;
    }
    let fitting: Vec<ArgModifier> =
        ArgModifier::ALL.iter().copied().filter(|modifier| modifier.fits(op.verb())).collect();
    let modifier: ArgModifiers = choices.one_of(&fitting).into_iter().collect();
    if let Some(modifiers) = op.modifiers_mut() {
        *modifiers = modifier;
    }
    op
}
