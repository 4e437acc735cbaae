//! Generates tests with several threads.

use ifq_model::fault::FaultPoint;
use ifq_model::revision::Revision;
use ifq_model::test::arg_modifier::ArgModifiers;
use ifq_model::test::{Event, Op, RingId, SocketId, Source, Test, Thread, VarId, VarKind};

use super::ops::DrawnOp;
use super::{BufferRules, Draw, Shape, TestBuilder, Word};
use crate::format;

/// The encoding of a test with threads.
#[derive(Clone, Debug)]
pub struct Threads {
    /// Rings, sockets and device queues.
    pub shape: Shape,
    /// Operations of the setup, in order.
    pub setup: Vec<Word>,
    /// Operations of the threads. The ring of an operation decides its thread.
    pub steps: Vec<Word>,
    /// The fault points that may fail, as a bit mask over [`FaultPoint::ALL`].
    pub faults: u32,
}

/// A valid test in which a thread of its own drives each ring. One more thread is the peer of all
/// connections and closes descriptors and rings.
///
/// The application follows the rules: it returns a buffer at most once, to the ifq that the buffer
/// came from, and holds the producers' lock meanwhile.
#[must_use]
pub fn concurrent(revision: Revision, from: &Threads) -> Test {
    concurrent_from(TestBuilder::new(revision, &from.shape), from)
}

/// [`concurrent`] with a builder that may have more restrictions.
pub(super) fn concurrent_from(mut builder: TestBuilder<'_>, from: &Threads) -> Test {
    builder.buffer_rules = Some(BufferRules::default());
    for word in &from.setup {
        if let Some(step) = builder.next(word) {
            builder.test.setup.push(step);
        }
    }
    let names = (0..=builder.test.rings.len()).map(|i| format!("t{i}"));
    builder.test.threads = names.map(|name| Thread { name, steps: Vec::new() }).collect();
    let mut state = Concurrent { builder };
    for word in &from.steps {
        if let Some((thread, op)) = state.decode(&mut Draw::new(word)) {
            let step = state.builder.bind(op);
            state.builder.test.threads[thread].steps.push(step);
        }
    }
    let mut test = state.builder.finish();
    test.threads.retain(|thread| !thread.steps.is_empty());
    // `zcrx_ctrl_add_area` holds `pp_lock`, and the registration of a queue the netdev lock, over a page
    // fault. If it waits for user space, every user of the lock blocks, such as the unregistration of the
    // device.
    let holds =
        |op: &Op| matches!(op, Op::AddArea { .. } | Op::Register { source: Source::Queue(_), .. });
    let holds_lock = test.steps().any(|step| holds(&step.op));
    let points = FaultPoint::ALL.iter().enumerate();
    let points = points.filter(|(_, point)| !holds_lock || **point != FaultPoint::PageFaultWaits);
    test.faults = points.filter(|(i, _)| from.faults >> i & 1 == 1).map(|(_, p)| *p).collect();
    test.max_faults = test.faults.len().min(2) as u32;
    format::renumber(&mut test);
    test
}

/// Decodes the operations of the threads.
struct Concurrent<'a> {
    builder: TestBuilder<'a>,
}

impl Concurrent<'_> {
    /// An operation and its thread. It uses only results of the setup and of operations that were
    /// decoded before, so no thread waits for itself.
    fn decode(&mut self, draw: &mut Draw<'_>) -> Option<(usize, Op)> {
        let rings = self.builder.test.rings.len();
        let thread = draw.below(rings as u32 + 1) as usize;
        let op = if thread == rings { self.peer(draw)? } else { self.drive(thread as u8, draw)? };
        self.builder.allows(&op).then_some((thread, op))
    }

    fn peer(&self, draw: &mut Draw<'_>) -> Option<Op> {
        let rings = self.builder.test.rings.len() as u32;
        let op = match draw.below(16) {
            0..=7 => self.builder.send(draw),
            8 | 9 => Op::Shutdown { socket: self.socket(draw) },
            10 | 11 => Op::Exit { ring: draw.below(rings) as RingId },
            12 if self.builder.test.queues > 0 => match draw.below(4) {
                0 => Op::UnregisterNetdev,
                1 => Op::NetdevDown,
                2 => Op::NetdevUp,
                _ => Op::RestartQueue { queue: draw.below(self.builder.test.queues) },
            },
            13 => Op::Reset { socket: self.socket(draw) },
            14 => Op::CloseSocket { socket: self.socket(draw) },
            _ => Op::Close { fd: draw.one_of(&self.builder.vars(VarKind::Fd))? },
        };
        Some(op)
    }

    fn drive(&self, ring: RingId, draw: &mut Draw<'_>) -> Option<Op> {
        let revision = self.builder.revision;
        let (own, others): (Vec<VarId>, Vec<VarId>) = (self.builder.vars(VarKind::Ifq).iter())
            .partition(|var| self.builder.owners[usize::from(**var)] == Some(ring));
        let fds = self.builder.vars(VarKind::Fd);
        let mut kinds = vec![DrawnOp::Wait, DrawnOp::Wait, DrawnOp::Register, DrawnOp::Exit];
        let sharing =
            if revision.has_clone() { (DrawnOp::Clone, &others) } else { (DrawnOp::Import, &fds) };
        kinds.extend(std::iter::repeat_n(sharing.0, 6 * usize::from(!sharing.1.is_empty())));
        if own.is_empty() {
            kinds.extend([DrawnOp::Register; 2]);
        } else {
            kinds.extend([
                DrawnOp::Recv,
                DrawnOp::Recv,
                DrawnOp::Return,
                DrawnOp::Return,
                DrawnOp::Mmap,
                DrawnOp::CancelAll,
                DrawnOp::CancelSocket,
            ]);
            kinds.extend([DrawnOp::Export, DrawnOp::Flush].iter().filter(|_| revision.has_ctrl()));
            kinds.extend(revision.has_add_area().then_some(DrawnOp::AddArea));
            kinds.extend(revision.has_events().then_some(DrawnOp::Arm));
        }
        let modifiers = ArgModifiers::NONE;
        let op = match draw.one_of(&kinds)? {
            DrawnOp::Wait => Op::Wait { ring },
            DrawnOp::Exit => Op::Exit { ring },
            DrawnOp::Return => self.give_back(ring, draw)?,
            DrawnOp::CancelAll => Op::CancelAll { ring },
            DrawnOp::CancelSocket => Op::CancelSocket { ring, socket: self.socket(draw) },
            DrawnOp::Register => {
                let source = self.builder.source(draw);
                let (buffers, entries) = (1 + draw.below(4), 1 + draw.below(4));
                let modifiers = draw.harmless("register", revision);
                Op::Register { ring, source, buffers, entries, modifiers }
            }
            DrawnOp::Clone => {
                let ifq = draw.one_of(&others)?;
                let from = self.builder.owners[usize::from(ifq)]?;
                Op::Clone { ring, from, ifq, modifiers }
            }
            DrawnOp::Import => Op::Import { ring, fd: draw.one_of(&fds)?, modifiers },
            kind => self.with_ifq(ring, draw.one_of(&own)?, kind, draw)?,
        };
        Some(op)
    }

    fn with_ifq(&self, ring: RingId, ifq: VarId, kind: DrawnOp, draw: &mut Draw<'_>) -> Option<Op> {
        let modifiers = ArgModifiers::NONE;
        let op = match kind {
            DrawnOp::Export => Op::Export { ring, ifq, modifiers },
            DrawnOp::Flush => Op::Flush { ring, ifq, modifiers },
            DrawnOp::AddArea => Op::AddArea { ring, ifq, buffers: 1 + draw.below(4), modifiers },
            DrawnOp::Arm => {
                let event = draw.one_of(&[Event::Copy, Event::AllocFail])?;
                Op::Arm { ring, ifq, event, modifiers }
            }
            DrawnOp::Mmap => Op::Mmap { ring, ifq },
            _ => {
                let modifiers = draw.harmless("recv", self.builder.revision);
                Op::Recv { ring, ifq, socket: self.socket(draw), len: 0, modifiers }
            }
        };
        Some(op)
    }

    fn give_back(&self, ring: RingId, draw: &mut Draw<'_>) -> Option<Op> {
        let rules = self.builder.buffer_rules.as_ref()?;
        let ifq = *rules.sources.get(&ring)?;
        let mut cqes = self.builder.vars(VarKind::Cqe);
        cqes.retain(|c| self.builder.owners[usize::from(*c)] == Some(ring));
        cqes.retain(|c| !rules.returned.contains(c));
        Some(Op::Return { cqe: draw.one_of(&cqes)?, ifq, locked: true, checked: true })
    }

    fn socket(&self, draw: &mut Draw<'_>) -> SocketId {
        draw.below(self.builder.test.sockets.len() as u32) as SocketId
    }
}
