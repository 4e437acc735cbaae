//! Tests with several threads.

use ifq_model::fault::FaultPoint;
use ifq_model::revision::Revision;
use ifq_model::test::arg_modifier::ArgModifiers;
use ifq_model::test::{Event, Op, RingId, SocketId, Test, Thread, VarId, VarKind};

use super::ops::Kind;
use super::{Draw, Maker, Manners, Shape, Word};
use crate::format;

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
    pub faults: u32,
}

/// A valid test in which each ring is driven by a thread of its own, and one more thread is the
/// peer of all connections and closes descriptors and rings.
///
/// The application keeps to the rules: it gives a buffer back at most once, to the ifq that it came
/// from, and holds its lock while it does.
#[must_use]
pub fn concurrent(revision: Revision, from: &Threads) -> Test {
    concurrent_from(Maker::new(revision, &from.shape), from)
}

/// As [`concurrent`], made by a maker that may be bound to more.
pub(super) fn concurrent_from(mut maker: Maker<'_>, from: &Threads) -> Test {
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
    // `zcrx_ctrl_add_area` holds `pp_lock` over `copy_to_user`: whoever wants the lock, such as the
    // end of the device, waits as long as user space likes.
    let stalls = test.steps().any(|step| matches!(step.op, Op::AddArea { .. }));
    let points = FaultPoint::ALL.iter().enumerate();
    let points = points.filter(|(_, point)| !stalls || **point != FaultPoint::PageFaultWaits);
    test.faults = points.filter(|(i, _)| from.faults >> i & 1 == 1).map(|(_, p)| *p).collect();
    test.max_faults = test.faults.len().min(2) as u32;
    format::renumber(&mut test);
    test
}

struct Concurrent<'a> {
    maker: Maker<'a>,
}

impl Concurrent<'_> {
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
        let op = match draw.below(16) {
            0..=7 => Op::Send { socket: self.socket(draw), len: draw.bytes() },
            8 | 9 => Op::Shutdown { socket: self.socket(draw) },
            10 | 11 => Op::Exit { ring: draw.below(rings) as RingId },
            12 if self.maker.test.queues > 0 => Op::UnregisterNetdev,
            _ => Op::Close { fd: draw.one_of(&self.maker.vars(VarKind::Fd))? },
        };
        Some(op)
    }

    fn drive(&self, ring: RingId, draw: &mut Draw<'_>) -> Option<Op> {
        let revision = self.maker.revision;
        let (own, others): (Vec<VarId>, Vec<VarId>) = (self.maker.vars(VarKind::Ifq).iter())
            .partition(|var| self.maker.owners[usize::from(**var)] == Some(ring));
        let fds = self.maker.vars(VarKind::Fd);
        let mut kinds = vec![Kind::Wait, Kind::Wait, Kind::Register, Kind::Exit];
        let sharing =
            if revision.has_proxies() { (Kind::Clone, &others) } else { (Kind::Import, &fds) };
        kinds.extend(std::iter::repeat_n(sharing.0, 4 * usize::from(!sharing.1.is_empty())));
        if own.is_empty() {
            kinds.extend([Kind::Register; 2]);
        } else {
            kinds.extend([Kind::Recv, Kind::Recv, Kind::Return, Kind::Return, Kind::Mmap]);
            kinds.extend([Kind::Export, Kind::Flush].iter().filter(|_| revision.has_ctrl()));
            kinds.extend(revision.has_add_area().then_some(Kind::AddArea));
            kinds.extend(revision.has_events().then_some(Kind::Arm));
        }
        let modifiers = ArgModifiers::NONE;
        let op = match draw.one_of(&kinds)? {
            Kind::Wait => Op::Wait { ring },
            Kind::Exit => Op::Exit { ring },
            Kind::Return => self.give_back(ring, draw)?,
            Kind::Register => {
                let source = self.maker.source(draw);
                let (buffers, entries) = (1 + draw.below(4), 1 + draw.below(4));
                let modifiers = draw.harmless("register", revision);
                Op::Register { ring, source, buffers, entries, modifiers }
            }
            Kind::Clone => {
                let ifq = draw.one_of(&others)?;
                let from = self.maker.owners[usize::from(ifq)]?;
                Op::Clone { ring, from, ifq, modifiers }
            }
            Kind::Import => Op::Import { ring, fd: draw.one_of(&fds)?, modifiers },
            kind => self.with_ifq(ring, draw.one_of(&own)?, kind, draw)?,
        };
        Some(op)
    }

    fn with_ifq(&self, ring: RingId, ifq: VarId, kind: Kind, draw: &mut Draw<'_>) -> Option<Op> {
        let modifiers = ArgModifiers::NONE;
        let op = match kind {
            Kind::Export => Op::Export { ring, ifq, modifiers },
            Kind::Flush => Op::Flush { ring, ifq, modifiers },
            Kind::AddArea => Op::AddArea { ring, ifq, buffers: 1 + draw.below(4), modifiers },
            Kind::Arm => {
                let event = draw.one_of(&[Event::Copy, Event::AllocFail])?;
                Op::Arm { ring, ifq, event, modifiers }
            }
            Kind::Mmap => Op::Mmap { ring, ifq },
            _ => Op::Recv { ring, ifq, socket: self.socket(draw), len: 0, modifiers },
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
