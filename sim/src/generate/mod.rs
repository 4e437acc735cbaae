//! Tests made up from bytes: for property tests, and for the comparison with a live kernel.
//!
//! A sequence is a list of [`Word`]s; each is read against the state that the words before it have
//! left, as [`ifq_model::spec`] has it, so that nearly every operation applies, and some are wrong on
//! purpose: a descriptor that is closed, a ring that is gone, entries that no kernel takes, a buffer
//! that was given back before. Zero bytes are the tamest choice, so that shrinking bytes shrinks the
//! sequence's meaning.

mod draw;
pub mod drawn;
mod ops;
mod threads;

use std::collections::BTreeMap;

use ifq_model::errno::ETIME;
use ifq_model::net::tcp::MAX_WAITERS;
use ifq_model::revision::Revision;
use ifq_model::spec::Spec;
use ifq_model::test::arg_modifier::ArgModifier;
use ifq_model::test::{Expect, Op, RingId, RingSetup, Socket, Step, Test, Var, VarId, VarKind};

use draw::Draw;
pub use threads::{Threads, concurrent};

/// One operation, undecoded.
pub type Word = [u8; 10];

/// What there is before the first operation.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Number of rings.
    pub rings: u8,
    /// For each socket the device queue that its packets arrive on, if any.
    pub sockets: Vec<Option<u32>>,
    /// Receive queues of the device.
    pub queues: u32,
    /// A ring that is not set up as usual.
    pub setup: Option<(RingId, RingSetup)>,
}

impl Shape {
    /// Receive queues of the device on a revision. Where each ifq needs one there are some more.
    fn queues(&self, revision: Revision) -> u32 {
        if revision.has_nodev() { self.queues } else { self.queues + 2 }
    }
}

/// A name for the result of a step that was made up, with a number that no other one has.
#[must_use]
pub fn numbered(kind: VarKind, number: usize) -> Var {
    let prefix = match kind {
        VarKind::Ifq => "ifq",
        VarKind::Fd => "box",
        VarKind::Cqe => "c",
        VarKind::Status => "x",
    };
    Var { name: format!("{prefix}{number}"), kind }
}

/// A valid test that does the operations one after the other, in `finally`, where the background
/// comes to rest after each. All results are observed.
#[must_use]
pub fn sequence(revision: Revision, shape: &Shape, words: &[Word]) -> Test {
    let mut maker = Maker::new(revision, shape);
    for word in words {
        if let Some(step) = maker.next(word) {
            maker.test.finally.push(step);
        }
    }
    maker.finish()
}

/// Makes steps one by one.
pub(crate) struct Maker<'a> {
    revision: Revision,
    /// The revision that says which departures from a plain argument are harmless.
    tame: Revision,
    pub(crate) test: Test,
    pub(crate) spec: Spec,
    /// By further revisions that the test is for, each step is specified, too.
    others: Vec<Spec>,
    /// What is drawn for a live kernel stays within this.
    live: Option<Live<'a>>,
    /// The ring of the step that binds each result.
    pub(crate) owners: Vec<Option<RingId>>,
    registered: usize,
    /// What a well-behaved application keeps to; `None`: it does as it likes, one thing at a time.
    pub(crate) manners: Option<Manners>,
}

/// What keeps a test to what a live kernel can run and the model can hold.
struct Live<'a> {
    can: &'a dyn Fn(&Op) -> bool,
    /// Bytes that may still be sent.
    bytes: u32,
    /// Waits that may still end without a completion: each of them costs time.
    idle_waits: u32,
}

impl Live<'_> {
    fn allows(&self, op: &Op) -> bool {
        let bytes = if let Op::Send { len, .. } = op { *len } else { 0 };
        bytes <= self.bytes && (self.can)(op)
    }
}

/// Bytes that a test for a live kernel sends. Up to here what a thread sends lies in one piece of
/// pages (`SKB_FRAG_PAGE_ORDER`, 32 KiB), so that one send is one fragment, as in the model.
const LIVE_BYTES: u32 = 32768;

/// How an application avoids to give back what it does not hold, whatever becomes of its
/// operations: all requests of a ring receive into one ifq, each buffer goes back there once, and
/// nothing else is written into a refill ring.
#[derive(Debug, Default)]
pub(crate) struct Manners {
    pub(crate) sources: BTreeMap<RingId, VarId>,
    pub(crate) returned: Vec<VarId>,
}

impl Manners {
    fn allow(&mut self, op: &Op, test: &Test, owners: &[Option<RingId>]) -> bool {
        match *op {
            Op::Recv { ring, ifq, .. } => {
                let origin = test.origin(ifq);
                origin.is_some_and(|o| *self.sources.entry(ring).or_insert(o) == o)
            }
            Op::Return { cqe, ifq, .. } => {
                let source = owners[usize::from(cqe)].and_then(|ring| self.sources.get(&ring));
                let fine = source.copied() == test.origin(ifq) && !self.returned.contains(&cqe);
                self.returned.push(cqe);
                fine
            }
            Op::Scribble { .. } => false,
            _ => true,
        }
    }
}

impl<'a> Maker<'a> {
    pub(crate) fn new(revision: Revision, shape: &Shape) -> Self {
        let sockets = (0..).zip(&shape.sockets);
        let sockets = sockets
            .map(|(i, queue): (usize, _)| Socket { name: format!("s{i}"), queue: *queue })
            .collect();
        let test = Test {
            name: "generated".to_owned(),
            revisions: vec![revision],
            rings: (0..shape.rings).map(|i| format!("R{i}")).collect(),
            setups: shape.setup.into_iter().collect(),
            sockets,
            queues: shape.queues(revision),
            expect: vec![Expect::default()],
            ..Test::default()
        };
        Maker {
            revision,
            tame: revision,
            spec: Spec::new(&test, revision),
            others: Vec::new(),
            live: None,
            test,
            owners: Vec::new(),
            registered: 0,
            manners: None,
        }
    }

    /// Draws for several revisions, and only what a live kernel can run. `newest`: departures that
    /// only the newest revision calls harmless are drawn often, too. `idle_waits`: so many waits may
    /// end without a completion.
    fn bind_to(&mut self, bounds: &drawn::Bounds<'a>, newest: bool, idle_waits: u32) {
        let (oldest, rest) = (bounds.revisions[0], &bounds.revisions[1..]);
        self.revision = rest.last().copied().unwrap_or(oldest);
        self.tame = if newest { self.revision } else { oldest };
        self.test.revisions = bounds.revisions.to_vec();
        self.spec = Spec::new(&self.test, self.revision);
        let others = bounds.revisions.iter().filter(|revision| **revision != self.revision);
        self.others = others.map(|revision| Spec::new(&self.test, *revision)).collect();
        self.live = Some(Live { can: bounds.can, bytes: LIVE_BYTES, idle_waits });
    }

    pub(crate) fn finish(mut self) -> Test {
        self.test.observe = (0..self.test.vars.len() as VarId).collect();
        self.test
    }

    /// The step that a word says, done in the state; `None` if it is left out.
    pub(crate) fn next(&mut self, word: &Word) -> Option<Step> {
        let op = self.decode(&mut Draw::new(word))?;
        if !self.allows(&op) {
            return None;
        }
        let bind = Some(self.test.vars.len() as VarId);
        let (mut after, mut others) = (self.spec.clone(), self.others.clone());
        let mut idle = false;
        for spec in std::iter::once(&mut after).chain(&mut others) {
            let result = spec.step(&op, bind);
            idle |= matches!(op, Op::Wait { .. }) && result == -ETIME;
            let crowded = self.live.is_some() && spec.crowded();
            if crowded || self.differs(&op, result, spec) {
                return None;
            }
        }
        if let Some(live) = self.live.as_mut().filter(|_| idle) {
            live.idle_waits = live.idle_waits.checked_sub(1)?;
        }
        (self.spec, self.others) = (after, others);
        Some(self.bind(op))
    }

    /// Binds the result of an operation to a new name.
    pub(crate) fn bind(&mut self, op: Op) -> Step {
        let var = self.test.vars.len();
        let kind = op.yields();
        if let (Some(live), Op::Send { len, .. }) = (&mut self.live, op) {
            live.bytes = live.bytes.saturating_sub(len);
        }
        self.registered += usize::from(matches!(op, Op::Register { .. } | Op::AddArea { .. }));
        self.test.vars.push(numbered(kind, var));
        self.owners.push(op.ring());
        Step { op, bind: Some(var as VarId), after: Vec::new() }
    }

    pub(crate) fn allows(&mut self, op: &Op) -> bool {
        self.live.as_ref().is_none_or(|live| live.allows(op))
            && self.manners.as_mut().is_none_or(|m| m.allow(op, &self.test, &self.owners))
    }

    /// Whether an operation leads where the model, by its own words or by its bounds, is not to be
    /// compared with a kernel. `result`: of the operation; `after`: the state then.
    fn differs(&self, op: &Op, result: i64, after: &Spec) -> bool {
        // An application that gives back what it still holds may see anything in its buffers.
        let mut end = after.clone();
        end.close_all();
        if after.misused() || end.overrun() {
            return true;
        }
        match *op {
            // On the whole of a socket there is room for so many.
            Op::Recv { socket, .. } => after.waiters(socket) > MAX_WAITERS,
            // What a ring holds that the kernel has never seen is not specified.
            Op::Register { modifiers, .. } => result < 0 && modifiers.has(ArgModifier::StaleRing),
            _ => false,
        }
    }

    pub(crate) fn vars(&self, kind: VarKind) -> Vec<VarId> {
        let vars = (0..).zip(&self.test.vars);
        vars.filter(|(_, v)| v.kind == kind).map(|(id, _)| id).collect()
    }
}
