//! Generates the lines of a schedule in words.

use ifq_model::names::{FIELDS, FUNCTIONS, KINDS};
use ifq_model::test::Test;
use ifq_model::test::schedule::{
    Access, AccessKind, CodePlace, FailingFault, ObjectName, Owner, Place, Position, Switch,
    ThreadName,
};

use super::Bytes;

/// Draws lines for a test.
pub(super) struct Switches<'a, 'b> {
    pub(super) bytes: &'a mut Bytes<'b>,
    pub(super) test: &'a Test,
}

impl Switches<'_, '_> {
    pub(super) fn switch(&mut self) -> Switch {
        let thread = self.thread();
        let or_any = self.bytes.below(4) == 1;
        let until = match self.bytes.below(4) {
            0 => Place::Done,
            1 => Place::Blocked,
            _ => Place::At(self.place()),
        };
        let points = self.bytes.few(&self.test.faults);
        let mut failing = Vec::new();
        for point in points {
            let occurrence = self.occurrence();
            failing.push(FailingFault { point, occurrence });
        }
        Switch { thread, or_any, until, failing }
    }

    fn thread(&mut self) -> ThreadName {
        let ring = self.bytes.below(self.test.rings.len()) as u8;
        let number = self.bytes.below(40) as u32;
        match self.bytes.below(7) {
            0 if !self.test.threads.is_empty() => {
                ThreadName::Test(self.bytes.below(self.test.threads.len()))
            }
            0 | 1 => ThreadName::Main,
            2 => ThreadName::Exit(ring),
            3 => ThreadName::Rcu(ring),
            4 => ThreadName::IfqRcu(number),
            5 => ThreadName::Release(number),
            _ => ThreadName::PagePool(number, self.bytes.below(3) as u32),
        }
    }

    fn occurrence(&mut self) -> u32 {
        if self.bytes.below(2) == 0 { 1 } else { 1 + self.bytes.below(200) as u32 }
    }

    fn place(&mut self) -> CodePlace {
        let function = self.bytes.pick(FUNCTIONS).map(str::to_owned);
        let occurrence = self.occurrence();
        let position = self.bytes.pick(Position::ALL).expect("there are positions");
        if matches!(position, Position::Enter | Position::Return) {
            return CodePlace { function, position, access: None, occurrence };
        }
        let kind = self.bytes.pick(AccessKind::ALL).expect("there are kinds of access");
        let position = if kind.is_scheduling_point() { position } else { Position::After };
        let object = match kind {
            AccessKind::Alloc | AccessKind::Free => {
                let name = self.bytes.pick(KINDS).expect("there are kinds").to_owned();
                let number = self.bytes.below(3);
                let name = if number == 0 { name } else { format!("{name}{number}") };
                ObjectName { owner: None, name }
            }
            _ => ObjectName {
                owner: self.owner(),
                name: self.bytes.pick(FIELDS).expect("there are fields").to_owned(),
            },
        };
        let function = function.filter(|_| self.bytes.below(4) != 1);
        CodePlace { function, position, access: Some(Access { kind, object }), occurrence }
    }

    fn owner(&mut self) -> Option<Owner> {
        let kind = self.bytes.pick(KINDS).filter(|_| self.bytes.below(3) != 1)?;
        let number = match kind {
            "ring" => self.bytes.below(self.test.rings.len()),
            _ => self.bytes.below(12),
        };
        Some(Owner { kind: kind.to_owned(), number: number as u32 })
    }
}
