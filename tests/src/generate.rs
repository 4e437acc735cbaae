//! Tests made up from bytes, for property tests.
//!
//! A sequence is a list of [`Word`]s; each is read against the state that the words before it have
//! left, as [`ifq_model::spec`] has it, so that nearly every operation applies, and some are wrong on
//! purpose: a descriptor that is closed, a ring that is gone, entries that no kernel takes, a buffer
//! that was given back before. Zero bytes are the tamest choice, so that shrinking bytes shrinks the
//! sequence's meaning.

mod threads;

use std::collections::BTreeMap;

use ifq_model::net::sock::MAX_WAITERS;
use ifq_model::revision::Revision;
use ifq_model::scenario::{
    Expect, Op, RingId, Socket, SocketId, Source, Step, Test, Var, VarId, VarKind,
};
use ifq_model::spec::Spec;
use proptest::prelude::*;

pub use threads::{Threads, concurrent, threads};

/// One operation, undecoded.
pub type Word = [u8; 5];

/// What there is before the first operation.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Number of rings.
    pub rings: u8,
    /// For each socket the device queue that its packets arrive on, if any.
    pub sockets: Vec<Option<u32>>,
    /// Receive queues of the device.
    pub queues: u32,
}

/// One to three rings and sockets, with and without a device.
pub fn shape() -> impl Strategy<Value = Shape> {
    (1..=3_u8, 0..=2_u32).prop_flat_map(|(rings, queues)| {
        let queue = prop::option::of(0..queues.max(1)).prop_map(move |q| q.filter(|_| queues > 0));
        prop::collection::vec(queue, 1..=3).prop_map(move |sockets| Shape {
            rings,
            sockets,
            queues,
        })
    })
}

/// Up to `max` operations.
pub fn words(max: usize) -> impl Strategy<Value = Vec<Word>> {
    prop::collection::vec(any::<Word>(), 0..=max)
}

/// A valid test that does the operations one after the other, in `finally`, where the background
/// comes to rest after each. All results are observed.
#[must_use]
pub fn sequence(shape: &Shape, words: &[Word]) -> Test {
    let mut maker = Maker::new(shape);
    for word in words {
        if let Some(step) = maker.next(word) {
            maker.test.finally.push(step);
        }
    }
    maker.finish()
}

/// Makes steps one by one.
pub(crate) struct Maker {
    pub(crate) test: Test,
    pub(crate) spec: Spec,
    /// The ring of the step that binds each result.
    pub(crate) owners: Vec<Option<RingId>>,
    registered: usize,
    /// What a well-behaved application keeps to; `None`: it does as it likes, one thing at a time.
    pub(crate) manners: Option<Manners>,
}

/// How an application avoids to give back what it does not hold, whatever becomes of its
/// operations: all requests of a ring receive into one ifq, and each buffer goes back there once.
#[derive(Debug, Default)]
pub(crate) struct Manners {
    pub(crate) sources: BTreeMap<RingId, VarId>,
    pub(crate) returned: Vec<VarId>,
}

impl Manners {
    fn allow(&mut self, op: &Op, test: &Test, owners: &[Option<RingId>]) -> bool {
        match *op {
            Op::Recv { ring, ifq, .. } => {
                let origin = test.origin(ifq);
                origin.is_some_and(|o| *self.sources.entry(ring).or_insert(o) == o)
            }
            Op::Return { cqe, ifq, .. } => {
                let source = owners[usize::from(cqe)].and_then(|ring| self.sources.get(&ring));
                let fine = source.copied() == test.origin(ifq) && !self.returned.contains(&cqe);
                self.returned.push(cqe);
                fine
            }
            _ => true,
        }
    }
}

/// What a word can become.
#[derive(Clone, Copy)]
enum Kind {
    Send,
    Recv,
    Wait,
    Return,
    Register,
    Import,
    Export,
    Flush,
    Close,
    Exit,
    Shutdown,
}

/// Memory for an area and a ring is made for each.
const MAX_REGISTERED: usize = 20;

impl Maker {
    pub(crate) fn new(shape: &Shape) -> Self {
        let sockets = (0..).zip(&shape.sockets);
        let sockets: Vec<Socket> = sockets
            .map(|(i, queue): (usize, _)| Socket { name: format!("s{i}"), queue: *queue })
            .collect();
        let revision = Revision::Import73;
        let rings = usize::from(shape.rings);
        Maker {
            spec: Spec::new(rings, &sockets, shape.queues, revision),
            test: Test {
                name: "generated".to_owned(),
                revisions: vec![revision],
                rings: (0..rings).map(|i| format!("R{i}")).collect(),
                sockets,
                queues: shape.queues,
                expect: vec![Expect { defects: Vec::new(), violates: None }],
                ..Test::default()
            },
            owners: Vec::new(),
            registered: 0,
            manners: None,
        }
    }

    pub(crate) fn finish(mut self) -> Test {
        self.test.observe = (0..self.test.vars.len() as VarId).collect();
        self.test
    }

    /// The step that a word says, done in the state; `None` if it is left out.
    pub(crate) fn next(&mut self, word: &Word) -> Option<Step> {
        let op = self.decode(&mut Draw::new(word))?;
        if !self.allows(&op) {
            return None;
        }
        let mut after = self.spec.clone();
        after.step(&op, Some(self.test.vars.len() as VarId));
        if self.differs(&op, &after) {
            return None;
        }
        self.spec = after;
        Some(self.bind(op))
    }

    /// Binds the result of an operation to a new name.
    pub(crate) fn bind(&mut self, op: Op) -> Step {
        let var = self.test.vars.len();
        let kind = op.yields();
        let prefix = match kind {
            VarKind::Ifq => "ifq",
            VarKind::Fd => "box",
            VarKind::Cqe => "c",
            VarKind::Status => "x",
        };
        self.registered += usize::from(matches!(op, Op::Register { .. }));
        self.test.vars.push(Var { name: format!("{prefix}{var}"), kind });
        self.owners.push(op.ring());
        Step { op, bind: Some(var as VarId), after: Vec::new() }
    }

    pub(crate) fn allows(&mut self, op: &Op) -> bool {
        self.manners.as_mut().is_none_or(|m| m.allow(op, &self.test, &self.owners))
    }

    /// Whether an operation leads where the model, by its own words or by its bounds, is not to be
    /// compared with a kernel. `after`: the state then.
    fn differs(&self, op: &Op, after: &Spec) -> bool {
        // An application that gives back what it still holds may see anything in its buffers.
        let mut end = after.clone();
        end.close_all();
        if after.misused() || end.overrun() {
            return true;
        }
        match *op {
            // On the whole of a socket there is room for so many.
            Op::Recv { socket, .. } => after.waiters(socket) > MAX_WAITERS,
            _ => false,
        }
    }

    /// What comes into question, the likelier the more often.
    fn kinds(&self) -> Vec<Kind> {
        let any = |kind, good: &dyn Fn(VarId) -> bool| {
            let vars = self.vars(kind);
            (!vars.is_empty(), vars.into_iter().any(good))
        };
        let (ifq, good_ifq) = any(VarKind::Ifq, &|v| self.good_ifq(v));
        let (fd, good_fd) = any(VarKind::Fd, &|v| self.spec.fd_open(v));
        let (cqe, held) = any(VarKind::Cqe, &|v| self.spec.holds(v));
        let rings = || 0..self.test.rings.len() as RingId;
        let ready = rings().any(|r| self.spec.ready(r));
        let open = rings().filter(|r| self.spec.ring_open(*r)).count();
        let register = self.registered < MAX_REGISTERED;
        // What ends things comes late, so that there is time for the rest.
        let late = self.test.vars.len() >= 30;
        let streams = (0..self.test.sockets.len() as SocketId).filter(|s| !self.spec.shut_down(*s));
        let shutdown = late || streams.count() > 1;
        let often = [
            (Kind::Send, if good_ifq { 6 } else { 1 }),
            (Kind::Wait, if ready { 7 } else { 1 }),
            (Kind::Return, if held { 6 } else { u8::from(cqe && ifq) }),
            (Kind::Recv, if good_ifq { 5 } else { u8::from(ifq) }),
            (Kind::Register, if good_ifq || open == 0 { 2 } else { 6 } * u8::from(register)),
            (Kind::Import, if good_fd { 3 } else { u8::from(fd) }),
            (Kind::Export, if good_ifq { 3 } else { u8::from(ifq) }),
            (Kind::Flush, if good_ifq { 2 } else { u8::from(ifq) }),
            (Kind::Close, u8::from(fd)),
            (Kind::Exit, u8::from(ifq && (late || open > 1))),
            (Kind::Shutdown, u8::from(ifq && shutdown)),
        ];
        often.into_iter().flat_map(|(kind, n)| (0..n).map(move |_| kind)).collect()
    }

    fn decode(&self, draw: &mut Draw<'_>) -> Option<Op> {
        let op = match draw.one_of(&self.kinds())? {
            Kind::Send => Op::Send { socket: self.socket(draw), len: draw.bytes() },
            Kind::Shutdown => Op::Shutdown { socket: self.socket(draw) },
            Kind::Wait => Op::Wait { ring: self.ring(draw, |r| self.spec.ready(r)) },
            Kind::Exit => Op::Exit { ring: self.ring(draw, |r| self.spec.ring_open(r)) },
            Kind::Register => Op::Register {
                ring: self.ring(draw, |r| self.spec.ring_open(r)),
                source: self.source(draw),
                buffers: draw.buffers(),
                entries: draw.entries(),
            },
            Kind::Import => {
                Op::Import { ring: self.ring(draw, |r| self.spec.ring_open(r)), fd: self.fd(draw)? }
            }
            Kind::Close => Op::Close { fd: self.fd(draw)? },
            Kind::Export => {
                let (ring, ifq) = self.ifq(draw)?;
                Op::Export { ring, ifq }
            }
            Kind::Flush => {
                let (ring, ifq) = self.ifq(draw)?;
                Op::Flush { ring, ifq }
            }
            Kind::Recv => {
                let (ring, ifq) = self.ifq(draw)?;
                let socket = self.socket(draw);
                let len = draw.one_of(&[0, 0, 0, 100, 4096, 6000])?;
                Op::Recv { ring, ifq, socket, len }
            }
            Kind::Return => {
                let cqe = draw.prefer(&self.vars(VarKind::Cqe), |c| self.spec.holds(c))?;
                let ifqs = self.vars(VarKind::Ifq);
                let ifq = draw.prefer(&ifqs, |ifq| self.spec.belongs(cqe, ifq))?;
                Op::Return { cqe, ifq, locked: draw.below(2) == 0 }
            }
        };
        Some(op)
    }

    pub(crate) fn vars(&self, kind: VarKind) -> Vec<VarId> {
        let vars = (0..).zip(&self.test.vars);
        vars.filter(|(_, v)| v.kind == kind).map(|(id, _)| id).collect()
    }

    fn ring(&self, draw: &mut Draw<'_>, good: impl Fn(RingId) -> bool) -> RingId {
        let all: Vec<RingId> = (0..self.test.rings.len() as RingId).collect();
        draw.prefer(&all, good).unwrap_or(0)
    }

    fn socket(&self, draw: &mut Draw<'_>) -> SocketId {
        let all: Vec<SocketId> = (0..self.test.sockets.len() as SocketId).collect();
        draw.prefer(&all, |s| !self.spec.shut_down(s)).unwrap_or(0)
    }

    pub(crate) fn source(&self, draw: &mut Draw<'_>) -> Source {
        match draw.below(1 + 2 * self.test.queues) {
            0 => Source::Nodev,
            n => Source::Queue((n - 1) % self.test.queues),
        }
    }

    fn fd(&self, draw: &mut Draw<'_>) -> Option<VarId> {
        draw.prefer(&self.vars(VarKind::Fd), |fd| self.spec.fd_open(fd))
    }

    fn good_ifq(&self, ifq: VarId) -> bool {
        let ring = self.owners[usize::from(ifq)];
        ring.is_some_and(|ring| self.spec.ring_open(ring)) && self.spec.in_use(ifq)
    }

    /// An ifq and the ring that it means something in.
    fn ifq(&self, draw: &mut Draw<'_>) -> Option<(RingId, VarId)> {
        let ifq = draw.prefer(&self.vars(VarKind::Ifq), |ifq| self.good_ifq(ifq))?;
        Some((self.owners[usize::from(ifq)]?, ifq))
    }
}

/// The choices of one word.
pub(crate) struct Draw<'w>(std::slice::Iter<'w, u8>);

impl<'w> Draw<'w> {
    pub(crate) fn new(word: &'w Word) -> Self {
        Draw(word.iter())
    }

    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    pub(crate) fn below(&mut self, n: u32) -> u32 {
        u32::from(self.byte()) % n
    }

    pub(crate) fn one_of<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        let byte = usize::from(self.byte());
        from.get(byte % from.len().max(1)).copied()
    }

    /// Seven times out of eight one of the good ones, if there is one.
    pub(crate) fn prefer<T: Copy>(&mut self, all: &[T], good: impl Fn(T) -> bool) -> Option<T> {
        let byte = usize::from(self.byte());
        let chosen: Vec<T> = all.iter().copied().filter(|x| good(*x)).collect();
        let from = if chosen.is_empty() || byte & 7 == 7 { all } else { &chosen };
        from.get((byte >> 3) % from.len().max(1)).copied()
    }

    /// Buffers of an area: now and then so many that they are not what is short.
    fn buffers(&mut self) -> u32 {
        match self.byte() {
            byte @ 0..160 => 1 + u32::from(byte) % 12,
            _ => 64,
        }
    }

    /// Bytes to send: within a buffer, on its edge, over several.
    pub(crate) fn bytes(&mut self) -> u32 {
        [128, 4096, 5000, 1, 65536, 8192][self.below(6) as usize]
    }

    /// Entries of a refill ring, now and then such as no kernel takes.
    pub(crate) fn entries(&mut self) -> u32 {
        match self.byte() {
            253 => 32768,
            254 => 32769,
            255 | 251 | 247 => 0,
            byte => [4, 1, 2, 3, 8, 16][usize::from(byte) % 6],
        }
    }
}
