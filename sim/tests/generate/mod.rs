//! Valid tests from arbitrary bytes.

use ifq_model::fault::FaultPoint;
use ifq_model::invariant::Invariant;
use ifq_model::revision::{Defect, Revision};
use ifq_model::scenario::{
    Expect, Op, RingId, Schedule, Socket, SocketId, Source, Step, Test, Thread, Var, VarId,
    VarKind, limits,
};

/// Every choice is one byte; when there are no more, it is the first possibility.
struct Bytes<'b>(&'b [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> usize {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(first)
    }

    fn below(&mut self, n: usize) -> usize {
        self.byte() % n
    }

    fn number(&mut self) -> u32 {
        [0; 4].iter().fold(0, |n, _| n << 8 | self.byte() as u32)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.below(from.len())])
    }

    fn some<T: Copy>(&mut self, from: &[T]) -> Vec<T> {
        let mask = self.byte();
        (0..from.len()).filter(|i| mask >> i & 1 == 1).map(|i| from[i]).collect()
    }
}

/// Where a step goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    Setup,
    Thread(usize),
    Finally,
}

struct Maker<'b> {
    bytes: Bytes<'b>,
    test: Test,
    /// The ring of the step that binds each name.
    owners: Vec<Option<RingId>>,
}

/// A test that passes `validate`.
pub(crate) fn test(bytes: &[u8]) -> Test {
    let mut maker = Maker { bytes: Bytes(bytes), test: empty(), owners: Vec::new() };
    maker.header();
    maker.section(To::Setup);
    for _ in 0..maker.bytes.below(16) {
        if !maker.test.threads.is_empty() {
            let thread = maker.bytes.below(maker.test.threads.len());
            maker.step(To::Thread(thread));
        }
    }
    maker.section(To::Finally);
    maker.verdicts();
    ifq_sim::file::renumber(&mut maker.test);
    if maker.bytes.below(2) == 0 {
        // As it is when no line says otherwise.
        maker.test.observe = (0..maker.test.vars.len() as VarId).collect();
    }
    maker.test
}

fn empty() -> Test {
    Test { name: "generated-1".to_owned(), revisions: Revision::ALL.to_vec(), ..Test::default() }
}

impl Maker<'_> {
    fn header(&mut self) {
        let about = ["", "One sentence, no#comment.", "a:b=c@d", "Ünïcode, and  gaps"];
        let about = self.bytes.pick(&about).unwrap_or_default();
        let test = &mut self.test;
        test.about = about.to_owned();
        test.rings = (0..=self.bytes.below(4)).map(|i| format!("R{i}")).collect();
        test.queues = self.bytes.below(3) as u32;
        for i in 0..self.bytes.below(4) {
            let queue = (test.queues > 0 && self.bytes.below(2) == 1)
                .then(|| self.bytes.below(test.queues as usize) as u32);
            test.sockets.push(Socket { name: format!("s_{i}"), queue });
        }
        for i in 0..self.bytes.below(4) {
            test.threads.push(Thread { name: format!("t{i}"), steps: Vec::new() });
        }
    }

    fn section(&mut self, to: To) {
        for _ in 0..self.bytes.below(6) {
            self.step(to);
        }
    }

    /// The bound names of a kind, of any or one ring.
    fn vars(&self, kind: VarKind, ring: Option<RingId>) -> Vec<VarId> {
        let of = |i: usize| ring.is_none() || self.owners[i] == ring;
        let vars = self.test.vars.iter().enumerate();
        vars.filter(|(i, v)| v.kind == kind && of(*i)).map(|(i, _)| i as VarId).collect()
    }

    /// A ring that this section may drive: the rings are dealt out to the threads.
    fn ring(&mut self, to: To) -> Option<RingId> {
        let threads = self.test.threads.len();
        let rings: Vec<RingId> = (0..self.test.rings.len())
            .filter(|r| match to {
                To::Thread(t) => r % threads == t,
                To::Setup | To::Finally => true,
            })
            .map(|r| r as RingId)
            .collect();
        self.bytes.pick(&rings)
    }

    fn op(&mut self, to: To) -> Option<Op> {
        let verb = self.bytes.below(11);
        let sockets: Vec<SocketId> = (0..self.test.sockets.len() as SocketId).collect();
        let ring = self.ring(to);
        let ifqs = self.vars(VarKind::Ifq, ring);
        let fds = self.vars(VarKind::Fd, None);
        Some(match verb {
            0 => {
                let device = self.test.queues > 0 && self.bytes.below(2) == 1;
                let source = if device {
                    Source::Queue(self.bytes.below(self.test.queues as usize) as u32)
                } else {
                    Source::Nodev
                };
                let buffers = 1 + self.bytes.number() % limits::BUFFERS;
                let entries = self.bytes.number() % (limits::ENTRIES + 1);
                Op::Register { ring: ring?, source, buffers, entries }
            }
            1 => Op::Export { ring: ring?, ifq: self.bytes.pick(&ifqs)? },
            2 => Op::Import { ring: ring?, fd: self.bytes.pick(&fds)? },
            3 => Op::Flush { ring: ring?, ifq: self.bytes.pick(&ifqs)? },
            4 => Op::Exit { ring: self.bytes.below(self.test.rings.len()) as RingId },
            5 => Op::Close { fd: self.bytes.pick(&fds)? },
            6 => {
                let len = [0, 1, u32::MAX][self.bytes.below(3)];
                let (ifq, socket) = (self.bytes.pick(&ifqs)?, self.bytes.pick(&sockets)?);
                Op::Recv { ring: ring?, ifq, socket, len }
            }
            7 => Op::Wait { ring: ring? },
            8 => {
                let cqes = self.vars(VarKind::Cqe, None);
                let ifqs = self.vars(VarKind::Ifq, None);
                let (cqe, ifq) = (self.bytes.pick(&cqes)?, self.bytes.pick(&ifqs)?);
                Op::Return { cqe, ifq, locked: self.bytes.below(2) == 1 }
            }
            9 => Op::Send {
                socket: self.bytes.pick(&sockets)?,
                len: 1 + self.bytes.number() % limits::SEND,
            },
            _ => Op::Shutdown { socket: self.bytes.pick(&sockets)? },
        })
    }

    /// Adds a step that waits for names that are bound already, so there is no cycle.
    fn step(&mut self, to: To) {
        let Some(op) = self.op(to) else { return };
        let all: Vec<VarId> = (0..self.test.vars.len() as VarId).collect();
        let after = if self.bytes.below(4) == 1 { self.bytes.some(&all) } else { Vec::new() };
        let bind = (self.bytes.below(4) != 1).then(|| {
            let id = self.test.vars.len();
            self.test.vars.push(Var { name: format!("v{id}"), kind: op.yields() });
            self.owners.push(op.ring());
            id as VarId
        });
        let step = Step { op, bind, after };
        match to {
            To::Setup => self.test.setup.push(step),
            To::Thread(t) => self.test.threads[t].steps.push(step),
            To::Finally => self.test.finally.push(step),
        }
    }

    fn verdicts(&mut self) {
        let test = &mut self.test;
        test.faults = self.bytes.some(&FaultPoint::ALL);
        if !test.faults.is_empty() {
            test.max_faults = 1 + self.bytes.below(limits::FAULTS as usize) as u32;
        }
        let all: Vec<VarId> = (0..test.vars.len() as VarId).rev().collect();
        test.observe = self.bytes.some(&all);
        let violates = self.bytes.pick(&Invariant::ALL);
        test.expect.push(Expect { defects: Vec::new(), violates: None });
        let defects = self.bytes.some(&Defect::ALL);
        if !defects.is_empty() {
            test.expect.push(Expect { defects: defects.clone(), violates });
        }
        if self.bytes.below(2) == 1 {
            let decisions = (0..self.bytes.below(5)).map(|_| self.bytes.number()).collect();
            test.schedule = Some(Schedule { defects, decisions });
        }
    }
}
