//! The kinds of arguments of operations.

use serde::{Deserialize, Serialize};

use super::arg_modifier::ArgModifiers;
use super::ids::{RingId, SocketId, VarId};
use super::limits;
use crate::named_enum::named_enum;
pub use crate::net::layout::Layout;

named_enum! {
    /// `enum zcrx_event_type`.
    #[derive(Default)]
    pub enum Event {
        #[default]
        AllocFail "alloc-fail" "`ZCRX_EVENT_ALLOC_FAIL`.";
        Copy "copy" "`ZCRX_EVENT_COPY`.";
        Unknown "unknown" "A number that is not in the enum.";
    }
}

/// A word of a refill ring that user space can write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RqWord {
    /// `head`, which only the kernel should write.
    #[default]
    Head,
    /// `tail`.
    Tail,
    /// `off` of an entry, by its index in the ring.
    Off(u32),
    /// `__pad` of an entry, by its index in the ring.
    Pad(u32),
}

/// The kind of value that a step binds to its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VarKind {
    /// The id of an ifq in a ring (`register`, `clone`, `import`).
    Ifq,
    /// A file descriptor (`export`).
    Fd,
    /// A completion (`wait`).
    Cqe,
    /// Success or an errno.
    Status,
}

/// The source of an ifq's packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// `ZCRX_REG_NODEV`: no device; the kernel copies all data.
    #[default]
    Nodev,
    /// A receive queue of the network device.
    Queue(u32),
}

/// A number among the arguments of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberSpec {
    /// The word before `=`.
    pub key: &'static str,
    /// What errors call the number.
    pub what: &'static str,
    /// How it is written.
    pub form: NumberForm,
    /// Smallest value.
    pub min: u32,
    /// Largest value.
    pub max: u32,
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberForm {
    /// `KEY=N`.
    Keyed,
    /// `KEY=N`, or nothing for zero.
    OptionalKeyed,
    /// `N`.
    Plain,
}

/// Number of buffers of an area.
pub(super) const BUFFERS: NumberSpec = keyed("buffers", 1, limits::BUFFERS);
/// Number of entries of a refill ring.
pub(super) const ENTRIES: NumberSpec = keyed("entries", 0, limits::ENTRIES);
/// Length of a receive; 0: no limit.
pub(super) const RECV_LEN: NumberSpec =
    NumberSpec { form: NumberForm::OptionalKeyed, ..keyed("len", 0, u32::MAX) };
/// Length of a send.
pub(super) const SEND_LEN: NumberSpec = NumberSpec {
    what: "number of bytes",
    form: NumberForm::Plain,
    ..keyed("len", 1, limits::SEND)
};

/// Index of a queue of the network device.
pub(super) const QUEUE: NumberSpec =
    NumberSpec { what: "queue", form: NumberForm::Plain, ..keyed("queue", 0, limits::QUEUES - 1) };

const fn keyed(key: &'static str, min: u32, max: u32) -> NumberSpec {
    NumberSpec { key, what: key, form: NumberForm::Keyed, min, max }
}

/// A result of another step that an operation uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UsedResult {
    /// An ifq of the ring that the operation names last, or an id that no ifq of the ring has.
    OwnIfq,
    /// An ifq of any ring.
    AnyIfq,
    /// A file descriptor.
    Fd,
    /// A file descriptor, also a closed one or that of a ring.
    AnyFd,
    /// A completion.
    Cqe,
    /// A request: the result of `recv`.
    Request,
}

impl UsedResult {
    /// The kind of the variable.
    #[must_use]
    pub fn kind(self) -> VarKind {
        match self {
            UsedResult::OwnIfq | UsedResult::AnyIfq => VarKind::Ifq,
            UsedResult::Fd | UsedResult::AnyFd => VarKind::Fd,
            UsedResult::Cqe => VarKind::Cqe,
            UsedResult::Request => VarKind::Status,
        }
    }
}

/// One argument of an operation.
#[derive(Debug)]
pub enum Arg<'a> {
    /// The ring that the operation drives, written before the verb: `RING:`.
    Driver(&'a mut RingId),
    /// The connection whose peer acts, written before the verb: `SOCKET:`.
    Peer(&'a mut SocketId),
    /// Another ring.
    OtherRing(&'a mut RingId),
    /// A connection.
    Socket(&'a mut SocketId),
    /// The result of another step.
    Result(&'a mut VarId, UsedResult),
    /// A word that only separates arguments.
    Keyword(&'static str),
    /// `nodev` or `queue=N`.
    Source(&'a mut Source),
    /// A number.
    Number(&'a mut u32, NumberSpec),
    /// An event.
    Event(&'a mut Event),
    /// A word of a refill ring.
    RqWord(&'a mut RqWord),
    /// A number of 64 bits.
    Value(&'a mut u64),
    /// `frags=N` or `packets=N`, or nothing.
    Layout(&'a mut Layout),
    /// `unlocked`, if the value is false.
    Locked(&'a mut bool),
    /// `unchecked`, if the value is false.
    Checked(&'a mut bool),
    /// `with MODIFIER...`, if there are any. The last argument.
    Modifiers(&'a mut ArgModifiers),
}
