//! An application that keeps its side of the contract, one operation at a time.
//!
//! It knows what the sequential specification says of the operations so far. Threads do them in
//! another order than they were decoded in, so this is a guess and steers the choice only; that each
//! result is of the right kind and bound before it is used follows from the order of decoding.
//!
//! What the application must not do, whatever the kernel answers:
//!
//! * give a buffer back twice, or to an ifq that it did not come from. A completion is returned at
//!   most once, and only if all receives of its ring before it were from one ifq;
//! * produce into a refill ring without the lock that its producers share;
//! * scribble into one.
//!
//! It may give a buffer back when all users of its ifq are gone, which is a write into its own
//! memory: nobody writes into the area then.

use std::collections::BTreeSet;

use ifq_model::spec::Spec;
use ifq_model::test::arg_modifier::{ArgModifier, ArgModifiers};
use ifq_model::test::{Event, Op, RingId, SocketId, Source, Step, Test, VarId, VarKind};
use ifq_sim::generate::numbered;

use crate::draw::{Draw, Word};

/// Receives from one socket: room for all that wait, so that no bound of the model is met.
pub const MAX_RECVS: usize = 8;
/// Completions of one ring that come whether there is room for them or not: the last one of each
/// receive, and the notifications.
pub const MAX_LATE: usize = 8;
/// How many notifications an ifq sends that asks for both events.
const EVENTS: usize = 2;
/// Areas in a test: each has memory of its own.
pub const MAX_AREAS: usize = 6;
/// Most buffers in an area.
pub const MAX_BUFFERS: u32 = 8;

const BUFFERS: [u32; 4] = [1, 2, 4, MAX_BUFFERS];
const ENTRIES: [u32; 4] = [1, 2, 4, 8];
const SENDS: [u32; 8] = [128, 100, 10, 256, 4096, 8192, 5000, 12000];
const LIMITS: [u32; 4] = [0, 128, 4096, 0];

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// [`Test::setup`].
    Setup,
    /// [`Test::threads`].
    Threads,
    /// [`Test::finally`].
    Finally,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
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

impl Kind {
    /// After it fewer operations apply.
    fn ends(self) -> bool {
        matches!(self, Kind::Close | Kind::Exit | Kind::Shutdown | Kind::Unregister)
    }
}

/// This [`Draw::kind`] does what will probably fail.
const WILD: usize = Draw::KINDS - 1;
/// By [`Draw::kind`]; what does not apply is replaced by the next one that builds something up.
const KINDS: [Kind; WILD] = [
    Kind::Recv,
    Kind::Import,
    Kind::Export,
    Kind::Register,
    Kind::Return,
    Kind::Wait,
    Kind::Send,
    Kind::Recv,
    Kind::Import,
    Kind::Close,
    Kind::Return,
    Kind::Wait,
    Kind::Send,
    Kind::Shutdown,
    Kind::Flush,
    Kind::Exit,
    Kind::Clone,
    Kind::Recv,
    Kind::AddArea,
    Kind::Register,
    Kind::Return,
    Kind::Wait,
    Kind::Send,
    Kind::Clone,
    Kind::Arm,
    Kind::Mmap,
    Kind::Return,
    Kind::Wait,
    Kind::Send,
    Kind::Close,
    Kind::Unregister,
];

/// A completion whose buffer may be given back.
#[derive(Clone, Copy, Debug)]
struct Held {
    cqe: VarId,
    origin: VarId,
}

/// What the application knows.
#[derive(Clone, Debug)]
pub struct App {
    /// The test so far; its results are numbered in the order of decoding.
    pub test: Test,
    spec: Spec,
    /// For each result the ring of its step and the `register` step it goes back to.
    bound: Vec<(Option<RingId>, Option<VarId>)>,
    /// For each ring the ifqs that it receives from, as their `register` steps.
    sources: Vec<BTreeSet<VarId>>,
    held: Vec<Held>,
    recvs_of_ring: Vec<usize>,
    late_of_ring: Vec<usize>,
    recvs_of_socket: Vec<usize>,
    areas: usize,
}

impl App {
    /// Nothing has been done. `test` has rings, sockets, queues and threads, and no steps.
    #[must_use]
    pub fn new(test: Test) -> Self {
        let revision = test.revisions[0];
        App {
            spec: Spec::new(&test, revision),
            bound: Vec::new(),
            sources: vec![BTreeSet::new(); test.rings.len()],
            held: Vec::new(),
            recvs_of_ring: vec![0; test.rings.len()],
            late_of_ring: vec![0; test.rings.len()],
            recvs_of_socket: vec![0; test.sockets.len()],
            areas: 0,
            test,
        }
    }

    /// Does the operation that a word says, or the next one in the list that applies. `None`: no
    /// operation applies.
    pub fn next(&mut self, part: Part, word: Word) -> Option<()> {
        let mut draw = Draw::new(word);
        // Now and then what will probably fail is done all the same.
        let wild = draw.kind() == WILD;
        let first = if wild { draw.below(KINDS.len()) } else { draw.kind() };
        let (op, mut rest, spec) = (0..KINDS.len()).find_map(|more| {
            let kind = KINDS[(first + more) % KINDS.len()];
            if more > 0 && kind.ends() {
                return None;
            }
            let mut rest = draw;
            let op = self.propose(kind, wild, &mut rest)?;
            let op = if wild { unusual(op, &mut rest) } else { op };
            let mut spec = self.spec.clone();
            let result = spec.step(&op, Some(self.bound.len() as VarId));
            (wild || result >= 0).then_some((op, rest, spec))
        })?;
        self.spec = spec;
        let thread = self.thread(&op, &mut rest);
        let step = self.step(op, &mut rest);
        match part {
            Part::Setup => self.test.setup.push(step),
            Part::Threads => self.test.threads[thread].steps.push(step),
            Part::Finally => self.test.finally.push(step),
        }
        Some(())
    }

    /// The thread that does an operation. A ring has one that drives it.
    fn thread(&self, op: &Op, draw: &mut Draw) -> usize {
        let threads = self.test.threads.len();
        match op.ring().filter(|_| !matches!(op, Op::Exit { .. })) {
            Some(ring) => usize::from(ring) % threads,
            None => draw.below(threads),
        }
    }

    fn propose(&self, kind: Kind, wild: bool, draw: &mut Draw) -> Option<Op> {
        let op = match kind {
            Kind::Register => self.register(wild, draw)?,
            Kind::Import => Op::Import {
                ring: self.ring(wild, draw)?,
                fd: self.descriptor(wild, draw)?,
                modifiers: ArgModifiers::NONE,
            },
            Kind::Export => {
                let (ring, ifq) = self.ifq(wild, draw)?;
                Op::Export { ring, ifq, modifiers: ArgModifiers::NONE }
            }
            Kind::Recv => self.recv(wild, draw)?,
            Kind::Send => {
                let len = draw.one_of(&SENDS)?;
                Op::Send { socket: self.read_socket(draw)?, len }
            }
            Kind::Wait => Op::Wait { ring: self.receiving_ring(draw)? },
            Kind::Return => self.give_back(wild, draw)?,
            Kind::Flush => {
                let (ring, ifq) = self.ifq(wild, draw)?;
                Op::Flush { ring, ifq, modifiers: ArgModifiers::NONE }
            }
            Kind::Clone => {
                let (from, ifq) = self.ifq(wild, draw)?;
                Op::Clone { ring: self.ring(wild, draw)?, from, ifq, modifiers: ArgModifiers::NONE }
            }
            Kind::AddArea if self.areas == MAX_AREAS => return None,
            Kind::AddArea => {
                let (ring, ifq) = self.ifq(wild, draw)?;
                Op::AddArea {
                    ring,
                    ifq,
                    buffers: draw.one_of(&BUFFERS)?,
                    modifiers: ArgModifiers::NONE,
                }
            }
            Kind::Arm => {
                let (ring, ifq) = self.ifq(wild, draw)?;
                let told = self.registrant(ifq)?;
                if !self.has_room(told, 1) {
                    return None;
                }
                Op::Arm {
                    ring,
                    ifq,
                    event: draw.one_of(Event::ALL)?,
                    modifiers: ArgModifiers::NONE,
                }
            }
            Kind::Mmap => {
                let (ring, ifq) = self.ifq(wild, draw)?;
                Op::Mmap { ring, ifq }
            }
            Kind::Unregister if self.test.queues == 0 || draw.below(4) > 0 => return None,
            Kind::Unregister => Op::UnregisterNetdev,
            Kind::Close => Op::Close { fd: self.descriptor(wild, draw)? },
            // Seldom, so that much happens before.
            Kind::Exit | Kind::Shutdown if draw.below(2) == 1 => return None,
            Kind::Exit => Op::Exit { ring: self.ring(wild, draw)? },
            Kind::Shutdown => {
                Op::Shutdown { socket: draw.one_of(&self.sockets(|s| !self.spec.shut_down(s)))? }
            }
        };
        Some(op)
    }

    fn register(&self, wild: bool, draw: &mut Draw) -> Option<Op> {
        if self.areas == MAX_AREAS {
            return None;
        }
        let ring = self.ring(wild, draw)?;
        let source = match draw.below(1 + self.test.queues as usize) {
            0 => Source::Nodev,
            n => Source::Queue(n as u32 - 1),
        };
        let buffers = draw.one_of(&BUFFERS)?;
        let entries = if wild { 0 } else { draw.one_of(&ENTRIES)? };
        let modifiers = match draw.below(8) {
            6 => ArgModifiers::NONE.and(ArgModifier::KernelRegion),
            7 if self.has_room(ring, EVENTS) => ArgModifiers::NONE.and(ArgModifier::Events),
            _ => ArgModifiers::NONE,
        };
        Some(Op::Register { ring, source, buffers, entries, modifiers })
    }

    fn recv(&self, wild: bool, draw: &mut Draw) -> Option<Op> {
        let (ring, ifq) = self.ifq(wild, draw)?;
        if !self.has_room(ring, 1) {
            return None;
        }
        let room = |s| self.recvs_of_socket[usize::from(s)] < MAX_RECVS;
        let idle = self.sockets(|s| room(s) && self.spec.waiters(s) == 0);
        let sockets = if idle.is_empty() || wild { self.sockets(room) } else { idle };
        let socket = draw.one_of(&sockets)?;
        Some(Op::Recv {
            ring,
            ifq,
            socket,
            len: draw.one_of(&LIMITS)?,
            modifiers: ArgModifiers::NONE,
        })
    }

    fn give_back(&self, wild: bool, draw: &mut Draw) -> Option<Op> {
        let held: Vec<Held> =
            self.held.iter().copied().filter(|h| wild || self.spec.holds(h.cqe)).collect();
        let Held { cqe, origin } = draw.one_of(&held)?;
        let ifqs = self.vars(VarKind::Ifq, |ifq| self.origin(ifq) == Some(origin));
        Some(Op::Return { cqe, ifq: draw.one_of(&ifqs)?, locked: true })
    }

    /// Binds the result, and makes a step that may have to wait of an operation that others may be
    /// surprised by.
    fn step(&mut self, op: Op, draw: &mut Draw) -> Step {
        let abrupt = matches!(op, Op::Exit { .. } | Op::Close { .. } | Op::Shutdown { .. });
        let last = self.bound.len().checked_sub(1).filter(|_| abrupt && draw.below(2) == 1);
        let var = self.bound.len() as VarId;
        let kind = op.yields();
        self.remember(&op, var);
        self.test.vars.push(numbered(kind, usize::from(var)));
        Step { op, bind: Some(var), after: last.map(|last| last as VarId).into_iter().collect() }
    }

    fn remember(&mut self, op: &Op, var: VarId) {
        let mut origin = None;
        match *op {
            Op::Register { ring, modifiers, .. } => {
                origin = Some(var);
                self.areas += 1;
                if modifiers.has(ArgModifier::Events) {
                    self.late_of_ring[usize::from(ring)] += EVENTS;
                }
            }
            Op::Arm { ifq, .. } => {
                if let Some(told) = self.registrant(ifq) {
                    self.late_of_ring[usize::from(told)] += 1;
                }
            }
            Op::AddArea { .. } => self.areas += 1,
            Op::Import { fd: from, .. }
            | Op::Export { ifq: from, .. }
            | Op::Clone { ifq: from, .. } => {
                origin = self.origin(from);
            }
            Op::Recv { ring, ifq, socket, .. } => {
                let source = self.origin(ifq);
                self.sources[usize::from(ring)].extend(source);
                self.recvs_of_ring[usize::from(ring)] += 1;
                self.late_of_ring[usize::from(ring)] += 1;
                self.recvs_of_socket[usize::from(socket)] += 1;
            }
            Op::Wait { ring } => {
                let sources = &self.sources[usize::from(ring)];
                if let (1, Some(&origin)) = (sources.len(), sources.first()) {
                    self.held.push(Held { cqe: var, origin });
                }
            }
            Op::Return { cqe, .. } => self.held.retain(|held| held.cqe != cqe),
            _ => {}
        }
        self.bound.push((op.ring(), origin));
    }

    fn origin(&self, var: VarId) -> Option<VarId> {
        self.bound[usize::from(var)].1
    }

    /// The ring that has registered an ifq, and is told of its events.
    fn registrant(&self, ifq: VarId) -> Option<RingId> {
        self.bound[usize::from(self.origin(ifq)?)].0
    }

    fn vars(&self, kind: VarKind, good: impl Fn(VarId) -> bool) -> Vec<VarId> {
        let vars = (0..).zip(&self.test.vars).filter(|(_, v)| v.kind == kind);
        vars.map(|(id, _)| id).filter(|id| good(*id)).collect()
    }

    fn rings(&self, good: impl Fn(RingId) -> bool) -> Vec<RingId> {
        (0..self.test.rings.len() as RingId).filter(|ring| good(*ring)).collect()
    }

    fn sockets(&self, good: impl Fn(SocketId) -> bool) -> Vec<SocketId> {
        (0..self.test.sockets.len() as SocketId).filter(|socket| good(*socket)).collect()
    }

    /// Whether a ring has room for so many more completions that cannot be held back.
    fn has_room(&self, ring: RingId, more: usize) -> bool {
        self.late_of_ring[usize::from(ring)] + more <= MAX_LATE
    }

    fn ring(&self, wild: bool, draw: &mut Draw) -> Option<RingId> {
        draw.one_of(&self.rings(|ring| wild || self.spec.ring_open(ring)))
    }

    fn receiving_ring(&self, draw: &mut Draw) -> Option<RingId> {
        draw.one_of(&self.rings(|ring| self.recvs_of_ring[usize::from(ring)] > 0))
    }

    /// A socket, if there is one that somebody waits for.
    fn read_socket(&self, draw: &mut Draw) -> Option<SocketId> {
        let read = self.sockets(|s| self.spec.waiters(s) > 0);
        if read.is_empty() { draw.one_of(&self.sockets(|_| true)) } else { draw.one_of(&read) }
    }

    fn descriptor(&self, wild: bool, draw: &mut Draw) -> Option<VarId> {
        draw.one_of(&self.vars(VarKind::Fd, |fd| wild || self.spec.fd_open(fd)))
    }

    /// An ifq and the ring that it means something in.
    fn ifq(&self, wild: bool, draw: &mut Draw) -> Option<(RingId, VarId)> {
        let ring = |ifq: VarId| self.bound[usize::from(ifq)].0;
        let open = |ifq| ring(ifq).is_some_and(|r| self.spec.ring_open(r));
        let ifqs = self.vars(VarKind::Ifq, |ifq| wild || (open(ifq) && self.spec.in_use(ifq)));
        let ifq = draw.one_of(&ifqs)?;
        Some((ring(ifq)?, ifq))
    }
}

/// The operation with something unusual in its argument, if it has an argument.
fn unusual(mut op: Op, draw: &mut Draw) -> Op {
    if draw.below(2) == 0 {
        return op;
    }
    let fitting: Vec<ArgModifier> =
        ArgModifier::ALL.iter().copied().filter(|modifier| modifier.fits(op.verb())).collect();
    let modifier: ArgModifiers = draw.one_of(&fitting).into_iter().collect();
    if let Some(modifiers) = op.modifiers_mut() {
        *modifiers = modifier;
    }
    op
}
