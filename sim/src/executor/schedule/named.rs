//! What a step has done, by the names of a schedule in words.

use ifq_model::test::schedule::{Access, ObjectName, Owner};

use crate::executor::machine::Machine;
use crate::executor::step_log::{Accessed, Happened, LoggedEvent};

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
                let owner =
                    owner.map(|(kind, number)| Owner { kind: kind.name().to_owned(), number });
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
