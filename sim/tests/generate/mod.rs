//! Valid tests from arbitrary bytes.

use ifq_model::fault::FaultPoint;
use ifq_model::invariant::Invariant;
use ifq_model::revision::{Defect, Entry, Revision};
use ifq_model::test::arg_modifier::{ArgModifier, ArgModifiers};
use ifq_model::test::{
    Event, Expect, Op, RingId, RingSetup, RqWord, Schedule, Socket, SocketId, Source, Step, Test,
    Thread, Var, VarId, VarKind, limits,
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

    /// A part of a list, in its order.
    fn some<T: Copy>(&mut self, from: &[T]) -> Vec<T> {
        let mask: usize = (0..from.len().div_ceil(8)).fold(0, |n, _| n << 8 | self.byte());
        (0..from.len()).filter(|i| mask >> i & 1 == 1).map(|i| from[i]).collect()
    }

    /// Mostly nothing, sometimes a part of a list.
    fn few<T: Copy>(&mut self, from: &[T]) -> Vec<T> {
        if self.below(4) == 1 { self.some(from) } else { Vec::new() }
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
    ifq_sim::format::renumber(&mut maker.test);
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
        test.shows = self.bytes.few(&Entry::all());
        if self.bytes.below(2) == 1 {
            test.revisions = self.bytes.some(&Revision::ALL);
            if test.revisions.is_empty() {
                test.revisions = vec![Revision::Import71];
            }
        }
        test.rings = (0..=self.bytes.below(4)).map(|i| format!("R{i}")).collect();
        for ring in 0..test.rings.len() as RingId {
            let setups = self.bytes.few(RingSetup::ALL);
            test.setups.extend(setups.into_iter().map(|setup| (ring, setup)));
        }
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
        let verb = self.bytes.below(17);
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
                let modifiers = self.modifiers("register");
                Op::Register { ring: ring?, source, buffers, entries, modifiers }
            }
            1 => {
                let (ifq, modifiers) = (self.bytes.pick(&ifqs)?, self.modifiers("export"));
                Op::Export { ring: ring?, ifq, modifiers }
            }
            2 => {
                let (fd, modifiers) = (self.bytes.pick(&fds)?, self.modifiers("import"));
                Op::Import { ring: ring?, fd, modifiers }
            }
            3 => {
                let (ifq, modifiers) = (self.bytes.pick(&ifqs)?, self.modifiers("flush"));
                Op::Flush { ring: ring?, ifq, modifiers }
            }
            4 => Op::Exit { ring: self.bytes.below(self.test.rings.len()) as RingId },
            5 => Op::Close { fd: self.bytes.pick(&fds)? },
            6 => {
                let len = [0, 1, u32::MAX][self.bytes.below(3)];
                let (ifq, socket) = (self.bytes.pick(&ifqs)?, self.bytes.pick(&sockets)?);
                Op::Recv { ring: ring?, ifq, socket, len, modifiers: self.modifiers("recv") }
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
            10 => Op::Shutdown { socket: self.bytes.pick(&sockets)? },
            11 => {
                let from = self.bytes.below(self.test.rings.len()) as RingId;
                let ifq = self.vars(VarKind::Ifq, Some(from));
                let (ifq, modifiers) = (self.bytes.pick(&ifq)?, self.modifiers("clone"));
                Op::Clone { ring: ring?, from, ifq, modifiers }
            }
            12 => {
                let buffers = 1 + self.bytes.number() % limits::BUFFERS;
                let (ifq, modifiers) = (self.bytes.pick(&ifqs)?, self.modifiers("add-area"));
                Op::AddArea { ring: ring?, ifq, buffers, modifiers }
            }
            13 => {
                let (ifq, event) = (self.bytes.pick(&ifqs)?, self.bytes.pick(Event::ALL)?);
                Op::Arm { ring: ring?, ifq, event, modifiers: self.modifiers("arm") }
            }
            14 => Op::Mmap { ring: ring?, ifq: self.bytes.pick(&ifqs)? },
            15 if self.test.queues > 0 => Op::UnregisterNetdev,
            _ => {
                let ifq = self.bytes.pick(&self.vars(VarKind::Ifq, None))?;
                let index = self.bytes.number() % limits::ENTRIES;
                let words = [RqWord::Head, RqWord::Tail, RqWord::Off(index), RqWord::Pad(index)];
                let word = self.bytes.pick(&words)?;
                let value = u64::from(self.bytes.number()) << 32 | u64::from(self.bytes.number());
                Op::Scribble { ifq, word, value: value >> [0, 40, 63][self.bytes.below(3)] }
            }
        })
    }

    fn modifiers(&mut self, verb: &str) -> ArgModifiers {
        let fitting: Vec<ArgModifier> =
            ArgModifier::ALL.iter().copied().filter(|modifier| modifier.fits(verb)).collect();
        self.bytes.few(&fitting).into_iter().collect()
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
        test.faults = match self.bytes.below(4) {
            1 => FaultPoint::ALL.to_vec(),
            _ => self.bytes.some(FaultPoint::ALL),
        };
        if !test.faults.is_empty() {
            test.max_faults = 1 + self.bytes.below(limits::FAULTS as usize) as u32;
        }
        let all: Vec<VarId> = (0..test.vars.len() as VarId).rev().collect();
        test.observe = self.bytes.some(&all);
        test.expect.push(Expect::default());
        self.expectations();
        if self.bytes.below(2) == 1 {
            let (defects, without) = self.switches(&[self.test.revisions[0]]);
            let decisions = (0..self.bytes.below(5)).map(|_| self.bytes.number()).collect();
            self.test.schedule = Some(Schedule { defects, without, decisions });
        }
    }

    /// Each for one revision or for all, and no two for the same.
    fn expectations(&mut self) {
        for _ in 0..self.bytes.below(6) {
            let revisions = self.test.revisions.clone();
            // The last one is left for the expectations that name none.
            let named = &revisions[..revisions.len() - 1];
            let one = self.bytes.pick(named).filter(|_| self.bytes.below(2) == 1);
            let meant = one.map_or(revisions, |revision| vec![revision]);
            let (defects, without) = self.switches(&meant);
            let revisions = one.into_iter().collect();
            let violates = self.bytes.pick(&Invariant::ALL);
            let expect = Expect { revisions, defects, without, violates };
            let same = |e: &Expect| {
                (&e.revisions, &e.defects, &e.without)
                    == (&expect.revisions, &expect.defects, &expect.without)
            };
            if !self.test.expect.iter().any(same) {
                self.test.expect.push(expect);
            }
        }
    }

    /// Defects that all of the revisions lack, and some that all of them have.
    fn switches(&mut self, revisions: &[Revision]) -> (Vec<Defect>, Vec<Defect>) {
        let all = |has: bool| -> Vec<Defect> {
            let fits = |d: &&Defect| revisions.iter().all(|r| r.defects().contains(d) == has);
            Defect::ALL.iter().filter(fits).copied().collect()
        };
        (self.bytes.few(&all(false)), self.bytes.few(&all(true)))
    }
}
