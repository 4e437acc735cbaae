//! Validation of the steps of a [`Test`].

use std::collections::{BTreeMap, BTreeSet};

use ifq_model::io_uring::uapi::IO_RQ_MAX_ENTRIES;
use ifq_model::net::tcp::PAGE_SIZE;
#[cfg(doc)]
use ifq_model::test::Test;
use ifq_model::test::arg::{Arg, UsedResult};
use ifq_model::test::arg_modifier::{ArgModifier, ArgModifiers};
use ifq_model::test::literal::Literal;
use ifq_model::test::{Layout, Op, RingId, RqWord, Source, Step, VarId, VarKind, limits};

use super::place::{Invalid, Place, Section, StepPart, sections};
use super::validate::Checker;
use super::words::one_of;

/// What an error calls a kind of result.
fn kind_name(kind: VarKind) -> &'static str {
    match kind {
        VarKind::Ifq => "an ifq (bound by `register`, `clone` or `import`)",
        VarKind::Fd => "a file descriptor (bound by `export`)",
        VarKind::Cqe => "a completion (bound by `wait`)",
        VarKind::Status => "a status",
    }
}

/// How much the steps so far use together.
#[derive(Default)]
struct Totals {
    steps: usize,
    buffers: u32,
    entries: u32,
    exports: usize,
}

/// The ring of the step that binds each result.
type Owners = Vec<Option<RingId>>;

impl Checker<'_> {
    /// Checks the steps of all sections, except their order.
    pub(super) fn steps(&self) -> Result<(), Invalid> {
        let owners = self.bindings()?;
        let mut all = Totals::default();
        for (section, steps) in sections(self.test) {
            self.count(Place::Steps(section), "steps", steps.len(), 0, limits::STEPS)?;
            for (i, step) in steps.iter().enumerate() {
                self.step(section, i, step, &owners)?;
                self.totals(&|part| Place::Step(section, i, part), step.op, &mut all)?;
            }
        }
        self.execs()?;
        self.one_consumer()
    }

    /// Adds a step to the totals of the test, and checks that they are within the limits.
    fn totals(
        &self,
        at: &dyn Fn(StepPart) -> Place,
        op: Op,
        all: &mut Totals,
    ) -> Result<(), Invalid> {
        all.steps += 1;
        if all.steps > limits::ALL_STEPS {
            let message = format!("more than {} steps in the test", limits::ALL_STEPS);
            return self.fail(at(StepPart::Verb), message, "fewer steps");
        }
        all.exports += usize::from(matches!(op, Op::Export { .. }));
        if all.exports > limits::EXPORTS {
            let message = format!("more than {} exports in the test", limits::EXPORTS);
            return self.fail(at(StepPart::Verb), message, "fewer exports");
        }
        let (buffers, entries) = match op {
            Op::Register { buffers, entries, .. } => (buffers, entries.min(IO_RQ_MAX_ENTRIES)),
            Op::AddArea { buffers, .. } => (buffers, 0),
            _ => (0, 0),
        };
        all.buffers += buffers;
        all.entries += entries;
        if all.buffers > limits::ALL_BUFFERS {
            let message = format!("more than {} buffers in the test", limits::ALL_BUFFERS);
            return self.fail(at(StepPart::Number("buffers")), message, "fewer buffers");
        }
        if all.entries > limits::ALL_ENTRIES {
            let message =
                format!("more than {} entries of refill rings in the test", limits::ALL_ENTRIES);
            return self.fail(at(StepPart::Number("entries")), message, "fewer entries");
        }
        Ok(())
    }

    /// Checks that each result is bound once, numbered in order, and of the kind that its step yields.
    fn bindings(&self) -> Result<Owners, Invalid> {
        let mut owners = Owners::new();
        for (section, steps) in sections(self.test) {
            for (i, step) in steps.iter().enumerate() {
                let Some(var) = step.bind else { continue };
                let next = owners.len();
                let place = Place::Step(section, i, StepPart::Bind);
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
        if step.op.acts_on_netdev() {
            let queue = if let Op::RestartQueue { queue } = step.op { queue } else { 0 };
            self.queue(at(StepPart::Verb), queue)?;
        }
        self.arguments(step.op, &at, owners)?;
        self.layout(&at, step.op)?;
        let mut seen = BTreeSet::new();
        for (j, &var) in step.after.iter().enumerate() {
            self.var(at(StepPart::After(j)), var)?;
            if !seen.insert(var) {
                let message = format!("`{}` is waited for twice", self.name(var));
                return self.fail(at(StepPart::After(j)), message, "each name once");
            }
        }
        Ok(())
    }

    fn arguments(
        &self,
        mut op: Op,
        at: &dyn Fn(StepPart) -> Place,
        owners: &Owners,
    ) -> Result<(), Invalid> {
        let verb = op.verb();
        let mut result = Ok(());
        // The ring that was named last.
        let mut last_ring = 0;
        op.for_each_arg(|arg| {
            if result.is_ok() {
                result = self.argument(arg, &mut last_ring, verb, at, owners);
            }
        });
        result
    }

    fn argument(
        &self,
        arg: Arg<'_>,
        last_ring: &mut RingId,
        verb: &str,
        at: &dyn Fn(StepPart) -> Place,
        owners: &Owners,
    ) -> Result<(), Invalid> {
        match arg {
            Arg::Driver(ring) => {
                *last_ring = *ring;
                self.ring(at(StepPart::Ring), *ring)
            }
            Arg::OtherRing(ring) => {
                *last_ring = *ring;
                self.ring(at(StepPart::OtherRing), *ring)
            }
            Arg::Peer(socket) | Arg::Socket(socket) => self.socket(at(StepPart::Socket), *socket),
            Arg::Result(var, used) if Literal::of(*var).is_some() => {
                self.literal(at(StepPart::Result(used)), *var, used, *last_ring)
            }
            Arg::Result(ifq, UsedResult::OwnIfq) => {
                let place = at(StepPart::Result(UsedResult::OwnIfq));
                self.ifq_of(place, *ifq, *last_ring, owners)
            }
            Arg::Result(request, UsedResult::Request) => {
                self.request(at(StepPart::Result(UsedResult::Request)), *request, *last_ring)
            }
            Arg::Result(var, used) => self.kind(at(StepPart::Result(used)), *var, used.kind()),
            Arg::Source(Source::Queue(queue)) => self.queue(at(StepPart::Number("queue")), *queue),
            Arg::Number(value, spec) => {
                self.range(at(StepPart::Number(spec.key)), spec.what, *value, spec.min, spec.max)
            }
            Arg::RqWord(RqWord::Off(index) | RqWord::Pad(index)) => {
                self.range(at(StepPart::RqWord), "index", *index, 0, limits::ENTRIES - 1)
            }
            Arg::Modifiers(modifiers) => self.modifiers(at, verb, *modifiers),
            Arg::Source(Source::Nodev)
            | Arg::RqWord(RqWord::Head | RqWord::Tail)
            | Arg::Keyword(_)
            | Arg::Event(_)
            | Arg::Value(_)
            | Arg::Layout(_)
            | Arg::Locked(_)
            | Arg::Checked(_) => Ok(()),
        }
    }

    fn ring(&self, place: Place, ring: RingId) -> Result<(), Invalid> {
        if usize::from(ring) < self.test.rings.len() {
            return Ok(());
        }
        self.fail(place, format!("there is no ring {ring}"), "a ring")
    }

    fn modifiers(
        &self,
        at: &dyn Fn(StepPart) -> Place,
        verb: &str,
        modifiers: ArgModifiers,
    ) -> Result<(), Invalid> {
        let stray = modifiers.iter().enumerate().find(|(_, modifier)| !modifier.fits(verb));
        let Some((j, modifier)) = stray else { return Ok(()) };
        let fitting = ArgModifier::ALL.iter().filter(|m| m.fits(verb)).map(|m| m.name());
        let message = format!("`{modifier}` does not apply to `{verb}`");
        self.fail(at(StepPart::ArgModifier(j)), message, one_of(fitting))
    }

    fn socket(&self, place: Place, socket: u8) -> Result<(), Invalid> {
        if usize::from(socket) < self.test.sockets.len() {
            return Ok(());
        }
        self.fail(place, format!("there is no socket {socket}"), "a socket")
    }

    /// The bytes of a send fit into the packets and buffers that it names.
    fn layout(&self, at: &dyn Fn(StepPart) -> Place, op: Op) -> Result<(), Invalid> {
        let Op::Send { socket, len, layout } = op else { return Ok(()) };
        let (key, number, most) = match layout {
            Layout::Pages => return Ok(()),
            Layout::Frags(number) => ("frags", number, number.saturating_mul(PAGE_SIZE)),
            Layout::Packets(number) => ("packets", number, PAGE_SIZE),
        };
        self.range(at(StepPart::Number(key)), key, number, 2, limits::FRAGS)?;
        self.range(at(StepPart::Number("len")), "number of bytes", len, number, most)?;
        if self.test.sockets[usize::from(socket)].queue.is_some() {
            return Ok(());
        }
        let message = format!("`{key}` on a connection over loopback");
        self.fail(at(StepPart::Number(key)), message, "a socket on a device queue, such as `s@0`")
    }

    /// A literal is a ring of the test, or a number that no descriptor and no ifq of the ring ever has.
    fn literal(
        &self,
        place: Place,
        var: VarId,
        used: UsedResult,
        ring: RingId,
    ) -> Result<(), Invalid> {
        let number = match (Literal::of(var), used) {
            (Some(Literal::Ring(ring)), UsedResult::AnyFd) => return self.ring(place, ring),
            (Some(Literal::Number(number)), UsedResult::OwnIfq | UsedResult::AnyFd) => number,
            _ => return self.fail(place, "a number in the place of a result", "a result"),
        };
        let takes_id = |op: &Op| {
            let registers =
                matches!(op, Op::Register { .. } | Op::Clone { .. } | Op::Import { .. });
            registers && op.ring() == Some(ring)
        };
        let (what, least) = match used {
            UsedResult::AnyFd => {
                let exports = self.test.steps().filter(|s| matches!(s.op, Op::Export { .. }));
                ("descriptor", self.test.rings.len() + exports.count())
            }
            _ => ("id", self.test.steps().filter(|step| takes_id(&step.op)).count()),
        };
        if number as usize >= least {
            return Ok(());
        }
        let message = format!("something may have {what} {number}");
        self.fail(place, message, format!("a number from {least} on"))
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

    /// A request of the ring.
    fn request(&self, place: Place, var: VarId, ring: RingId) -> Result<(), Invalid> {
        self.var(place, var)?;
        let binds = self.test.binding(var).map(|step| step.op);
        if matches!(binds, Some(Op::Recv { ring: of, .. }) if of == ring) {
            return Ok(());
        }
        let name = self.test.rings.get(usize::from(ring)).map_or("?", String::as_str);
        let message = format!("`{}` is no request of ring `{name}`", self.name(var));
        self.fail(place, message, format!("a result of `{name}: recv`"))
    }

    /// The id of an ifq is valid only in the ring that registered, cloned or imported it.
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
        // The ring of a later binding step is not checked yet.
        let owner = rings.get(usize::from(owner)).map_or("?", String::as_str);
        let message = format!("`{}` is an ifq of ring `{owner}`", self.name(var));
        let expected = format!(
            "an ifq that ring `{}` has registered, cloned or imported",
            rings[usize::from(ring)]
        );
        self.fail(place, message, expected)
    }

    /// `die` ends `finally`. `exec` ends a thread, and nothing can be done with the rings of its task afterwards except to close
    /// them.
    fn execs(&self) -> Result<(), Invalid> {
        for (section, steps) in sections(self.test) {
            for (i, step) in steps.iter().enumerate() {
                let place = |part| Place::Step(section, i, part);
                let last = matches!(section, Section::Thread(_)) && i + 1 == steps.len();
                if step.op == Op::Exec && !last {
                    let message = "`exec` is not the last step of a thread";
                    return self.fail(place(StepPart::Verb), message, "`exec` as the last step");
                }
                let ends = section == Section::Finally && i + 1 == steps.len();
                if step.op == Op::Die && !ends {
                    let message = "`die` is not the last step of `finally`";
                    return self.fail(place(StepPart::Verb), message, "`die` as the last step");
                }
                let Some(ring) = step.op.ring().filter(|_| section == Section::Finally) else {
                    continue;
                };
                let thread = self.test.driver(ring).map(|thread| &self.test.threads[thread]);
                let gone = thread.is_some_and(|t| t.steps.iter().any(|s| s.op == Op::Exec));
                if gone && !matches!(step.op, Op::Exit { .. }) {
                    let name = &self.test.rings[usize::from(ring)];
                    let message = format!("the task of ring `{name}` has executed another program");
                    return self.fail(place(StepPart::Ring), message, "`exit`, or another ring");
                }
            }
        }
        Ok(())
    }

    /// The completion queue of a ring has one consumer. Steps of `setup` and `finally` are exempt, because
    /// no thread runs meanwhile.
    fn one_consumer(&self) -> Result<(), Invalid> {
        let mut consumer: BTreeMap<RingId, usize> = BTreeMap::new();
        for (t, thread) in self.test.threads.iter().enumerate() {
            for (i, step) in thread.steps.iter().enumerate() {
                let Op::Wait { ring } = step.op else { continue };
                let first = *consumer.entry(ring).or_insert(t);
                if first != t {
                    let name = &self.test.rings[usize::from(ring)];
                    let first = &self.test.threads[first].name;
                    return self.fail(
                        Place::Step(Section::Thread(t), i, StepPart::Ring),
                        format!("thread `{first}` already waits for completions of ring `{name}`"),
                        "one thread that waits for the completions of a ring",
                    );
                }
            }
        }
        Ok(())
    }
}
