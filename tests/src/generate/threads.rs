//! Tests with several threads.

use ifq_model::fault::FaultPoint;
use ifq_model::scenario::{Op, RingId, SocketId, Test, Thread, VarId, VarKind};
use proptest::prelude::*;

use super::{Draw, Maker, Manners, Shape, Word, shape, words};

/// What a test with threads is made from.
#[derive(Clone, Debug)]
pub struct Threads {
    /// What there is before the first operation.
    pub shape: Shape,
    /// Set-up, one after the other.
    pub setup: Vec<Word>,
    /// The threads' operations; which thread does one follows from its ring.
    pub steps: Vec<Word>,
    /// Which fault points may fail, by position.
    pub faults: u8,
}

/// Small tests: at most `setup` operations before the threads start, `steps` in all of them.
pub fn threads(setup: usize, steps: usize) -> impl Strategy<Value = Threads> {
    (shape(), words(setup), words(steps), any::<u8>()).prop_map(|(shape, setup, steps, faults)| {
        // Half of the tests go without faults.
        Threads { shape, setup, steps, faults: if faults < 128 { 0 } else { faults } }
    })
}

/// A valid test in which each ring is driven by a thread of its own, and one more thread is the
/// peer of all connections and closes descriptors and rings.
///
/// The application keeps to the rules: it gives a buffer back at most once, to the ifq that it came
/// from, and holds its lock while it does.
#[must_use]
pub fn concurrent(from: &Threads) -> Test {
    let mut maker = Maker::new(&from.shape);
    maker.manners = Some(Manners::default());
    for word in &from.setup {
        if let Some(step) = maker.next(word) {
            maker.test.setup.push(step);
        }
    }
    let names = (0..=maker.test.rings.len()).map(|i| format!("t{i}"));
    maker.test.threads = names.map(|name| Thread { name, steps: Vec::new() }).collect();
    let mut state = Concurrent { maker };
    for word in &from.steps {
        if let Some((thread, op)) = state.decode(&mut Draw::new(word)) {
            let step = state.maker.bind(op);
            state.maker.test.threads[thread].steps.push(step);
        }
    }
    let mut test = state.maker.finish();
    test.threads.retain(|thread| !thread.steps.is_empty());
    let points = FaultPoint::ALL.iter().enumerate();
    test.faults = points.filter(|(i, _)| from.faults >> i & 1 == 1).map(|(_, p)| *p).collect();
    test.max_faults = test.faults.len().min(2) as u32;
    ifq_sim::file::renumber(&mut test);
    test
}

struct Concurrent {
    maker: Maker,
}

impl Concurrent {
    /// An operation and the thread that does it. It uses results of set-up and of operations that
    /// were decoded before, so that no thread waits for itself.
    fn decode(&mut self, draw: &mut Draw<'_>) -> Option<(usize, Op)> {
        let rings = self.maker.test.rings.len();
        let thread = draw.below(rings as u32 + 1) as usize;
        let op = if thread == rings { self.peer(draw)? } else { self.drive(thread as u8, draw)? };
        self.maker.allows(&op).then_some((thread, op))
    }

    fn peer(&self, draw: &mut Draw<'_>) -> Option<Op> {
        let rings = self.maker.test.rings.len() as u32;
        let op = match draw.below(8) {
            0..=3 => Op::Send { socket: self.socket(draw), len: draw.bytes() },
            4 => Op::Shutdown { socket: self.socket(draw) },
            5 => Op::Exit { ring: draw.below(rings) as RingId },
            _ => Op::Close { fd: draw.one_of(&self.maker.vars(VarKind::Fd))? },
        };
        Some(op)
    }

    fn drive(&self, ring: RingId, draw: &mut Draw<'_>) -> Option<Op> {
        let own = |var: &VarId| self.maker.owners[usize::from(*var)] == Some(ring);
        let mut ifqs = self.maker.vars(VarKind::Ifq);
        ifqs.retain(own);
        let fds = self.maker.vars(VarKind::Fd);
        let mut kinds = vec![0, 0, 1, 7];
        kinds.extend(if fds.is_empty() { &[][..] } else { &[2, 2, 2] });
        kinds.extend(if ifqs.is_empty() { &[1, 1][..] } else { &[3, 4, 5, 5, 6, 6] });
        let op = match draw.one_of(&kinds)? {
            0 => Op::Wait { ring },
            1 => {
                let source = self.maker.source(draw);
                let buffers = 1 + draw.below(4);
                Op::Register { ring, source, buffers, entries: 1 + draw.below(4) }
            }
            2 => Op::Import { ring, fd: draw.one_of(&fds)? },
            3 => Op::Export { ring, ifq: draw.one_of(&ifqs)? },
            4 => Op::Flush { ring, ifq: draw.one_of(&ifqs)? },
            5 => {
                let ifq = draw.one_of(&ifqs)?;
                Op::Recv { ring, ifq, socket: self.socket(draw), len: 0 }
            }
            6 => self.give_back(ring, draw)?,
            _ => Op::Exit { ring },
        };
        Some(op)
    }

    fn give_back(&self, ring: RingId, draw: &mut Draw<'_>) -> Option<Op> {
        let manners = self.maker.manners.as_ref()?;
        let ifq = *manners.sources.get(&ring)?;
        let mut cqes = self.maker.vars(VarKind::Cqe);
        cqes.retain(|c| self.maker.owners[usize::from(*c)] == Some(ring));
        cqes.retain(|c| !manners.returned.contains(c));
        Some(Op::Return { cqe: draw.one_of(&cqes)?, ifq, locked: true })
    }

    fn socket(&self, draw: &mut Draw<'_>) -> SocketId {
        draw.below(self.maker.test.sockets.len() as u32) as SocketId
    }
}
