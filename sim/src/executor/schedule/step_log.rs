//! What the last step of a run has done, in the terms of a schedule in words. Recorded on demand.

use ifq_model::platform::{Kind, Rmw};
use ifq_model::test::schedule::{Access, AccessKind, ObjectName, Owner};

use crate::executor::machine::Machine;

/// The object of an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accessed {
    /// A word of the memory.
    Word(u32),
    /// A whole object: its kind and number.
    Object(Kind, u32),
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happened {
    /// The thread has accessed an object.
    Access(AccessKind, Accessed),
    /// The thread has entered the function.
    Enter,
    /// The thread has returned from the function.
    Return,
}

/// One event of a step, and the innermost kernel function at that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoggedEvent {
    pub(crate) function: Option<&'static str>,
    pub(crate) happened: Happened,
}

/// The kind of an atomic read-modify-write.
pub(crate) fn kind_of_rmw(op: Rmw) -> AccessKind {
    match op {
        Rmw::Add(_) => AccessKind::Inc,
        Rmw::Sub(_) => AccessKind::Dec,
        Rmw::Xchg(_) => AccessKind::Xchg,
        Rmw::Or(_) => AccessKind::Or,
        Rmw::And(_) => AccessKind::And,
        Rmw::CmpXchg { .. } => AccessKind::CmpXchg,
        Rmw::AddUnless { .. } => AccessKind::IncUnless,
    }
}

impl Accessed {
    /// Whether a schedule means this object by a name.
    pub(crate) fn is_named(self, machine: &Machine, name: &ObjectName) -> bool {
        match self {
            Accessed::Object(kind, number) => {
                let rest = name.name.strip_prefix(kind.name());
                rest.is_some_and(|rest| rest.is_empty() || rest == number.to_string())
            }
            Accessed::Word(word) => {
                machine.label(word) == name.name
                    && name.owner.as_ref().is_none_or(|owner| {
                        machine
                            .owner(word)
                            .is_some_and(|(kind, n)| kind.name() == owner.kind && n == owner.number)
                    })
            }
        }
    }

    /// Its name in a schedule.
    pub(crate) fn name(self, machine: &Machine) -> ObjectName {
        match self {
            Accessed::Object(kind, number) => {
                ObjectName { owner: None, name: format!("{}{number}", kind.name()) }
            }
            Accessed::Word(word) => {
                let owner = machine.owner(word);
                let owner = owner.map(|(kind, number)| Owner { kind: kind.name().to_owned(), number });
                ObjectName { owner, name: machine.label(word).to_owned() }
            }
        }
    }
}

impl LoggedEvent {
    /// Whether the event is an access that a schedule names.
    pub(crate) fn is_access(&self, machine: &Machine, access: &Access) -> bool {
        match self.happened {
            Happened::Access(kind, object) => {
                kind == access.kind && object.is_named(machine, &access.object)
            }
            Happened::Enter | Happened::Return => false,
        }
    }
}
