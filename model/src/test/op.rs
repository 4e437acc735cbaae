//! The operations of a test: what one step of user space does.

use serde::{Deserialize, Serialize};

use super::arg_modifier::ArgModifiers;
use super::{RingId, SocketId, VarId};

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
        #[serde(default, skip_serializing_if = "ArgModifiers::is_empty")]
        modifiers: ArgModifiers,
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
        #[serde(default, skip_serializing_if = "ArgModifiers::is_empty")]
        modifiers: ArgModifiers,
    },
    /// `ZCRX_CTRL_EXPORT`. Result: a file descriptor, or -errno.
    Export {
        /// The ring.
        ring: RingId,
        /// An [`VarKind::Ifq`] of this ring.
        ifq: VarId,
        /// What is unusual about the argument.
        #[serde(default, skip_serializing_if = "ArgModifiers::is_empty")]
        modifiers: ArgModifiers,
    },
    /// `IORING_REGISTER_ZCRX_IFQ` with `ZCRX_REG_IMPORT`. Result: the id, or -errno.
    Import {
        /// The ring.
        ring: RingId,
        /// A [`VarKind::Fd`].
        fd: VarId,
        /// What is unusual about the argument.
        #[serde(default, skip_serializing_if = "ArgModifiers::is_empty")]
        modifiers: ArgModifiers,
    },
    /// `ZCRX_CTRL_FLUSH_RQ`. Result: 0 or -errno.
    Flush {
        /// The ring.
        ring: RingId,
        /// An [`VarKind::Ifq`] of this ring.
        ifq: VarId,
        /// What is unusual about the argument.
        #[serde(default, skip_serializing_if = "ArgModifiers::is_empty")]
        modifiers: ArgModifiers,
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
        #[serde(default, skip_serializing_if = "ArgModifiers::is_empty")]
        modifiers: ArgModifiers,
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
        #[serde(default, skip_serializing_if = "ArgModifiers::is_empty")]
        modifiers: ArgModifiers,
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
        #[serde(default, skip_serializing_if = "ArgModifiers::is_empty")]
        modifiers: ArgModifiers,
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
    pub fn modifiers(&self) -> ArgModifiers {
        match *self {
            Op::Register { modifiers, .. }
            | Op::Clone { modifiers, .. }
            | Op::Export { modifiers, .. }
            | Op::Import { modifiers, .. }
            | Op::Flush { modifiers, .. }
            | Op::AddArea { modifiers, .. }
            | Op::Arm { modifiers, .. }
            | Op::Recv { modifiers, .. } => modifiers,
            Op::Mmap { .. }
            | Op::Exit { .. }
            | Op::Wait { .. }
            | Op::Close { .. }
            | Op::Return { .. }
            | Op::Send { .. }
            | Op::Shutdown { .. }
            | Op::UnregisterNetdev
            | Op::Scribble { .. } => ArgModifiers::NONE,
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
