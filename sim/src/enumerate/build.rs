//! Builds the test of a code.

use ifq_model::test::arg_modifier::{ArgModifier, ArgModifiers};
use ifq_model::test::{
    Event, Expect, Layout, Op, RingId, Socket, Source, Step, Test, Thread, Var, VarId,
};

use super::action::Action;
use super::code::{Code, Item, Target};
use super::family::{Family, Mode, Prologue};
use super::stream::Size;

/// Names of rings.
const RING_NAMES: [&str; 4] = ["A", "B", "C", "D"];
/// Bytes of a packet.
const BYTES: u32 = 128;
/// Buffers of the ifq, and entries of its refill ring: enough for the packets of most races.
const BUFFERS: u32 = 2;

/// The name of a test: `e-2-3-nodev-held-17`.
#[must_use]
pub fn name(family: Family, size: Size, number: u64) -> String {
    format!("e-{}-{}-{}-{number}", size.rings, size.ops, family.name())
}

/// The test of a code. It observes all results.
#[must_use]
pub fn build(family: Family, size: Size, number: u64, code: &Code) -> Test {
    let queue = family.has_device().then_some(0);
    let rings = RING_NAMES[..usize::from(size.rings)].iter().map(ToString::to_string).collect();
    let test = Test {
        name: name(family, size, number),
        revisions: family.revisions().collect(),
        rings,
        sockets: match family.has_socket() {
            true => vec![Socket { name: "s".to_owned(), queue }],
            false => Vec::new(),
        },
        queues: u32::from(family.has_device()),
        expect: vec![Expect::default()],
        ..Test::default()
    };
    let mut builder =
        Builder { family, rings: size.rings, test, ifqs: Vec::new(), exported: None, taken: None };
    builder.prologue();
    let first = builder.test.vars.len() as VarId;
    for (at, item) in code.iter().enumerate() {
        let op = builder.op(*item, first, code);
        let step = builder.step(&format!("r{}", at + 1), op);
        builder.thread(*item, step);
    }
    builder.epilogue(code);
    builder.test.observe = (0..builder.test.vars.len() as VarId).collect();
    builder.test
}

struct Builder {
    family: Family,
    rings: u8,
    test: Test,
    /// By ring: its ifq after the prologue.
    ifqs: Vec<VarId>,
    /// The open descriptor after the prologue.
    exported: Option<VarId>,
    /// The completion whose buffer user space holds after the prologue.
    taken: Option<VarId>,
}

impl Builder {
    fn step(&mut self, name: &str, op: Op) -> Step {
        let var = self.test.vars.len() as VarId;
        self.test.vars.push(Var { name: name.to_owned(), kind: op.yields() });
        Step { op, bind: Some(var), after: Vec::new() }
    }

    fn set_up(&mut self, name: &str, op: Op) -> VarId {
        let step = self.step(name, op);
        self.test.setup.push(step);
        self.test.vars.len() as VarId - 1
    }

    fn end(&mut self, name: &str, op: Op) {
        let step = self.step(name, op);
        self.test.finally.push(step);
    }

    fn register(&self, ring: RingId, buffers: u32, modifiers: ArgModifiers) -> Op {
        let source = if self.family.has_device() { Source::Queue(0) } else { Source::Nodev };
        Op::Register { ring, source, buffers, entries: buffers, modifiers }
    }

    fn prologue(&mut self) {
        let Family { mode, prologue } = self.family;
        let modifiers = match prologue {
            Prologue::Events => ArgModifiers::NONE.and(ArgModifier::Events),
            _ => ArgModifiers::NONE,
        };
        let owner = self.set_up("ifq", self.register(0, BUFFERS, modifiers));
        self.ifqs.push(owner);
        let modifiers = ArgModifiers::NONE;
        if mode != Mode::Proxy && (self.rings > 1 || self.family.has_box()) {
            self.exported = Some(self.set_up("box", Op::Export { ring: 0, ifq: owner, modifiers }));
        }
        if prologue != Prologue::Owner {
            for ring in 1..self.rings {
                let op = match self.exported {
                    Some(fd) => Op::Import { ring, fd, modifiers },
                    None => Op::Clone { ring, from: 0, ifq: owner, modifiers },
                };
                let ifq = self.set_up(&format!("ifq{}", RING_NAMES[usize::from(ring)]), op);
                self.ifqs.push(ifq);
            }
            if let Some(fd) = self.exported.take() {
                self.set_up("closed", Op::Close { fd });
            }
        }
        let Some(ring) = self.family.receiver(self.rings) else { return };
        let ifq = self.ifqs[usize::from(ring)];
        self.set_up("armed", Op::Recv { ring, ifq, socket: 0, len: 0, modifiers });
        if prologue == Prologue::Held {
            self.set_up("filled", Op::Send { socket: 0, len: BYTES, layout: Layout::Pages });
            self.taken = Some(self.set_up("held", Op::Wait { ring }));
        }
    }

    /// The operation of an item. `first`: the result of the first racing operation.
    fn op(&self, item: Item, first: VarId, code: &Code) -> Op {
        let (ring, modifiers) = (item.ring, ArgModifiers::NONE);
        let ifq = self.result(item, first);
        match item.action {
            Action::Register => self.register(ring, 1, modifiers),
            Action::Share if self.family.mode == Mode::Proxy => {
                let from = match item.target {
                    Target::Item(used) => code[usize::from(used)].ring,
                    Target::Prologue(from) => from,
                    Target::None => ring,
                };
                Op::Clone { ring, from, ifq, modifiers }
            }
            Action::Share => Op::Import { ring, fd: ifq, modifiers },
            Action::Export => Op::Export { ring, ifq, modifiers },
            Action::Flush => Op::Flush { ring, ifq, modifiers },
            Action::AddArea => Op::AddArea { ring, ifq, buffers: 1, modifiers },
            Action::Arm => Op::Arm { ring, ifq, event: Event::Copy, modifiers },
            Action::Mmap => Op::Mmap { ring, ifq },
            Action::Recv => Op::Recv { ring, ifq, socket: 0, len: 0, modifiers },
            Action::Wait => Op::Wait { ring },
            Action::Exit => Op::Exit { ring },
            Action::Close => Op::Close { fd: ifq },
            Action::Send => Op::Send { socket: 0, len: BYTES, layout: Layout::Pages },
            Action::Shutdown => Op::Shutdown { socket: 0 },
            Action::Return => {
                let ring = match item.target {
                    Target::Item(used) => code[usize::from(used)].ring,
                    _ => self.family.receiver(self.rings).unwrap_or(0),
                };
                let to = self.ifqs[usize::from(ring)];
                Op::Return { cqe: ifq, ifq: to, locked: true, checked: true }
            }
            Action::UnregisterNetdev => Op::UnregisterNetdev,
        }
    }

    /// The result that an item uses.
    fn result(&self, item: Item, first: VarId) -> VarId {
        let before = match (item.target, item.action) {
            (Target::Item(used), _) => return first + VarId::from(used),
            (Target::None, _) => None,
            (Target::Prologue(_), Action::Return) => self.taken,
            (Target::Prologue(_), Action::Close) => self.exported,
            (Target::Prologue(_), Action::Share) if self.exported.is_some() => self.exported,
            (Target::Prologue(ring), _) => self.ifqs.get(usize::from(ring)).copied(),
        };
        before.unwrap_or_default()
    }

    fn thread(&mut self, item: Item, step: Step) {
        let threads = &mut self.test.threads;
        let name = match item.alone {
            false => RING_NAMES[usize::from(item.ring)].to_lowercase(),
            true => format!("t{}", threads.len()),
        };
        match threads.last_mut().filter(|last| last.name == name) {
            Some(last) => last.steps.push(step),
            None => threads.push(Thread { name, steps: vec![step] }),
        }
    }

    /// Looks at the state after the race, from a ring that is still open.
    fn epilogue(&mut self, code: &Code) {
        let modifiers = ArgModifiers::NONE;
        if let Some(ring) = self.family.receiver(self.rings) {
            self.end("sent", Op::Send { socket: 0, len: BYTES, layout: Layout::Pages });
            self.end("got", Op::Wait { ring });
        }
        let exits = |ring: &u8| code.iter().any(|i| i.action == Action::Exit && i.ring == *ring);
        let Some(ring) = (0..self.rings).rev().find(|ring| !exits(ring)) else { return };
        let own = self.ifqs.get(usize::from(ring)).copied();
        match (self.family.mode, self.exported, own) {
            (Mode::Proxy, _, _) if ring > 0 => {
                let ifq = self.ifqs[0];
                self.end("again", Op::Clone { ring, from: 0, ifq, modifiers });
            }
            (Mode::Proxy, _, _) => {}
            (_, Some(fd), _) => self.end("again", Op::Import { ring, fd, modifiers }),
            (_, None, Some(ifq)) => self.end("again", Op::Export { ring, ifq, modifiers }),
            (_, None, None) => {}
        }
        if self.family.has_device() {
            self.end("queue", self.register(ring, 1, modifiers));
        }
    }
}
