//! Generates valid tests from arbitrary bytes.

use ifq_model::fault::FaultPoint;
use ifq_model::invariant::Invariant;
use ifq_model::outcome::Value;
use ifq_model::revision::{Defect, Entry, Revision, Variant};
use ifq_model::test::arg::{Arg, UsedResult};
use ifq_model::test::arg_modifier::ArgModifier;
use ifq_model::test::condition::{Comparison, Operand};
use ifq_model::test::literal::{self, Literal};
use ifq_model::test::op::OPERATIONS;
use ifq_model::test::{
    Condition, Event, Expect, Formula, Op, Quantifier, RingId, RingSetup, RqWord, Schedule,
    ScheduleOrder, Socket, SocketId, Source, Step, Test, Thread, Var, VarId, VarKind, limits,
};

/// Each choice reads one byte; after the last byte it is the first alternative.
struct Bytes<'b>(&'b [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> usize {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(first)
    }

    fn below(&mut self, n: usize) -> usize {
        self.byte() % n
    }

    fn number(&mut self) -> u32 {
        [0; 4].iter().fold(0, |n, _| n << 8 | self.byte() as u32)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.below(from.len())])
    }

    /// A subset of a list, in the order of the list.
    fn some<T: Copy>(&mut self, from: &[T]) -> Vec<T> {
        let mask: usize = (0..from.len().div_ceil(8)).fold(0, |n, _| n << 8 | self.byte());
        (0..from.len()).filter(|i| mask >> i & 1 == 1).map(|i| from[i]).collect()
    }

    /// Mostly an empty list, sometimes a subset.
    fn few<T: Copy>(&mut self, from: &[T]) -> Vec<T> {
        if self.below(4) == 1 { self.some(from) } else { Vec::new() }
    }
}

/// The section of a step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Setup,
    Thread(usize),
    Finally,
}

struct TestGenerator<'b> {
    bytes: Bytes<'b>,
    test: Test,
    /// For each result, the ring of the step that binds it.
    owners: Vec<Option<RingId>>,
}

/// A test that passes `validate`.
pub(crate) fn test(bytes: &[u8]) -> Test {
    let mut generator = TestGenerator { bytes: Bytes(bytes), test: empty(), owners: Vec::new() };
    generator.header();
    generator.section(Target::Setup);
    for _ in 0..generator.bytes.below(16) {
        if !generator.test.threads.is_empty() {
            let thread = generator.bytes.below(generator.test.threads.len());
            generator.step(Target::Thread(thread));
        }
    }
    generator.section(Target::Finally);
    generator.verdicts();
    ifq_sim::format::renumber(&mut generator.test);
    if generator.bytes.below(2) == 0 {
        // The default of the format.
        generator.test.observe = (0..generator.test.vars.len() as VarId).collect();
    }
    generator.test
}

fn empty() -> Test {
    Test { name: "generated-1".to_owned(), revisions: Revision::ALL.to_vec(), ..Test::default() }
}

impl TestGenerator<'_> {
    fn header(&mut self) {
        let about = ["", "One sentence, no#comment.", "a:b=c@d", "Ünïcode, and  gaps"];
        let about = self.bytes.pick(&about).unwrap_or_default();
        let test = &mut self.test;
        test.about = about.to_owned();
        test.shows = self.bytes.few(&Entry::all());
        if self.bytes.below(2) == 1 {
            test.revisions = self.bytes.some(&Revision::ALL);
            if test.revisions.is_empty() {
                test.revisions = vec![Revision::Import71];
            }
        }
        test.rings = (0..=self.bytes.below(4)).map(|i| format!("R{i}")).collect();
        for ring in 0..test.rings.len() as RingId {
            let setups = self.bytes.few(RingSetup::ALL);
            test.setups.extend(setups.into_iter().map(|setup| (ring, setup)));
        }
        test.queues = self.bytes.below(3) as u32;
        for i in 0..self.bytes.below(4) {
            let queue = (test.queues > 0 && self.bytes.below(2) == 1)
                .then(|| self.bytes.below(test.queues as usize) as u32);
            test.sockets.push(Socket { name: format!("s_{i}"), queue });
        }
        for i in 0..self.bytes.below(4) {
            test.threads.push(Thread { name: format!("t{i}"), steps: Vec::new() });
        }
    }

    fn section(&mut self, to: Target) {
        for _ in 0..self.bytes.below(6) {
            self.step(to);
        }
    }

    /// The results of a kind, of one ring or of all.
    fn vars(&self, kind: VarKind, ring: Option<RingId>) -> Vec<VarId> {
        let of = |i: usize| ring.is_none() || self.owners[i] == ring;
        let vars = self.test.vars.iter().enumerate();
        vars.filter(|(i, v)| v.kind == kind && of(*i)).map(|(i, _)| i as VarId).collect()
    }

    /// A ring that this section may drive. Ring `r` belongs to thread `r` modulo the number of threads.
    fn ring(&mut self, to: Target) -> Option<RingId> {
        let threads = self.test.threads.len();
        let rings: Vec<RingId> = (0..self.test.rings.len())
            .filter(|r| match to {
                Target::Thread(t) => r % threads == t,
                Target::Setup | Target::Finally => true,
            })
            .map(|r| r as RingId)
            .collect();
        self.bytes.pick(&rings)
    }

    /// An operation with arguments; `None` if the test has nothing to use as an argument.
    fn op(&mut self, to: Target) -> Option<Op> {
        let mut op = (self.bytes.pick(OPERATIONS)?.blank)();
        if op.acts_on_netdev() && self.test.queues == 0 {
            return None;
        }
        // They must be the last step of their section.
        if matches!(op, Op::Exec | Op::Die) {
            return None;
        }
        let (verb, exits) = (op.verb(), matches!(op, Op::Exit { .. }));
        // Any section may close any ring.
        let to = if exits { Target::Finally } else { to };
        let (mut last_ring, mut complete) = (None, true);
        op.for_each_arg(|arg| {
            complete = complete && self.argument(arg, verb, to, &mut last_ring).is_some();
        });
        if let Op::RestartQueue { queue } = &mut op {
            *queue %= self.test.queues;
        }
        complete.then_some(op)
    }

    /// Chooses an argument; `None` if there is no choice.
    fn argument(
        &mut self,
        arg: Arg<'_>,
        verb: &str,
        to: Target,
        last_ring: &mut Option<RingId>,
    ) -> Option<()> {
        let sockets: Vec<SocketId> = (0..self.test.sockets.len() as SocketId).collect();
        match arg {
            Arg::Driver(ring) => {
                *ring = self.ring(to)?;
                *last_ring = Some(*ring);
            }
            Arg::OtherRing(ring) => {
                *ring = self.ring(Target::Finally)?;
                *last_ring = Some(*ring);
            }
            Arg::Peer(socket) | Arg::Socket(socket) => *socket = self.bytes.pick(&sockets)?,
            Arg::Result(var, UsedResult::Request) => {
                let wanted = *last_ring;
                let of_ring = |request: &VarId| {
                    let step = self.test.binding(*request).map(|step| step.op);
                    matches!(step, Some(Op::Recv { ring, .. }) if Some(ring) == wanted)
                };
                let mut requests = self.vars(VarKind::Status, None);
                requests.retain(of_ring);
                *var = self.bytes.pick(&requests)?;
            }
            // A descriptor and an id that nothing has, and a ring's descriptor.
            Arg::Result(var, UsedResult::AnyFd) if self.bytes.below(8) == 1 => {
                *var = match self.bytes.below(2) {
                    0 => Literal::Number(literal::MAX),
                    _ => Literal::Ring(self.ring(Target::Finally)?),
                }
                .to_var();
            }
            Arg::Result(var, UsedResult::OwnIfq) if self.bytes.below(8) == 1 => {
                *var = Literal::Number(literal::MAX).to_var();
            }
            Arg::Result(var, used) => {
                let ring = last_ring.filter(|_| used == UsedResult::OwnIfq);
                *var = self.bytes.pick(&self.vars(used.kind(), ring))?;
            }
            Arg::Keyword(_) => {}
            Arg::Source(source) => {
                if self.test.queues > 0 && self.bytes.below(2) == 1 {
                    let queue = self.bytes.below(self.test.queues as usize);
                    *source = Source::Queue(queue as u32);
                }
            }
            Arg::Number(number, spec) => {
                let span = u64::from(spec.max - spec.min) + 1;
                let offset = match self.bytes.below(3) {
                    0 => u64::from(self.bytes.number()) % span,
                    1 => 0,
                    _ => span - 1,
                };
                *number = spec.min + offset as u32;
            }
            Arg::Event(event) => *event = self.bytes.pick(Event::ALL)?,
            Arg::RqWord(word) => {
                let index = self.bytes.number() % limits::ENTRIES;
                let words = [RqWord::Head, RqWord::Tail, RqWord::Off(index), RqWord::Pad(index)];
                *word = self.bytes.pick(&words)?;
            }
            Arg::Value(value) => {
                let bits = u64::from(self.bytes.number()) << 32 | u64::from(self.bytes.number());
                *value = bits >> [0, 40, 63][self.bytes.below(3)];
            }
            // It depends on the length and the socket; see the tests of the format.
            Arg::Layout(_) => {}
            Arg::Locked(locked) | Arg::Checked(locked) => *locked = self.bytes.below(2) == 1,
            Arg::Modifiers(modifiers) => {
                let fitting: Vec<ArgModifier> =
                    ArgModifier::ALL.iter().copied().filter(|m| m.fits(verb)).collect();
                *modifiers = self.bytes.few(&fitting).into_iter().collect();
            }
        }
        Some(())
    }

    /// Adds a step that waits only for results that are already bound, so there is no cycle.
    fn step(&mut self, to: Target) {
        let Some(op) = self.op(to) else { return };
        let all: Vec<VarId> = (0..self.test.vars.len() as VarId).collect();
        let after = if self.bytes.below(4) == 1 { self.bytes.some(&all) } else { Vec::new() };
        let bind = (self.bytes.below(4) != 1).then(|| {
            let id = self.test.vars.len();
            self.test.vars.push(Var { name: format!("v{id}"), kind: op.yields() });
            self.owners.push(op.ring());
            id as VarId
        });
        let step = Step { op, bind, after };
        match to {
            Target::Setup => self.test.setup.push(step),
            Target::Thread(t) => self.test.threads[t].steps.push(step),
            Target::Finally => self.test.finally.push(step),
        }
    }

    fn verdicts(&mut self) {
        let test = &mut self.test;
        test.faults = match self.bytes.below(4) {
            1 => FaultPoint::ALL.to_vec(),
            _ => self.bytes.some(FaultPoint::ALL),
        };
        if !test.faults.is_empty() {
            test.max_faults = 1 + self.bytes.below(limits::FAULTS as usize) as u32;
        }
        let all: Vec<VarId> = (0..test.vars.len() as VarId).rev().collect();
        test.observe = self.bytes.some(&all);
        test.expect.push(Expect::default());
        self.expectations();
        self.conditions();
        if self.bytes.below(2) == 1 {
            let (defects, without) = self.defect_changes(&[self.test.revisions[0]]);
            let decisions = (0..self.bytes.below(5)).map(|_| self.bytes.number()).collect();
            let order = ScheduleOrder::Decisions(decisions);
            self.test.schedule = Some(Schedule { defects, without, order });
        }
    }

    /// Adds expectations, each for one revision or for all, without duplicates.
    fn expectations(&mut self) {
        for _ in 0..self.bytes.below(6) {
            let revisions = self.test.revisions.clone();
            // The last revision is left for expectations that name none.
            let named = &revisions[..revisions.len() - 1];
            let one = self.bytes.pick(named).filter(|_| self.bytes.below(2) == 1);
            let meant = one.map_or(revisions, |revision| vec![revision]);
            let (defects, without) = self.defect_changes(&meant);
            let revisions = one.into_iter().collect();
            let violates = self.bytes.pick(&Invariant::ALL);
            let expect = Expect { revisions, defects, without, violates };
            let same = |e: &Expect| {
                (&e.revisions, &e.defects, &e.without)
                    == (&expect.revisions, &expect.defects, &expect.without)
            };
            if !self.test.expect.iter().any(same) {
                self.test.expect.push(expect);
            }
        }
    }

    /// Adds conditions, each for one revision or for all on which the variant is expected to hold.
    fn conditions(&mut self) {
        if self.test.observe.is_empty() {
            return;
        }
        for _ in 0..self.bytes.below(4) {
            let revisions = self.test.revisions.clone();
            let one = self.bytes.pick(&revisions).filter(|_| self.bytes.below(2) == 1);
            let meant = one.map_or(revisions, |revision| vec![revision]);
            let (defects, without) = self.defect_changes(&meant);
            let quantifier = self.bytes.pick(Quantifier::ALL).unwrap_or(Quantifier::Exists);
            let formula = self.formula(3);
            let revisions = one.into_iter().collect();
            let condition = Condition { quantifier, formula, revisions, defects, without };
            let holds = |variant: &Variant| self.test.expected(variant).is_none();
            let variants = condition.variants(&self.test);
            if !variants.is_empty() && variants.iter().all(holds) {
                self.test.conditions.push(condition);
            }
        }
        if !self.test.conditions.is_empty() && self.bytes.below(2) == 1 {
            let only = |e: &Expect| e.violates.is_none();
            if self.test.expect.iter().all(only) {
                self.test.expect.clear();
            }
        }
    }

    fn formula(&mut self, depth: usize) -> Formula {
        let kind = if depth == 0 { 0 } else { self.bytes.below(4) };
        let parts = |this: &mut Self| {
            (0..2 + this.bytes.below(2)).map(|_| this.formula(depth - 1)).collect::<Vec<_>>()
        };
        match kind {
            1 => Formula::Not(Box::new(self.formula(depth - 1))),
            2 => Formula::And(parts(self)),
            3 => Formula::Or(parts(self)),
            _ => self.comparison(),
        }
    }

    fn comparison(&mut self) -> Formula {
        let observed = self.test.observe.clone();
        let var = self.bytes.pick(&observed).unwrap_or(observed[0]);
        let other = self.bytes.pick(&observed).unwrap_or(observed[0]);
        let is_fd = |var: VarId| self.test.vars[usize::from(var)].kind == VarKind::Fd;
        let all = if is_fd(var) || is_fd(other) { &Comparison::ALL[..2] } else { Comparison::ALL };
        let is = self.bytes.pick(all).unwrap_or(Comparison::Equal);
        let number = i64::from(self.bytes.number()) << [0, 16, 31][self.bytes.below(3)];
        let small = self.bytes.below(130) as i64;
        let number =
            if is_fd(var) { -small - 1 } else { [number, small, -small][self.bytes.below(3)] };
        let to = match self.bytes.below(4) {
            0 => Operand::Var(other),
            1 if is_fd(var) => Operand::Value(Value::Fd),
            2 if !is.is_order() => Operand::Value(Value::Unbound),
            _ => Operand::Value(Value::Number(number)),
        };
        Formula::Compare { var, is, to }
    }

    /// Defects that none of the revisions has, and defects that all of them have.
    fn defect_changes(&mut self, revisions: &[Revision]) -> (Vec<Defect>, Vec<Defect>) {
        let all = |has: bool| -> Vec<Defect> {
            let fits = |d: &&Defect| {
                revisions.iter().all(|r| r.defects().contains(d) == has && d.has_code_in(*r))
            };
            Defect::ALL.iter().filter(fits).copied().collect()
        };
        (self.bytes.few(&all(false)), self.bytes.few(&all(true)))
    }
}
