//! Validation of the schedule of a [`Test`](ifq_model::test::Test).

use ifq_model::names::{FIELDS, FUNCTIONS, KINDS};
use ifq_model::test::limits;
use ifq_model::test::schedule::{
    Access, AccessKind, CodePlace, Place as Until, Position, Switch, ThreadName,
};

use super::place::{Invalid, Place, SwitchPart};
use super::switch::{IFQS, POOLS, print_owner};
use super::validate::Checker;
use super::words::{one_of, unknown};

impl Checker<'_> {
    pub(super) fn schedule(&self) -> Result<(), Invalid> {
        let Some(schedule) = &self.test.schedule else { return Ok(()) };
        let (with, without) = (&schedule.defects, &schedule.without);
        self.ascending(with, &Place::ScheduleDefect)?;
        self.ascending(without, &Place::ScheduleWithout)?;
        // A schedule is replayed on the first revision.
        let revisions = &self.test.revisions[..1];
        self.defect_changes(
            revisions,
            (with, &Place::ScheduleDefect),
            (without, &Place::ScheduleWithout),
        )?;
        let Some(switches) = schedule.switches() else { return Ok(()) };
        self.count(Place::Switches, "lines in the schedule", switches.len(), 1, limits::STEPS)?;
        switches.iter().enumerate().try_for_each(|(i, switch)| self.switch(i, switch))
    }

    fn switch(&self, i: usize, switch: &Switch) -> Result<(), Invalid> {
        let at = |part| Place::Switch(i, part);
        let test = self.test;
        let (known, expected) = match switch.thread {
            ThreadName::Main => (true, ""),
            ThreadName::Test(thread) => (thread < test.threads.len(), "a thread of the test"),
            ThreadName::Exit(ring) | ThreadName::Rcu(ring) => {
                (usize::from(ring) < test.rings.len(), "a ring of the test")
            }
            ThreadName::IfqRcu(ifq) | ThreadName::Release(ifq) => (ifq < IFQS, "a smaller number"),
            ThreadName::PagePool(ifq, pool) => {
                (ifq < IFQS && pool <= POOLS, "a smaller number")
            }
        };
        if !known {
            return self.fail(at(SwitchPart::Thread), "no such thread", expected);
        }
        if let Until::At(place) = &switch.until {
            self.code_place(i, place)?;
        }
        for (j, fault) in switch.failing.iter().enumerate() {
            let name = fault.point.name();
            if !test.faults.contains(&fault.point) {
                let message = format!("`{name}` does not fail in this test");
                let expected = format!("a line `fault {name}`, or one of {}", {
                    one_of(test.faults.iter().map(|point| point.name()))
                });
                return self.fail(at(SwitchPart::Failing(j)), message, expected);
            }
            if fault.occurrence == 0 || switch.failing[..j].contains(fault) {
                let message = format!("`{name}` is named twice or has no occurrence");
                return self.fail(at(SwitchPart::Failing(j)), message, "each failure once, from 1");
            }
        }
        Ok(())
    }

    fn code_place(&self, i: usize, place: &CodePlace) -> Result<(), Invalid> {
        let at = |part| Place::Switch(i, part);
        if let Some(function) = &place.function
            && !FUNCTIONS.contains(&function.as_str())
        {
            let message = unknown("function", function, FUNCTIONS.iter().copied());
            let expected = "a kernel function that the model names (`ifq replay` shows them)";
            return self.fail(at(SwitchPart::Function), message, expected);
        }
        if place.occurrence == 0 {
            return self.fail(at(SwitchPart::Thread), "no occurrence", "a number from 1");
        }
        match (place.position, &place.access, &place.function) {
            (Position::Enter | Position::Return, None, Some(_)) => Ok(()),
            (Position::Before | Position::After, Some(access), _) => {
                self.access(i, place.position, access)
            }
            _ => {
                let expected = "a function for `enter` and `return`, an access for `before` and `after`";
                self.fail(at(SwitchPart::Thread), "an incomplete place", expected)
            }
        }
    }

    fn access(&self, i: usize, position: Position, access: &Access) -> Result<(), Invalid> {
        let at = |part| Place::Switch(i, part);
        let Access { kind, object } = access;
        if position == Position::Before && !kind.is_scheduling_point() {
            let message = format!("no thread stops before `{kind}`: it is no scheduling point");
            let expected = format!("`after {kind}(...)`, or `before` another access");
            return self.fail(at(SwitchPart::Access), message, expected);
        }
        let name = object.name.as_str();
        if matches!(kind, AccessKind::Alloc | AccessKind::Free) {
            let of = name.trim_end_matches(|c: char| c.is_ascii_digit());
            if object.owner.is_none() && KINDS.contains(&of) {
                return Ok(());
            }
            let message = unknown("object", name, KINDS.iter().copied());
            return self.fail(at(SwitchPart::Object), message, one_of(KINDS.iter().copied()));
        }
        if !FIELDS.contains(&name) {
            let message = unknown("field or lock", name, FIELDS.iter().copied());
            let expected = "a field or lock of the model, as in `refs` or `ifq0.pp_lock`";
            return self.fail(at(SwitchPart::Object), message, expected);
        }
        let Some(owner) = &object.owner else { return Ok(()) };
        let is_ring = owner.kind == "ring";
        if !KINDS.contains(&owner.kind.as_str())
            || is_ring && owner.number as usize >= self.test.rings.len()
        {
            let message = format!("unknown object `{}{}`", owner.kind, owner.number);
            let expected = "a ring of the test, or a kind of object and a number, as in `ifq0`";
            return self.fail(at(SwitchPart::Object), message, expected);
        }
        let text = print_owner(self.test, owner, name);
        if !is_ring && self.test.rings.contains(&text) {
            let message = format!("`{text}` is also the name of a ring");
            return self.fail(at(SwitchPart::Object), message, format!("another name of the ring, or `{name}` alone"));
        }
        Ok(())
    }
}
