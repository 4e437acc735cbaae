//! A test as data: what is set up, what the threads do, what is looked at.
//!
//! This is the meaning of a test file; the text format and its errors are in `ifq-sim`, the run on
//! a kernel is in `ifq-real`, the run on the model is [`crate::world`].

use serde::{Deserialize, Serialize};

use crate::fault::FaultPoint;
use crate::invariant::Invariant;
use crate::revision::{Defect, Revision};

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
    /// Rings, by name. Each is set up before the first step.
    pub rings: Vec<String>,
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
    },
    /// `ZCRX_CTRL_EXPORT`. Result: a file descriptor, or -errno.
    Export {
        /// The ring.
        ring: RingId,
        /// An [`VarKind::Ifq`] of this ring.
        ifq: VarId,
    },
    /// `IORING_REGISTER_ZCRX_IFQ` with `ZCRX_REG_IMPORT`. Result: the id, or -errno.
    Import {
        /// The ring.
        ring: RingId,
        /// A [`VarKind::Fd`].
        fd: VarId,
    },
    /// `ZCRX_CTRL_FLUSH_RQ`. Result: 0 or -errno.
    Flush {
        /// The ring.
        ring: RingId,
        /// An [`VarKind::Ifq`] of this ring.
        ifq: VarId,
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
        match *self {
            Op::Register { ring, .. }
            | Op::Export { ring, .. }
            | Op::Import { ring, .. }
            | Op::Flush { ring, .. }
            | Op::Exit { ring }
            | Op::Recv { ring, .. }
            | Op::Wait { ring } => Some(ring),
            Op::Close { .. } | Op::Return { .. } | Op::Send { .. } | Op::Shutdown { .. } => None,
        }
    }

    /// The variables that the operation reads.
    pub fn uses(&self) -> impl Iterator<Item = VarId> + use<> {
        let (a, b) = match *self {
            Op::Export { ifq, .. } | Op::Flush { ifq, .. } | Op::Recv { ifq, .. } => {
                (Some(ifq), None)
            }
            Op::Import { fd, .. } | Op::Close { fd } => (Some(fd), None),
            Op::Return { cqe, ifq, .. } => (Some(cqe), Some(ifq)),
            Op::Register { .. }
            | Op::Exit { .. }
            | Op::Wait { .. }
            | Op::Send { .. }
            | Op::Shutdown { .. } => (None, None),
        };
        a.into_iter().chain(b)
    }

    /// What kind of value the operation yields.
    #[must_use]
    pub fn yields(&self) -> VarKind {
        match self {
            Op::Register { .. } | Op::Import { .. } => VarKind::Ifq,
            Op::Export { .. } => VarKind::Fd,
            Op::Wait { .. } => VarKind::Cqe,
            _ => VarKind::Status,
        }
    }
}

/// What the checker must say about a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expect {
    /// With these defects switched on; empty: the revision as it is.
    pub defects: Vec<Defect>,
    /// `None`: everything holds. Otherwise the invariant that breaks.
    pub violates: Option<Invariant>,
}

/// The decisions of one run: which thread took each step, which choice each fault point made, in
/// order. The meaning of a number is the executor's; a file that holds one names its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The defects that were on.
    pub defects: Vec<Defect>,
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

    /// All steps: set-up, threads, the end.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.setup.iter().chain(self.threads.iter().flat_map(|t| &t.steps)).chain(&self.finally)
    }

    /// The step that binds a variable.
    #[must_use]
    pub fn binding(&self, var: VarId) -> Option<&Step> {
        self.steps().find(|s| s.bind == Some(var))
    }

    /// The `register` step that an ifq or fd variable goes back to, through imports and exports.
    /// `None` if the variable is of another kind, is bound nowhere or goes round in a circle.
    #[must_use]
    pub fn origin(&self, var: VarId) -> Option<VarId> {
        let mut var = var;
        for _ in 0..=self.vars.len() {
            match self.binding(var)?.op {
                Op::Register { .. } => return Some(var),
                Op::Export { ifq, .. } => var = ifq,
                Op::Import { fd, .. } => var = fd,
                _ => return None,
            }
        }
        None
    }
}
