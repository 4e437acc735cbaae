//! The kinds of operations that race.

/// One operation, without its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// `register`, from the source of the family, with one buffer.
    Register,
    /// `import`, or `clone` in a family with proxies.
    Share,
    /// `export`.
    Export,
    /// `flush`.
    Flush,
    /// `add-area` with one buffer.
    AddArea,
    /// `arm` of the event `copy`.
    Arm,
    /// `mmap`.
    Mmap,
    /// `recv` without a limit.
    Recv,
    /// `wait`.
    Wait,
    /// `exit`.
    Exit,
    /// `close`.
    Close,
    /// `send` of one packet.
    Send,
    /// `shutdown`.
    Shutdown,
    /// `return`, under the producers' lock.
    Return,
    /// `unregister-netdev`.
    UnregisterNetdev,
}

impl Action {
    /// Whether a test may have the operation twice, on the same ring and outside the threads of rings.
    pub(super) fn repeats(self) -> bool {
        matches!(self, Action::Close | Action::Send | Action::Return)
    }

    /// Whether each result may be used once by such operations.
    pub(super) fn consumes(self) -> bool {
        matches!(self, Action::Close | Action::Return)
    }

    /// Whether an operation outside the threads of rings names a ring.
    pub(super) fn has_ring(self) -> bool {
        self == Action::Exit
    }

    /// Whether its result is an ifq.
    pub(super) fn makes_ifq(self) -> bool {
        matches!(self, Action::Register | Action::Share)
    }
}
