//! Decodes a word into an operation.

use ifq_model::test::literal::{self, Literal};
use ifq_model::test::{
    Event, Layout, Op, RingId, RingSetup, RqWord, SocketId, Source, VarId, VarKind,
};

use super::{Draw, TestBuilder};

/// The operations that a word can encode.
#[derive(Clone, Copy)]
pub(super) enum DrawnOp {
    Send,
    Recv,
    Wait,
    Return,
    Register,
    Clone,
    Import,
    Export,
    Flush,
    AddArea,
    Arm,
    Mmap,
    Scribble,
    Close,
    Exit,
    Shutdown,
    UnregisterNetdev,
    NetdevDown,
    NetdevUp,
    RestartQueue,
    Enable,
    Cancel,
    CancelSocket,
    CancelAll,
    Reset,
    CloseSocket,
}

/// Largest number of areas in a test. Each needs memory.
const MAX_REGISTERED: usize = 20;

impl TestBuilder<'_> {
    /// The operations to choose from, repeated by weight. Operations that the revision lacks have a
    /// small weight.
    fn weighted_ops(&self) -> Vec<DrawnOp> {
        let any = |kind, good: &dyn Fn(VarId) -> bool| {
            let vars = self.vars(kind);
            (!vars.is_empty(), vars.into_iter().any(good))
        };
        let (ifq, good_ifq) = any(VarKind::Ifq, &|v| self.good_ifq(v));
        let (_, fired) = any(VarKind::Ifq, &|v| self.good_ifq(v) && self.spec.fired(v).is_some());
        let (fd, good_fd) = any(VarKind::Fd, &|v| self.spec.fd_open(v));
        let (cqe, held) = any(VarKind::Cqe, &|v| self.spec.holds(v));
        let rings = || 0..self.test.rings.len() as RingId;
        let ready = rings().any(|r| self.spec.ready(r));
        let open = rings().filter(|r| self.spec.ring_open(*r)).count();
        let disabled = self.test.setups.iter().any(|(_, setup)| *setup == RingSetup::Disabled);
        let memory = self.registered < MAX_REGISTERED;
        // Tests for a live kernel are short.
        let on_device = |at| {
            let at = if self.live.is_some() { at } else { 20 };
            u8::from(self.test.queues > 0 && self.test.vars.len() >= at)
        };
        // Operations that close something come late, so that others can run before.
        let late = self.test.vars.len() >= 30;
        let streams = (0..self.test.sockets.len() as SocketId).filter(|s| !self.spec.shut_down(*s));
        let shutdown = late || streams.count() > 1;
        let revision = self.revision;
        let if_good = |has: bool, n: u8| if good_ifq && has { n } else { u8::from(ifq) };
        let weights = [
            (DrawnOp::Send, if good_ifq { 6 } else { 1 }),
            (DrawnOp::Wait, if ready { 7 } else { 1 }),
            (DrawnOp::Return, if held { 6 } else { u8::from(cqe && ifq) }),
            (DrawnOp::Recv, if_good(true, 5)),
            (DrawnOp::Register, if good_ifq || open == 0 { 2 } else { 6 } * u8::from(memory)),
            (DrawnOp::Clone, if_good(revision.has_clone() && open > 1, 5)),
            (DrawnOp::Import, if good_fd { 4 } else { u8::from(fd) }),
            (DrawnOp::Export, if_good(revision.has_ctrl(), 3)),
            (DrawnOp::Flush, if_good(revision.has_ctrl(), 2)),
            (DrawnOp::AddArea, if_good(revision.has_add_area(), 2) * u8::from(memory)),
            (DrawnOp::Arm, if fired { 4 } else { u8::from(ifq) }),
            (DrawnOp::Mmap, u8::from(ifq)),
            (DrawnOp::Scribble, u8::from(ifq)),
            (DrawnOp::Close, u8::from(fd)),
            (DrawnOp::Exit, u8::from(ifq && (late || open > 1))),
            (DrawnOp::Shutdown, u8::from(ifq && shutdown)),
            (DrawnOp::UnregisterNetdev, on_device(12)),
            (DrawnOp::NetdevDown, on_device(2)),
            (DrawnOp::NetdevUp, on_device(2)),
            (DrawnOp::RestartQueue, on_device(2)),
            (DrawnOp::Enable, if disabled { 3 } else { 0 }),
            (DrawnOp::Cancel, u8::from(!self.requests().is_empty())),
            (DrawnOp::CancelSocket, u8::from(good_ifq)),
            (DrawnOp::CancelAll, u8::from(good_ifq)),
            (DrawnOp::Reset, u8::from(ifq && late)),
            (DrawnOp::CloseSocket, u8::from(ifq && shutdown)),
        ];
        weights.into_iter().flat_map(|(kind, n)| (0..n).map(move |_| kind)).collect()
    }

    pub(super) fn decode(&self, draw: &mut Draw<'_>) -> Option<Op> {
        let op = match draw.one_of(&self.weighted_ops())? {
            DrawnOp::Send => self.send(draw),
            DrawnOp::Shutdown => Op::Shutdown { socket: self.socket(draw) },
            DrawnOp::UnregisterNetdev => Op::UnregisterNetdev,
            DrawnOp::NetdevDown => Op::NetdevDown,
            DrawnOp::NetdevUp => Op::NetdevUp,
            DrawnOp::RestartQueue => Op::RestartQueue { queue: draw.below(self.test.queues) },
            DrawnOp::Cancel => {
                let request = draw.one_of(&self.requests())?;
                Op::Cancel { ring: self.owners[usize::from(request)]?, request }
            }
            DrawnOp::CancelSocket => Op::CancelSocket {
                ring: self.ring(draw, |r| self.spec.ring_open(r)),
                socket: self.socket(draw),
            },
            DrawnOp::CancelAll => {
                Op::CancelAll { ring: self.ring(draw, |r| self.spec.ring_open(r)) }
            }
            DrawnOp::Enable => Op::Enable { ring: self.ring(draw, |r| self.spec.ring_disabled(r)) },
            DrawnOp::CloseSocket => Op::CloseSocket { socket: self.socket(draw) },
            DrawnOp::Reset => Op::Reset { socket: self.socket(draw) },
            DrawnOp::Wait => Op::Wait { ring: self.ring(draw, |r| self.spec.ready(r)) },
            DrawnOp::Exit => Op::Exit { ring: self.ring(draw, |r| self.spec.ring_open(r)) },
            DrawnOp::Close => Op::Close { fd: self.fd(draw)? },
            DrawnOp::Recv => {
                let (ring, ifq) = self.ifq(draw)?;
                let socket = self.socket(draw);
                let len = draw.one_of(&[0, 0, 0, 100, 4096, 6000])?;
                Op::Recv {
                    ring,
                    ifq,
                    socket,
                    len,
                    modifiers: draw.modifiers("recv", self.harmless_on),
                }
            }
            DrawnOp::Return => {
                let cqe = draw.prefer(&self.vars(VarKind::Cqe), |c| self.spec.holds(c))?;
                let ifqs = self.vars(VarKind::Ifq);
                let ifq = draw.prefer(&ifqs, |ifq| self.spec.belongs(cqe, ifq))?;
                let (locked, checked) = (draw.below(2) == 0, draw.below(8) != 0);
                Op::Return { cqe, ifq, locked, checked }
            }
            DrawnOp::Scribble => {
                let ifq = draw.one_of(&self.vars(VarKind::Ifq))?;
                let (word, value) = Self::scribble(draw)?;
                Op::Scribble { ifq, word, value }
            }
            DrawnOp::Mmap => {
                let (ring, ifq) = self.ifq(draw)?;
                Op::Mmap { ring, ifq }
            }
            kind => self.decode_with_modifiers(kind, draw)?,
        };
        Some(op)
    }

    fn decode_with_modifiers(&self, kind: DrawnOp, draw: &mut Draw<'_>) -> Option<Op> {
        let open = |ring| self.spec.ring_open(ring);
        if let DrawnOp::Register = kind {
            let (ring, source) = (self.ring(draw, open), self.source(draw));
            let (buffers, entries) = (draw.buffers(), draw.entries());
            let modifiers = draw.modifiers("register", self.harmless_on);
            return Some(Op::Register { ring, source, buffers, entries, modifiers });
        }
        if let DrawnOp::Import = kind {
            let (ring, fd) = (self.ring(draw, open), self.any_fd(draw)?);
            return Some(Op::Import {
                ring,
                fd,
                modifiers: draw.modifiers("import", self.harmless_on),
            });
        }
        if let DrawnOp::Arm = kind {
            let fired = |ifq| self.good_ifq(ifq) && self.spec.fired(ifq).is_some();
            let ifq = draw.prefer(&self.vars(VarKind::Ifq), fired)?;
            let ring = self.owners[usize::from(ifq)]?;
            let events = [Event::Copy, Event::AllocFail, Event::Unknown];
            let event = draw.prefer(&events, |event| self.spec.fired(ifq) == Some(event))?;
            return Some(Op::Arm {
                ring,
                ifq,
                event,
                modifiers: draw.modifiers("arm", self.harmless_on),
            });
        }
        let (ring, ifq) = self.ifq(draw)?;
        let op = match kind {
            DrawnOp::Clone => {
                let from = ring;
                let ring = self.ring(draw, |ring| open(ring) && ring != from);
                Op::Clone { ring, from, ifq, modifiers: draw.modifiers("clone", self.harmless_on) }
            }
            DrawnOp::Export => {
                Op::Export { ring, ifq, modifiers: draw.modifiers("export", self.harmless_on) }
            }
            DrawnOp::Flush => {
                Op::Flush { ring, ifq, modifiers: draw.modifiers("flush", self.harmless_on) }
            }
            _ => {
                let buffers = draw.buffers();
                Op::AddArea {
                    ring,
                    ifq,
                    buffers,
                    modifiers: draw.modifiers("add-area", self.harmless_on),
                }
            }
        };
        Some(op)
    }

    /// Bytes of a peer; through a device, sometimes in several buffers or as several packets of one.
    pub(super) fn send(&self, draw: &mut Draw<'_>) -> Op {
        let (socket, len) = (self.socket(draw), draw.bytes());
        let on_queue = self.test.sockets[usize::from(socket)].queue.is_some();
        let layout = match draw.below(8) {
            6 if on_queue && (2..=8192).contains(&len) => Layout::Frags(2),
            7 if on_queue && (3..=4096).contains(&len) => Layout::Packets(3),
            _ => Layout::Pages,
        };
        Op::Send { socket, len, layout }
    }

    /// A word of a ring with up to 16 entries, and the value that user space writes.
    fn scribble(draw: &mut Draw<'_>) -> Option<(RqWord, u64)> {
        let index = draw.below(16);
        let word = match draw.below(8) {
            0..=2 => RqWord::Off(index),
            3..=5 => RqWord::Pad(index),
            6 => RqWord::Tail,
            _ => RqWord::Head,
        };
        let value = match word {
            RqWord::Off(_) => draw.offset(),
            RqWord::Pad(_) => u64::from(draw.below(2)),
            RqWord::Head | RqWord::Tail => draw.one_of(&[0, 1, 2, 5, 17, u64::from(u32::MAX)])?,
        };
        Some((word, value))
    }

    fn ring(&self, draw: &mut Draw<'_>, good: impl Fn(RingId) -> bool) -> RingId {
        let all: Vec<RingId> = (0..self.test.rings.len() as RingId).collect();
        draw.prefer(&all, good).unwrap_or(0)
    }

    fn socket(&self, draw: &mut Draw<'_>) -> SocketId {
        let all: Vec<SocketId> = (0..self.test.sockets.len() as SocketId).collect();
        draw.prefer(&all, |s| !self.spec.shut_down(s)).unwrap_or(0)
    }

    /// A device queue, or none; rarely none on revisions whose ifqs need a queue.
    pub(super) fn source(&self, draw: &mut Draw<'_>) -> Source {
        let queues = self.test.queues;
        if self.revision.has_nodev() {
            return match draw.below(1 + 2 * queues) {
                0 => Source::Nodev,
                n => Source::Queue((n - 1) % queues),
            };
        }
        match draw.byte() {
            255 => Source::Nodev,
            byte => Source::Queue(u32::from(byte) % queues),
        }
    }

    fn fd(&self, draw: &mut Draw<'_>) -> Option<VarId> {
        draw.prefer(&self.vars(VarKind::Fd), |fd| self.spec.fd_open(fd))
    }

    /// A descriptor for an import; rarely one that is not open, or that of a ring.
    fn any_fd(&self, draw: &mut Draw<'_>) -> Option<VarId> {
        match draw.byte() {
            255 => Some(Literal::Number(literal::MAX).to_var()),
            254 if !self.revision.has_clone() => {
                Some(Literal::Ring(self.ring(draw, |ring| self.spec.ring_open(ring))).to_var())
            }
            _ => self.fd(draw),
        }
    }

    /// The results of `recv` steps.
    fn requests(&self) -> Vec<VarId> {
        let mut requests = self.vars(VarKind::Status);
        let receives = |var: &VarId| matches!(self.test.binding(*var), Some(step) if matches!(step.op, Op::Recv { .. }));
        requests.retain(receives);
        requests
    }

    fn good_ifq(&self, ifq: VarId) -> bool {
        let ring = self.owners[usize::from(ifq)];
        ring.is_some_and(|ring| self.spec.ring_open(ring)) && self.spec.in_use(ifq)
    }

    /// An ifq and its ring.
    fn ifq(&self, draw: &mut Draw<'_>) -> Option<(RingId, VarId)> {
        let ifq = draw.prefer(&self.vars(VarKind::Ifq), |ifq| self.good_ifq(ifq))?;
        let ring = self.owners[usize::from(ifq)]?;
        let ifq = if draw.byte() == u8::MAX { Literal::Number(literal::MAX).to_var() } else { ifq };
        Some((ring, ifq))
    }
}
