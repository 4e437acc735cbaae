//! The operations of a test, in one table.
//!
//! A line of the table is one operation: its verb, the kind of its result, how a step with it is
//! written, and its arguments in the order of the text. Parser, printer, validation, renaming,
//! shrinker and the random test files of the format's own tests are written against [`Arg`], not
//! against single operations.
//!
//! To add an operation:
//!
//! 1. add it to the table, and its verb to the modifiers that apply to it
//!    ([`super::arg_modifier`]);
//! 2. make the system call on the model, in `user::app`;
//! 3. add its result to the sequential specification, in `spec`;
//! 4. make the system call on a live kernel, in `live::ops` of `ifq-real`;
//! 5. add a test file to the library, and a weight to `generate::ops` of `ifq-sim`, so that drawn
//!    tests use it.
//!
//! The compiler reports the missing places of 2 to 4. An argument of a new kind needs a new [`Arg`].

use serde::{Deserialize, Serialize};

use super::arg::{
    Arg, BUFFERS, ENTRIES, Event, Layout, QUEUE, RECV_LEN, RqWord, SEND_LEN, Source, UsedResult,
    VarKind,
};
use super::arg_modifier::ArgModifiers;
use super::ids::{RingId, SocketId, VarId};
use super::literal::Literal;

/// What stands before the verb of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerbPrefix {
    /// `RING:`.
    Ring,
    /// `SOCKET:`.
    Socket,
    /// Nothing.
    None,
}

/// A line of the table of operations.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// The verb.
    pub verb: &'static str,
    /// How a step with the operation is written.
    pub usage: &'static str,
    /// The kind of its result.
    pub yields: VarKind,
    /// The operation with default arguments. They are valid only by accident.
    pub blank: fn() -> Op,
}

impl Operation {
    /// What stands before the verb.
    #[must_use]
    pub fn prefix(&self) -> VerbPrefix {
        let mut prefix = VerbPrefix::None;
        (self.blank)().for_each_arg(|arg| match arg {
            Arg::Driver(_) => prefix = VerbPrefix::Ring,
            Arg::Peer(_) => prefix = VerbPrefix::Socket,
            _ => {}
        });
        prefix
    }
}

/// Defines [`Op`] and everything that follows from an operation's line of the table.
///
/// A line is `Variant "verb" VarKind "usage" { field: Type => arguments; ... }`. The arguments are
/// expressions of type [`Arg`] in the order of the text; they refer to the fields by name.
macro_rules! operations {
    ($(
        $(#[$meta:meta])*
        $variant:ident $verb:literal $yields:ident $usage:literal
        $({ $(
            $(#[$field_meta:meta])*
            $field:ident: $type:ty => $($arg:expr),+;
        )* })?
    )*) => {
        /// One operation of user space, with its arguments.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Op {
            $($(#[$meta])* $variant $({ $($(#[$field_meta])* $field: $type,)* })?,)*
        }

        /// The table of operations.
        pub static OPERATIONS: &[Operation] = &[$(
            Operation {
                verb: $verb,
                usage: $usage,
                yields: VarKind::$yields,
                blank: || Op::$variant $({ $($field: Default::default(),)* })?,
            },
        )*];

        impl Op {
            /// The verb that test files use.
            #[must_use]
            pub fn verb(&self) -> &'static str {
                match self { $(Op::$variant { .. } => $verb,)* }
            }

            /// The kind of the result.
            #[must_use]
            pub fn yields(&self) -> VarKind {
                match self { $(Op::$variant { .. } => VarKind::$yields,)* }
            }

            /// Calls a function on each argument, in the order of the text.
            #[inline]
            pub fn for_each_arg<'a>(&'a mut self, mut f: impl FnMut(Arg<'a>)) {
                match self {
                    $(Op::$variant $({ $($field,)* })? => {
                        $($($(f($arg);)+)*)?
                    })*
                }
            }
        }
    };
}

operations! {
    /// `IORING_REGISTER_ZCRX_IFQ`. Result: the id, or -errno.
    Register "register" Ifq "`RING: register nodev|queue=N buffers=N entries=N`" {
        /// The ring.
        ring: RingId => Arg::Driver(ring);
        /// A device queue, or no device.
        source: Source => Arg::Source(source);
        /// Size of the area in buffers of one page.
        buffers: u32 => Arg::Number(buffers, BUFFERS);
        /// Requested number of entries of the refill ring.
        entries: u32 => Arg::Number(entries, ENTRIES);
        /// Which fields of the argument differ from the default.
        #[serde(default, skip_serializing_if = "ArgModifiers::is_empty")]
        modifiers: ArgModifiers => Arg::Modifiers(modifiers);
    }
    /// `IORING_REGISTER_ZCRX_IFQ` with `IORING_ZCRX_IFQ_REG_CLONE`. Result: the id, or -errno.
    Clone "clone" Ifq "`RING: clone RING IFQ`" {
        /// The ring that clones.
        ring: RingId => Arg::Driver(ring);
        /// The source ring, whose descriptor is in `if_idx`.
        from: RingId => Arg::OtherRing(from);
        /// A [`VarKind::Ifq`] of the source ring, in `if_rxq`.
        #[serde(with = "super::literal")]
        ifq: VarId => Arg::Result(ifq, UsedResult::OwnIfq);
        /// Which fields of the argument differ from the default.
        #[serde(default, skip_serializing_if = "ArgModifiers::is_empty")]
        modifiers: ArgModifiers => Arg::Modifiers(modifiers);
    }
    /// `ZCRX_CTRL_EXPORT`. Result: a file descriptor, or -errno.
    Export "export" Fd "`RING: export IFQ`" {
        /// The ring.
        ring: RingId => Arg::Driver(ring);
        /// A [`VarKind::Ifq`] of this ring.
        #[serde(with = "super::literal")]
        ifq: VarId => Arg::Result(ifq, UsedResult::OwnIfq);
        /// Which fields of the argument differ from the default.
        #[serde(default, skip_serializing_if = "ArgModifiers::is_empty")]
        modifiers: ArgModifiers => Arg::Modifiers(modifiers);
    }
    /// `IORING_REGISTER_ZCRX_IFQ` with `ZCRX_REG_IMPORT`. Result: the id, or -errno.
    Import "import" Ifq "`RING: import FD|fd=N|ring=RING`" {
        /// The ring.
        ring: RingId => Arg::Driver(ring);
        /// A [`VarKind::Fd`], or any descriptor.
        #[serde(with = "super::literal")]
        fd: VarId => Arg::Result(fd, UsedResult::AnyFd);
        /// Which fields of the argument differ from the default.
        #[serde(default, skip_serializing_if = "ArgModifiers::is_empty")]
        modifiers: ArgModifiers => Arg::Modifiers(modifiers);
    }
    /// `ZCRX_CTRL_FLUSH_RQ`. Result: 0 or -errno.
    Flush "flush" Status "`RING: flush IFQ`" {
        /// The ring.
        ring: RingId => Arg::Driver(ring);
        /// A [`VarKind::Ifq`] of this ring.
        #[serde(with = "super::literal")]
        ifq: VarId => Arg::Result(ifq, UsedResult::OwnIfq);
        /// Which fields of the argument differ from the default.
        #[serde(default, skip_serializing_if = "ArgModifiers::is_empty")]
        modifiers: ArgModifiers => Arg::Modifiers(modifiers);
    }
    /// `ZCRX_CTRL_ADD_AREA`. Result: 0 or -errno.
    AddArea "add-area" Status "`RING: add-area IFQ buffers=N`" {
        /// The ring.
        ring: RingId => Arg::Driver(ring);
        /// A [`VarKind::Ifq`] of this ring.
        #[serde(with = "super::literal")]
        ifq: VarId => Arg::Result(ifq, UsedResult::OwnIfq);
        /// Size of the area in buffers of one page.
        buffers: u32 => Arg::Number(buffers, BUFFERS);
        /// Which fields of the argument differ from the default.
        #[serde(default, skip_serializing_if = "ArgModifiers::is_empty")]
        modifiers: ArgModifiers => Arg::Modifiers(modifiers);
    }
    /// `ZCRX_CTRL_ARM_EVENT`. Result: 0 or -errno.
    Arm "arm" Status "`RING: arm IFQ alloc-fail|copy|unknown`" {
        /// The ring.
        ring: RingId => Arg::Driver(ring);
        /// A [`VarKind::Ifq`] of this ring.
        #[serde(with = "super::literal")]
        ifq: VarId => Arg::Result(ifq, UsedResult::OwnIfq);
        /// `event_type`.
        event: Event => Arg::Event(event);
        /// Which fields of the argument differ from the default.
        #[serde(default, skip_serializing_if = "ArgModifiers::is_empty")]
        modifiers: ArgModifiers => Arg::Modifiers(modifiers);
    }
    /// `mmap` of the refill ring's region through the ring's descriptor. Result: 0 or -errno.
    Mmap "mmap" Status "`RING: mmap IFQ`" {
        /// The ring.
        ring: RingId => Arg::Driver(ring);
        /// A [`VarKind::Ifq`] of this ring.
        #[serde(with = "super::literal")]
        ifq: VarId => Arg::Result(ifq, UsedResult::OwnIfq);
    }
    /// `unregister_netdevice` of the test's network device. Result: 0.
    UnregisterNetdev "unregister-netdev" Status "`unregister-netdev`"
    /// Takes the test's network device down (`ip link set DEV down`). Its queues stay bound. Result: 0 or
    /// -ENODEV.
    NetdevDown "netdev-down" Status "`netdev-down`"
    /// Brings the test's network device up: each bound queue gets a new page pool. Result: 0 or -errno.
    NetdevUp "netdev-up" Status "`netdev-up`"
    /// Restarts a queue of the test's network device: a bound queue gets a new page pool. Result: 0 or
    /// -errno.
    RestartQueue "restart-queue" Status "`restart-queue N`" {
        /// The queue.
        queue: u32 => Arg::Number(queue, QUEUE);
    }
    /// User space overwrites a word of a refill ring, against the rules. Result: 0.
    Scribble "scribble" Status "`scribble IFQ head|tail|off=N|pad=N VALUE`" {
        /// A [`VarKind::Ifq`]: the ring that its registration made.
        ifq: VarId => Arg::Result(ifq, UsedResult::AnyIfq);
        /// Which word.
        word: RqWord => Arg::RqWord(word);
        /// The new value.
        value: u64 => Arg::Value(value);
    }
    /// Closes the ring's file descriptor. The kernel tears the ring down in the background. Result: 0,
    /// or -EBADF if the descriptor is closed already.
    Exit "exit" Status "`RING: exit`" {
        /// The ring.
        ring: RingId => Arg::Driver(ring);
    }
    /// `IORING_REGISTER_SYNC_CANCEL` of one request of the ring. Result: 0, or -ENOENT if the request is not
    /// armed.
    Cancel "cancel" Status "`RING: cancel REQUEST`" {
        /// The ring.
        ring: RingId => Arg::Driver(ring);
        /// The result of the `recv` step.
        request: VarId => Arg::Result(request, UsedResult::Request);
    }
    /// `IORING_REGISTER_SYNC_CANCEL` of all requests of the ring on a connection. Result: their number, or
    /// -errno.
    CancelSocket "cancel-socket" Status "`RING: cancel-socket SOCKET`" {
        /// The ring.
        ring: RingId => Arg::Driver(ring);
        /// The connection.
        socket: SocketId => Arg::Socket(socket);
    }
    /// `IORING_REGISTER_SYNC_CANCEL` of all requests of the ring. Result: their number, or -errno.
    CancelAll "cancel-all" Status "`RING: cancel-all`" {
        /// The ring.
        ring: RingId => Arg::Driver(ring);
    }
    /// `IORING_REGISTER_ENABLE_RINGS`: the ring belongs to the calling task from now on. Result: 0 or -errno.
    Enable "enable" Status "`RING: enable`" {
        /// The ring.
        ring: RingId => Arg::Driver(ring);
    }
    /// The thread's task executes another program, which uses no ring. Only as the last step of a thread.
    /// Result: 0.
    Exec "exec" Status "`exec`"
    /// The process of all tasks exits with everything open. Only as the last step of `finally`. Result: 0.
    Die "die" Status "`die`"
    /// Closes an exported descriptor. Result: 0 or -EBADF.
    Close "close" Status "`close FD`" {
        /// A [`VarKind::Fd`].
        fd: VarId => Arg::Result(fd, UsedResult::Fd);
    }
    /// Closes the descriptor of a connection's near end. Requests that were submitted before keep the socket;
    /// with the last reference the connection ends, and the peer is reset. Result: 0 or -EBADF.
    CloseSocket "close-socket" Status "`close-socket SOCKET`" {
        /// The connection.
        socket: SocketId => Arg::Socket(socket);
    }
    /// Submits a multishot `IORING_OP_RECV_ZC`. Result: 0 when submitted, otherwise -errno of the ring
    /// (-EBADF). `Wait` returns the completions of the request.
    Recv "recv" Status "`RING: recv IFQ SOCKET [len=N]`" {
        /// The ring.
        ring: RingId => Arg::Driver(ring);
        /// A [`VarKind::Ifq`] of this ring.
        #[serde(with = "super::literal")]
        ifq: VarId => Arg::Result(ifq, UsedResult::OwnIfq);
        /// The connection to receive from.
        socket: SocketId => Arg::Socket(socket);
        /// Total number of bytes after which the request ends; 0: no limit.
        len: u32 => Arg::Number(len, RECV_LEN);
        /// Which fields of the argument differ from the default.
        #[serde(default, skip_serializing_if = "ArgModifiers::is_empty")]
        modifiers: ArgModifiers => Arg::Modifiers(modifiers);
    }
    /// Waits for the ring's next completion and takes it. Result: its `res`; -ETIME if none comes;
    /// otherwise -errno of the ring (-EBADF).
    Wait "wait" Cqe "`RING: wait`" {
        /// The ring.
        ring: RingId => Arg::Driver(ring);
    }
    /// Returns the buffer of a completion through the refill ring. Result: 0; -ENODATA if the
    /// completion has no buffer; -EAGAIN if the refill ring is full.
    Return "return" Status "`return CQE to IFQ [unlocked] [unchecked]`" {
        /// A [`VarKind::Cqe`] with a buffer.
        cqe: VarId => Arg::Result(cqe, UsedResult::Cqe);
        /// The ifq whose refill ring is used.
        ifq: VarId => Arg::Keyword("to"), Arg::Result(ifq, UsedResult::AnyIfq);
        /// Whether user space holds the producers' lock meanwhile.
        locked: bool => Arg::Locked(locked);
        /// Whether user space looks for room in the ring first.
        #[serde(default = "yes", skip_serializing_if = "is_yes")]
        checked: bool => Arg::Checked(checked);
    }
    /// The peer sends bytes. Ends when they are in the receive queue. Result: 0 or -errno.
    Send "send" Status "`SOCKET: send BYTES [frags=N|packets=N]`" {
        /// The connection.
        socket: SocketId => Arg::Peer(socket);
        /// Number of bytes.
        len: u32 => Arg::Number(len, SEND_LEN);
        /// How they lie in packets and buffers.
        #[serde(default, skip_serializing_if = "Layout::is_pages")]
        layout: Layout => Arg::Layout(layout);
    }
    /// The peer ends its stream. Result: 0 or -errno.
    Shutdown "shutdown" Status "`SOCKET: shutdown`" {
        /// The connection.
        socket: SocketId => Arg::Peer(socket);
    }
    /// The peer closes its socket with `SO_LINGER` 0, which sends a reset. Result: 0, or -EPIPE if it is
    /// closed already.
    Reset "reset" Status "`SOCKET: reset`" {
        /// The connection.
        socket: SocketId => Arg::Peer(socket);
    }
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

impl Op {
    /// The ring that the operation drives, if it drives one.
    ///
    /// `IORING_SETUP_SINGLE_ISSUER` ties such operations to one thread, except for closing the ring.
    #[must_use]
    pub fn ring(&self) -> Option<RingId> {
        let (mut driver, mut op) = (None, *self);
        op.for_each_arg(|arg| {
            if let Arg::Driver(ring) = arg {
                driver = Some(*ring);
            }
        });
        driver
    }

    /// Whether the operation acts on the test's network device.
    #[must_use]
    pub fn acts_on_netdev(&self) -> bool {
        matches!(
            self,
            Op::UnregisterNetdev | Op::NetdevDown | Op::NetdevUp | Op::RestartQueue { .. }
        )
    }

    /// Whether the operation writes to a refill ring against the rules: past the producers' lock, without
    /// a look for room, or as no producer does.
    #[must_use]
    pub fn breaks_refill_rules(&self) -> bool {
        let stale = self.modifiers().has(super::arg_modifier::ArgModifier::StaleRing);
        let plain = match self {
            Op::Return { locked, checked, .. } => *locked && *checked,
            Op::Scribble { .. } => false,
            _ => true,
        };
        stale || !plain
    }

    /// Whether the operation names an id or a descriptor by its number.
    #[must_use]
    pub fn has_literal(&self) -> bool {
        let (mut found, mut op) = (false, *self);
        op.for_each_arg(|arg| {
            found |= matches!(arg, Arg::Result(var, _) if Literal::of(*var).is_some());
        });
        found
    }

    /// The variables that the operation reads, in the order of the text.
    pub fn uses(&self) -> impl Iterator<Item = VarId> + use<> {
        self.results().filter(|var| Literal::of(*var).is_none())
    }

    /// What stands in the places of results, in the order of the text: variables and literals.
    pub fn results(&self) -> impl Iterator<Item = VarId> + use<> {
        // No operation has more than two.
        let (mut used, mut count, mut op) = ([None; 2], 0, *self);
        op.for_each_arg(|arg| {
            if let Arg::Result(var, _) = arg {
                used[count] = Some(*var);
                count += 1;
            }
        });
        used.into_iter().flatten()
    }

    /// Calls a function on each variable that the operation reads. The function may rename it.
    #[inline]
    pub fn for_each_var(&mut self, mut f: impl FnMut(&mut VarId)) {
        self.for_each_arg(|arg| {
            if let Arg::Result(var, _) = arg
                && Literal::of(*var).is_none()
            {
                f(var);
            }
        });
    }

    /// Calls a function on each ring that the operation names, the driven one first. The function may
    /// rename it.
    pub fn for_each_ring(&mut self, mut f: impl FnMut(&mut RingId)) {
        self.for_each_arg(|arg| match arg {
            Arg::Driver(ring) | Arg::OtherRing(ring) => f(ring),
            Arg::Result(var, _) => {
                if let Some(Literal::Ring(mut ring)) = Literal::of(*var) {
                    f(&mut ring);
                    *var = Literal::Ring(ring).to_var();
                }
            }
            _ => {}
        });
    }

    /// The connection that the operation uses.
    #[must_use]
    pub fn socket_mut(&mut self) -> Option<&mut SocketId> {
        let mut found = None;
        self.for_each_arg(|arg| {
            if let Arg::Peer(socket) | Arg::Socket(socket) = arg {
                found = Some(socket);
            }
        });
        found
    }

    /// The argument modifiers; none if the operation cannot have any.
    #[must_use]
    pub fn modifiers(&self) -> ArgModifiers {
        let mut op = *self;
        op.modifiers_mut().map_or(ArgModifiers::NONE, |modifiers| *modifiers)
    }

    /// The argument modifiers, if the operation can have any.
    #[must_use]
    pub fn modifiers_mut(&mut self) -> Option<&mut ArgModifiers> {
        let mut found = None;
        self.for_each_arg(|arg| {
            if let Arg::Modifiers(modifiers) = arg {
                found = Some(modifiers);
            }
        });
        found
    }
}

#[cfg(test)]
mod tests;
