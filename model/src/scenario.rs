//! A test as data: what is set up, what the threads do, what is looked at.
//!
//! This is the meaning of a test file; the text format and its errors are in `ifq-sim`, the run on
//! a kernel is in `ifq-real`, the run on the model is [`crate::world`].

use serde::{Deserialize, Serialize};

use crate::fault::FaultPoint;
use crate::invariant::Invariant;
use crate::quirk::Quirks;
use crate::revision::{Defect, Entry, Revision, Variant};

/// Upper bounds of what a test may hold.
pub mod limits {
    /// Rings in one test.
    pub const RINGS: usize = 32;
    /// Sockets in one test.
    pub const SOCKETS: usize = 32;
    /// Threads in one test.
    pub const THREADS: usize = 32;
    /// Steps in one section.
    pub const STEPS: usize = 4096;
    /// Bound names in one test.
    pub const VARS: usize = 4096;
    /// Buffers (niovs of one page) in an area.
    pub const BUFFERS: u32 = 4096;
    /// Entries that may be asked for; the kernel's own limit is `IO_RQ_MAX_ENTRIES`, 32768.
    pub const ENTRIES: u32 = 65536;
    /// Bytes in one send.
    pub const SEND: u32 = 65536;
    /// Receive queues of the test's network device.
    pub const QUEUES: u32 = 16;
    /// Faults in one run.
    pub const FAULTS: u32 = 8;
    /// Areas of one ifq, the first one included; the kernel's own limit is `ZCRX_MAX_AREAS`, 1024.
    pub const AREAS: usize = 8;
}

/// Index into [`Test::rings`].
pub type RingId = u8;
/// Index into [`Test::sockets`].
pub type SocketId = u8;
/// Index into [`Test::vars`].
pub type VarId = u16;

/// A whole test. The default is empty, and not valid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// The claim, as a file name: `owner-leaves-first`.
    pub name: String,
    /// One sentence about it.
    pub about: String,
    /// The revisions it is for, oldest first; not empty.
    pub revisions: Vec<Revision>,
    /// The entries of the catalogue that it shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shows: Vec<Entry>,
    /// Rings, by name. Each is set up before the first step.
    pub rings: Vec<String>,
    /// How rings are set up that are not set up as usual.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub setups: Vec<(RingId, RingSetup)>,
    /// TCP connections, by name. Each is set up before the first step.
    pub sockets: Vec<Socket>,
    /// Number of receive queues of the network device; 0: there is none.
    pub queues: u32,
    /// Names of the bound results.
    pub vars: Vec<Var>,
    /// Runs first, alone, in order.
    pub setup: Vec<Step>,
    /// Run at the same time.
    pub threads: Vec<Thread>,
    /// Runs when all threads have ended, alone, in order.
    pub finally: Vec<Step>,
    /// Points that may fail.
    pub faults: Vec<FaultPoint>,
    /// At most so many of them fail in one run.
    pub max_faults: u32,
    /// The results that make an outcome, in order.
    pub observe: Vec<VarId>,
    /// What the checker must say; not empty.
    pub expect: Vec<Expect>,
    /// The decisions of one run, if this is a counterexample.
    pub schedule: Option<Schedule>,
}

/// A TCP connection whose near end is received from through zcrx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// Name.
    pub name: String,
    /// The device queue that its packets arrive on; `None`: loopback, ordinary pages.
    pub queue: Option<u32>,
}

/// What is unusual about a ring's flags. The usual ones are `DEFER_TASKRUN | SINGLE_ISSUER | CQE32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RingSetup {
    /// Without `IORING_SETUP_DEFER_TASKRUN`.
    NoDefer,
    /// Without `IORING_SETUP_CQE32`.
    NoCqe32,
    /// With `IORING_SETUP_CLAMP`.
    Clamp,
}

impl RingSetup {
    /// All of them.
    pub const ALL: &'static [RingSetup] =
        &[RingSetup::NoDefer, RingSetup::NoCqe32, RingSetup::Clamp];

    /// The word that test files use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RingSetup::NoDefer => "no-defer",
            RingSetup::NoCqe32 => "no-cqe32",
            RingSetup::Clamp => "clamp",
        }
    }
}

/// `enum zcrx_event_type`, and one that there is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// `ZCRX_EVENT_ALLOC_FAIL`.
    AllocFail,
    /// `ZCRX_EVENT_COPY`.
    Copy,
    /// A number that is no event.
    Unknown,
}

impl Event {
    /// All of them, by number.
    pub const ALL: &'static [Event] = &[Event::AllocFail, Event::Copy, Event::Unknown];

    /// The word that test files use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Event::AllocFail => "alloc-fail",
            Event::Copy => "copy",
            Event::Unknown => "unknown",
        }
    }
}

/// A word of a refill ring that user space can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RqWord {
    /// `head`, the kernel's own.
    Head,
    /// `tail`.
    Tail,
    /// `off` of an entry, by its index in the ring.
    Off(u32),
    /// `__pad` of an entry, by its index in the ring.
    Pad(u32),
}

/// What kind of value a step binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VarKind {
    /// An ifq's id in a ring (`register`, `import`).
    Ifq,
    /// A file descriptor (`export`).
    Fd,
    /// A completion (`wait`).
    Cqe,
    /// Only success or an errno.
    Status,
}

/// A bound name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Var {
    /// Name, unique in the test.
    pub name: String,
    /// What it holds.
    pub kind: VarKind,
}

/// One thread of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Name.
    pub name: String,
    /// What it does, in order.
    pub steps: Vec<Step>,
}

/// One operation of user space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is done.
    pub op: Op,
    /// The name its result is bound to.
    pub bind: Option<VarId>,
    /// Waits first until these are bound. A step also waits for the variables that it uses.
    pub after: Vec<VarId>,
}

/// Where an ifq takes its packets from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// `ZCRX_REG_NODEV`: no device, everything is copied.
    Nodev,
    /// A receive queue of the network device.
    Queue(u32),
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// `IORING_REGISTER_ZCRX_IFQ`. Result: the id, or -errno.
    Register {
        /// The ring.
        ring: RingId,
        /// Device queue or none.
        source: Source,
        /// Size of the area in buffers of one page.
        buffers: u32,
        /// Entries asked for in the refill ring.
        entries: u32,
        /// What is unusual about the argument.
        #[serde(default, skip_serializing_if = "Quirks::is_empty")]
        quirks: Quirks,
    },
    /// `IORING_REGISTER_ZCRX_IFQ` with `IORING_ZCRX_IFQ_REG_CLONE`. Result: the id, or -errno.
    Clone {
        /// The ring that clones.
        ring: RingId,
        /// The source ring, whose descriptor is in `if_idx`.
        from: RingId,
        /// An [`VarKind::Ifq`] of the source ring, in `if_rxq`.
        ifq: VarId,
        /// What is unusual about the argument.
        #[serde(default, skip_serializing_if = "Quirks::is_empty")]
        quirks: Quirks,
    },
    /// `ZCRX_CTRL_EXPORT`. Result: a file descriptor, or -errno.
    Export {
        /// The ring.
        ring: RingId,
        /// An [`VarKind::Ifq`] of this ring.
        ifq: VarId,
        /// What is unusual about the argument.
        #[serde(default, skip_serializing_if = "Quirks::is_empty")]
        quirks: Quirks,
    },
    /// `IORING_REGISTER_ZCRX_IFQ` with `ZCRX_REG_IMPORT`. Result: the id, or -errno.
    Import {
        /// The ring.
        ring: RingId,
        /// A [`VarKind::Fd`].
        fd: VarId,
        /// What is unusual about the argument.
        #[serde(default, skip_serializing_if = "Quirks::is_empty")]
        quirks: Quirks,
    },
    /// `ZCRX_CTRL_FLUSH_RQ`. Result: 0 or -errno.
    Flush {
        /// The ring.
        ring: RingId,
        /// An [`VarKind::Ifq`] of this ring.
        ifq: VarId,
        /// What is unusual about the argument.
        #[serde(default, skip_serializing_if = "Quirks::is_empty")]
        quirks: Quirks,
    },
    /// `ZCRX_CTRL_ADD_AREA`. Result: 0 or -errno.
    AddArea {
        /// The ring.
        ring: RingId,
        /// An [`VarKind::Ifq`] of this ring.
        ifq: VarId,
        /// Size of the area in buffers of one page.
        buffers: u32,
        /// What is unusual about the argument.
        #[serde(default, skip_serializing_if = "Quirks::is_empty")]
        quirks: Quirks,
    },
    /// `ZCRX_CTRL_ARM_EVENT`. Result: 0 or -errno.
    Arm {
        /// The ring.
        ring: RingId,
        /// An [`VarKind::Ifq`] of this ring.
        ifq: VarId,
        /// `event_type`.
        event: Event,
        /// What is unusual about the argument.
        #[serde(default, skip_serializing_if = "Quirks::is_empty")]
        quirks: Quirks,
    },
    /// `mmap` of the refill ring's region through the ring's descriptor. Result: 0 or -errno.
    Mmap {
        /// The ring.
        ring: RingId,
        /// An [`VarKind::Ifq`] of this ring.
        ifq: VarId,
    },
    /// The test's network device is unregistered (`unregister_netdevice`). Result: 0.
    UnregisterNetdev,
    /// User space writes a word of a refill ring, whatever the rules are. Result: 0.
    Scribble {
        /// An [`VarKind::Ifq`]: the ring that its registration made.
        ifq: VarId,
        /// Which word.
        word: RqWord,
        /// What is written.
        value: u64,
    },
    /// Closes the ring's file descriptor; what follows happens in the background. Result: 0, or
    /// -EBADF if it is closed already.
    Exit {
        /// The ring.
        ring: RingId,
    },
    /// Closes an exported descriptor. Result: 0 or -EBADF.
    Close {
        /// A [`VarKind::Fd`].
        fd: VarId,
    },
    /// Submits a multishot `IORING_OP_RECV_ZC`. Result: 0 when submitted, -errno of the ring
    /// (-EBADF) otherwise; what becomes of the request is seen by `Wait`.
    Recv {
        /// The ring.
        ring: RingId,
        /// An [`VarKind::Ifq`] of this ring.
        ifq: VarId,
        /// Where from.
        socket: SocketId,
        /// Total number of bytes after which the request ends; 0: no limit.
        len: u32,
        /// What is unusual about the argument.
        #[serde(default, skip_serializing_if = "Quirks::is_empty")]
        quirks: Quirks,
    },
    /// Waits for the ring's next completion and takes it. Result: its `res`; -ETIME if none comes;
    /// -errno of the ring (-EBADF) otherwise.
    Wait {
        /// The ring.
        ring: RingId,
    },
    /// Gives the buffer of a completion back through the refill ring. Result: 0; -ENODATA if the
    /// completion carried no buffer; -EAGAIN if the refill ring is full.
    Return {
        /// A [`VarKind::Cqe`] with a buffer.
        cqe: VarId,
        /// The ifq whose refill ring is used.
        ifq: VarId,
        /// Whether user space holds its lock around the producer's work.
        locked: bool,
    },
    /// The peer sends bytes; returns when they are in the receive queue. Result: 0 or -errno.
    Send {
        /// The connection.
        socket: SocketId,
        /// Number of bytes.
        len: u32,
    },
    /// The peer ends its stream. Result: 0 or -errno.
    Shutdown {
        /// The connection.
        socket: SocketId,
    },
}

impl Op {
    /// The ring that the operation drives, if it drives one.
    ///
    /// `IORING_SETUP_SINGLE_ISSUER` ties such operations to one thread; closing is free.
    #[must_use]
    pub fn ring(&self) -> Option<RingId> {
        let (mut first, mut op) = (None, *self);
        op.for_each_ring(|ring| first = first.or(Some(*ring)));
        first
    }

    /// The variables that the operation reads.
    pub fn uses(&self) -> impl Iterator<Item = VarId> + use<> {
        // The operation is small: a copy with every variable handed to the closure, in order.
        let (mut used, mut op) = (Vec::new(), *self);
        op.for_each_var(|var| used.push(*var));
        used.into_iter()
    }

    /// Calls a function on each variable that the operation reads, which may rename it.
    pub fn for_each_var(&mut self, mut f: impl FnMut(&mut VarId)) {
        match self {
            Op::Clone { ifq, .. }
            | Op::Export { ifq, .. }
            | Op::Flush { ifq, .. }
            | Op::AddArea { ifq, .. }
            | Op::Arm { ifq, .. }
            | Op::Mmap { ifq, .. }
            | Op::Scribble { ifq, .. }
            | Op::Recv { ifq, .. } => f(ifq),
            Op::Import { fd, .. } | Op::Close { fd } => f(fd),
            Op::Return { cqe, ifq, .. } => {
                f(cqe);
                f(ifq);
            }
            Op::Register { .. }
            | Op::Exit { .. }
            | Op::Wait { .. }
            | Op::Send { .. }
            | Op::Shutdown { .. }
            | Op::UnregisterNetdev => {}
        }
    }

    /// Calls a function on each ring that the operation names, which may rename it; the one that it drives
    /// comes first.
    pub fn for_each_ring(&mut self, mut f: impl FnMut(&mut RingId)) {
        match self {
            Op::Clone { ring, from, .. } => {
                f(ring);
                f(from);
            }
            Op::Register { ring, .. }
            | Op::Export { ring, .. }
            | Op::Import { ring, .. }
            | Op::Flush { ring, .. }
            | Op::AddArea { ring, .. }
            | Op::Arm { ring, .. }
            | Op::Mmap { ring, .. }
            | Op::Exit { ring }
            | Op::Recv { ring, .. }
            | Op::Wait { ring } => f(ring),
            Op::Close { .. }
            | Op::Return { .. }
            | Op::Send { .. }
            | Op::Shutdown { .. }
            | Op::UnregisterNetdev
            | Op::Scribble { .. } => {}
        }
    }

    /// The connection that the operation uses.
    #[must_use]
    pub fn socket_mut(&mut self) -> Option<&mut SocketId> {
        match self {
            Op::Recv { socket, .. } | Op::Send { socket, .. } | Op::Shutdown { socket } => {
                Some(socket)
            }
            _ => None,
        }
    }

    /// What is unusual about the argument.
    #[must_use]
    pub fn quirks(&self) -> Quirks {
        match *self {
            Op::Register { quirks, .. }
            | Op::Clone { quirks, .. }
            | Op::Export { quirks, .. }
            | Op::Import { quirks, .. }
            | Op::Flush { quirks, .. }
            | Op::AddArea { quirks, .. }
            | Op::Arm { quirks, .. }
            | Op::Recv { quirks, .. } => quirks,
            Op::Mmap { .. }
            | Op::Exit { .. }
            | Op::Wait { .. }
            | Op::Close { .. }
            | Op::Return { .. }
            | Op::Send { .. }
            | Op::Shutdown { .. }
            | Op::UnregisterNetdev
            | Op::Scribble { .. } => Quirks::NONE,
        }
    }

    /// What kind of value the operation yields.
    #[must_use]
    pub fn yields(&self) -> VarKind {
        match self {
            Op::Register { .. } | Op::Import { .. } | Op::Clone { .. } => VarKind::Ifq,
            Op::Export { .. } => VarKind::Fd,
            Op::Wait { .. } => VarKind::Cqe,
            _ => VarKind::Status,
        }
    }
}

/// What the checker must say about a test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expect {
    /// On these revisions, oldest first; empty: on all for which no other expectation with the same
    /// switches names the revision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<Revision>,
    /// With these defects switched on besides the revision's own.
    pub defects: Vec<Defect>,
    /// With these of the revision's own defects mended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<Defect>,
    /// `None`: everything holds. Otherwise the invariant that breaks.
    pub violates: Option<Invariant>,
}

/// The decisions of one run: which thread took each step, which choice each fault point made, in
/// order. The meaning of a number is the executor's; a file that holds one names its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The defects that were switched on.
    pub defects: Vec<Defect>,
    /// The defects that were mended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<Defect>,
    /// The decisions.
    pub decisions: Vec<u32>,
}

impl Test {
    /// Which thread drives a ring: the first one that has a step on it. `None`: no thread does, so
    /// set-up and the steps at the end do.
    #[must_use]
    pub fn driver(&self, ring: RingId) -> Option<usize> {
        self.threads.iter().position(|t| {
            t.steps.iter().any(|s| s.op.ring() == Some(ring) && !matches!(s.op, Op::Exit { .. }))
        })
    }

    /// Whether a ring is set up in this unusual way.
    #[must_use]
    pub fn is_set_up(&self, ring: RingId, setup: RingSetup) -> bool {
        self.setups.contains(&(ring, setup))
    }

    /// All steps: set-up, threads, the end.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.setup.iter().chain(self.threads.iter().flat_map(|t| &t.steps)).chain(&self.finally)
    }

    /// The step that binds a variable.
    #[must_use]
    pub fn binding(&self, var: VarId) -> Option<&Step> {
        self.steps().find(|s| s.bind == Some(var))
    }

    /// The `register` step that an ifq or fd variable goes back to, through imports, exports and
    /// clones.
    /// `None` if the variable is of another kind, is bound nowhere or goes round in a circle.
    #[must_use]
    pub fn origin(&self, var: VarId) -> Option<VarId> {
        let mut var = var;
        for _ in 0..=self.vars.len() {
            match self.binding(var)?.op {
                Op::Register { .. } => return Some(var),
                Op::Export { ifq, .. } | Op::Clone { ifq, .. } => var = ifq,
                Op::Import { fd, .. } => var = fd,
                _ => return None,
            }
        }
        None
    }

    /// What the test expects of a variant; one that it says nothing about is expected to hold.
    #[must_use]
    pub fn expected(&self, variant: &Variant) -> Option<Invariant> {
        let same = |e: &&Expect| e.defects == variant.defects && e.without == variant.without;
        let named = |e: &&Expect| e.revisions.contains(&variant.revision);
        let mut fitting = self.expect.iter().filter(same);
        let found =
            fitting.clone().find(named).or_else(|| fitting.find(|e| e.revisions.is_empty()));
        found.and_then(|e| e.violates)
    }

    /// The variants that the test says something about, in the order of its expectations; for each
    /// in the order of the revisions.
    #[must_use]
    pub fn variants(&self) -> Vec<Variant> {
        let mut variants: Vec<Variant> = Vec::new();
        for expect in &self.expect {
            let named = &expect.revisions;
            for &revision in if named.is_empty() { &self.revisions } else { named } {
                let (defects, without) = (expect.defects.clone(), expect.without.clone());
                let variant = Variant { revision, defects, without };
                if !variants.contains(&variant) {
                    variants.push(variant);
                }
            }
        }
        variants
    }
}
