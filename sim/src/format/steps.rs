//! What makes the steps of a [`Test`] mean something.

use std::collections::{BTreeMap, BTreeSet};

#[cfg(doc)]
use ifq_model::test::Test;
use ifq_model::test::arg_modifier::ArgModifier;
use ifq_model::test::{Op, RingId, RqWord, Source, Step, VarId, VarKind, limits};

use super::place::{Invalid, Part, Place, Section, sections};
use super::validate::Checker;
use super::words::{one_of, verb_of};

/// What a kind of result is called in an error.
fn kind_name(kind: VarKind) -> &'static str {
    match kind {
        VarKind::Ifq => "an ifq (bound by `register`, `clone` or `import`)",
        VarKind::Fd => "a file descriptor (bound by `export`)",
        VarKind::Cqe => "a completion (bound by `wait`)",
        VarKind::Status => "a status",
    }
}

/// The ring of the step that binds each result.
type Owners = Vec<Option<RingId>>;

impl Checker<'_> {
    /// The steps of all sections, without their order.
    pub(super) fn steps(&self) -> Result<(), Invalid> {
        let owners = self.bindings()?;
        for (section, steps) in sections(self.test) {
            self.count(Place::Steps(section), "steps", steps.len(), 0, limits::STEPS)?;
            for (i, step) in steps.iter().enumerate() {
                self.step(section, i, step, &owners)?;
            }
        }
        self.single_issuer()
    }

    /// Each result is bound once, numbered in order, and of the kind that its step yields.
    fn bindings(&self) -> Result<Owners, Invalid> {
        let mut owners = Owners::new();
        for (section, steps) in sections(self.test) {
            for (i, step) in steps.iter().enumerate() {
                let Some(var) = step.bind else { continue };
                let next = owners.len();
                let place = Place::Step(section, i, Part::Bind);
                if usize::from(var) != next || next >= self.test.vars.len() {
                    let message = format!("result {var} is bound out of order");
                    let expected = format!("result {next}");
                    return Err(Invalid::new(self.test, place, message, expected));
                }
                let found = self.test.vars[next].kind;
                if found != step.op.yields() {
                    let message = format!("the result is not {}", kind_name(found));
                    let expected = kind_name(step.op.yields());
                    return Err(Invalid::new(self.test, place, message, expected));
                }
                owners.push(step.op.ring());
            }
        }
        if let Some(var) = self.test.vars.get(owners.len()) {
            let message = format!("`{}` is bound by no step", var.name);
            let place = Place::Var(owners.len());
            return Err(Invalid::new(self.test, place, message, "a step that binds it"));
        }
        Ok(owners)
    }

    fn step(
        &self,
        section: Section,
        i: usize,
        step: &Step,
        owners: &Owners,
    ) -> Result<(), Invalid> {
        let at = |part| Place::Step(section, i, part);
        if let Some(ring) = step.op.ring()
            && usize::from(ring) >= self.test.rings.len()
        {
            return self.fail(at(Part::Ring), format!("there is no ring {ring}"), "a ring");
        }
        match step.op {
            Op::Register { source, buffers, entries, .. } => {
                if let Source::Queue(queue) = source {
                    self.queue(at(Part::Queue), queue)?;
                }
                self.range(at(Part::Buffers), "buffers", buffers, 1, limits::BUFFERS)?;
                self.range(at(Part::Entries), "entries", entries, 0, limits::ENTRIES)?;
            }
            Op::AddArea { ring, ifq, buffers, .. } => {
                self.ifq_of(at(Part::Ifq), ifq, ring, owners)?;
                self.range(at(Part::Buffers), "buffers", buffers, 1, limits::BUFFERS)?;
            }
            Op::Export { ring, ifq, .. }
            | Op::Flush { ring, ifq, .. }
            | Op::Arm { ring, ifq, .. }
            | Op::Mmap { ring, ifq } => {
                self.ifq_of(at(Part::Ifq), ifq, ring, owners)?;
            }
            Op::Import { fd, .. } | Op::Close { fd } => self.kind(at(Part::Fd), fd, VarKind::Fd)?,
            Op::Recv { ring, ifq, socket, .. } => {
                self.ifq_of(at(Part::Ifq), ifq, ring, owners)?;
                self.socket(at(Part::Socket), socket)?;
            }
            Op::Return { cqe, ifq, .. } => {
                self.kind(at(Part::Cqe), cqe, VarKind::Cqe)?;
                self.kind(at(Part::Ifq), ifq, VarKind::Ifq)?;
            }
            Op::Send { socket, len } => {
                self.socket(at(Part::Socket), socket)?;
                self.range(at(Part::Len), "number of bytes", len, 1, limits::SEND)?;
            }
            Op::Shutdown { socket } => self.socket(at(Part::Socket), socket)?,
            Op::Clone { from, ifq, .. } => {
                if usize::from(from) >= self.test.rings.len() {
                    return self.fail(at(Part::From), format!("there is no ring {from}"), "a ring");
                }
                self.ifq_of(at(Part::Ifq), ifq, from, owners)?;
            }
            Op::Scribble { ifq, word, .. } => {
                self.kind(at(Part::Ifq), ifq, VarKind::Ifq)?;
                if let RqWord::Off(index) | RqWord::Pad(index) = word {
                    self.range(at(Part::Word), "index", index, 0, limits::ENTRIES - 1)?;
                }
            }
            Op::UnregisterNetdev => self.queue(at(Part::Verb), 0)?,
            Op::Exit { .. } | Op::Wait { .. } => {}
        }
        self.modifiers(&at, &step.op)?;
        let mut seen = BTreeSet::new();
        for (j, &var) in step.after.iter().enumerate() {
            self.var(at(Part::After(j)), var)?;
            if !seen.insert(var) {
                let message = format!("`{}` is waited for twice", self.name(var));
                return self.fail(at(Part::After(j)), message, "each name once");
            }
        }
        Ok(())
    }

    fn modifiers(&self, at: &dyn Fn(Part) -> Place, op: &Op) -> Result<(), Invalid> {
        let verb = verb_of(op);
        let stray = op.modifiers().iter().enumerate().find(|(_, modifier)| !modifier.fits(verb));
        let Some((j, modifier)) = stray else { return Ok(()) };
        let fitting = ArgModifier::ALL.iter().filter(|q| q.fits(verb)).map(|q| q.name());
        let message = format!("`{modifier}` means nothing for `{verb}`");
        self.fail(at(Part::ArgModifier(j)), message, one_of(fitting))
    }

    fn socket(&self, place: Place, socket: u8) -> Result<(), Invalid> {
        if usize::from(socket) < self.test.sockets.len() {
            return Ok(());
        }
        self.fail(place, format!("there is no socket {socket}"), "a socket")
    }

    fn kind(&self, place: Place, var: VarId, kind: VarKind) -> Result<(), Invalid> {
        self.var(place, var)?;
        let found = self.test.vars[usize::from(var)].kind;
        if found == kind {
            return Ok(());
        }
        let message = format!("`{}` is {}", self.name(var), kind_name(found));
        self.fail(place, message, kind_name(kind))
    }

    /// An id of an ifq means something in the ring only that registered, cloned or imported it.
    fn ifq_of(
        &self,
        place: Place,
        var: VarId,
        ring: RingId,
        owners: &Owners,
    ) -> Result<(), Invalid> {
        self.kind(place, var, VarKind::Ifq)?;
        let owner = owners[usize::from(var)].filter(|&owner| owner != ring);
        let Some(owner) = owner else { return Ok(()) };
        let rings = &self.test.rings;
        // The binding step may come later, its ring not checked yet.
        let owner = rings.get(usize::from(owner)).map_or("?", String::as_str);
        let message = format!("`{}` is an ifq of ring `{owner}`", self.name(var));
        let expected = format!(
            "an ifq that ring `{}` has registered, cloned or imported",
            rings[usize::from(ring)]
        );
        self.fail(place, message, expected)
    }

    /// `IORING_SETUP_SINGLE_ISSUER` ties a ring to one thread. Set-up and the end run alone and are
    /// free; so is closing.
    fn single_issuer(&self) -> Result<(), Invalid> {
        let mut driver: BTreeMap<RingId, usize> = BTreeMap::new();
        for (t, thread) in self.test.threads.iter().enumerate() {
            for (i, step) in thread.steps.iter().enumerate() {
                let Some(ring) = step.op.ring() else { continue };
                if matches!(step.op, Op::Exit { .. }) {
                    continue;
                }
                let first = *driver.entry(ring).or_insert(t);
                if first != t {
                    let name = &self.test.rings[usize::from(ring)];
                    let first = &self.test.threads[first].name;
                    return self.fail(
                        Place::Step(Section::Thread(t), i, Part::Ring),
                        format!("ring `{name}` is driven by thread `{first}` already"),
                        "one thread for each ring; other threads may only `exit` it",
                    );
                }
            }
        }
        Ok(())
    }
}
