//! Generates tests from bytes, for property tests and for the comparison with a live kernel.
//!
//! A sequence is a list of [`Word`]s. The generator decodes each word in the state after the previous
//! operations, which [`ifq_model::spec`] computes. So most operations succeed. Some are invalid on
//! purpose: they use a closed descriptor or ring, ask for entries that no kernel accepts, or return a
//! buffer twice. Zero bytes encode the simplest choice, so shrinking the bytes simplifies the test.

mod draw;
pub mod drawn;
mod ops;
mod threads;

use std::collections::BTreeMap;

use ifq_model::errno::ETIME;
use ifq_model::revision::Revision;
use ifq_model::spec::Spec;
use ifq_model::test::arg_modifier::ArgModifier;
use ifq_model::test::{Expect, Op, RingId, RingSetup, Socket, Step, Test, Var, VarId, VarKind};

use draw::Draw;
pub use threads::{Threads, concurrent};

/// An encoded operation.
pub type Word = [u8; 10];

/// The rings, sockets and device queues of a generated test.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Number of rings.
    pub rings: u8,
    /// For each socket, the device queue that its packets arrive on, if any.
    pub sockets: Vec<Option<u32>>,
    /// Number of receive queues of the device.
    pub queues: u32,
    /// A ring whose flags differ from the default.
    pub setup: Option<(RingId, RingSetup)>,
}

impl Shape {
    /// Number of receive queues on a revision. Two more where each ifq needs a queue of its own.
    fn queues(&self, revision: Revision) -> u32 {
        if revision.has_nodev() { self.queues } else { self.queues + 2 }
    }
}

/// A variable for the result of a generated step, with a unique number in its name.
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

/// A valid test that runs the operations in sequence, in `finally`, so that background work ends after
/// each of them. It observes all results.
#[must_use]
pub fn sequence(revision: Revision, shape: &Shape, words: &[Word]) -> Test {
    let mut builder = TestBuilder::new(revision, shape);
    for word in words {
        if let Some(step) = builder.next(word) {
            builder.test.finally.push(step);
        }
    }
    builder.finish()
}

/// Builds a test step by step.
pub(crate) struct TestBuilder<'a> {
    revision: Revision,
    /// The revision that decides which argument modifiers are harmless.
    harmless_on: Revision,
    pub(crate) test: Test,
    pub(crate) spec: Spec,
    /// The states on the other revisions of the test.
    others: Vec<Spec>,
    /// Limits of a test for a live kernel.
    live: Option<LiveLimits<'a>>,
    /// For each result, the ring of the step that binds it.
    pub(crate) owners: Vec<Option<RingId>>,
    registered: usize,
    /// The rules of a well-behaved application. `None`: the test may break them.
    pub(crate) buffer_rules: Option<BufferRules>,
}

/// Limits of a test that a live kernel runs.
struct LiveLimits<'a> {
    can: &'a dyn Fn(&Op) -> bool,
    /// Number of bytes that may still be sent.
    bytes: u32,
    /// Number of waits that may still end without a completion. Each costs time.
    idle_waits: u32,
}

impl LiveLimits<'_> {
    fn allows(&self, op: &Op) -> bool {
        let bytes = if let Op::Send { len, .. } = op { *len } else { 0 };
        bytes <= self.bytes && (self.can)(op)
    }
}

/// Largest number of bytes that a test for a live kernel sends. Up to this size, the data of a thread
/// fits into one page fragment (`SKB_FRAG_PAGE_ORDER`, 32 KiB), so one send is one fragment, as in the
/// model.
const LIVE_BYTES: u32 = 32768;

/// Rules by which an application returns only buffers that it holds, in any interleaving: all requests
/// of a ring receive into one ifq, each buffer is returned there once, and nothing else is written
/// into a refill ring.
#[derive(Debug, Default)]
pub(crate) struct BufferRules {
    pub(crate) sources: BTreeMap<RingId, VarId>,
    pub(crate) returned: Vec<VarId>,
}

impl BufferRules {
    fn allow(&mut self, op: &Op, test: &Test, owners: &[Option<RingId>]) -> bool {
        match *op {
            Op::Recv { ring, ifq, .. } => {
                let origin = test.origin(ifq);
                origin.is_some_and(|o| *self.sources.entry(ring).or_insert(o) == o)
            }
            Op::Return { cqe, ifq, .. } => {
                let source = owners[usize::from(cqe)].and_then(|ring| self.sources.get(&ring));
                let allowed = source.copied() == test.origin(ifq) && !self.returned.contains(&cqe);
                self.returned.push(cqe);
                allowed
            }
            Op::Scribble { .. } => false,
            _ => true,
        }
    }
}

impl<'a> TestBuilder<'a> {
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
        TestBuilder {
            revision,
            harmless_on: revision,
            spec: Spec::new(&test, revision),
            others: Vec::new(),
            live: None,
            test,
            owners: Vec::new(),
            registered: 0,
            buffer_rules: None,
        }
    }

    /// Restricts the test to operations that a live kernel can run, with defined results on several
    /// revisions. `newest`: the newest revision decides which modifiers are harmless, not the oldest.
    /// `idle_waits`: number of waits that may end without a completion.
    fn restrict_to(&mut self, limits: &drawn::DrawLimits<'a>, newest: bool, idle_waits: u32) {
        let (oldest, rest) = (limits.revisions[0], &limits.revisions[1..]);
        self.revision = rest.last().copied().unwrap_or(oldest);
        self.harmless_on = if newest { self.revision } else { oldest };
        self.test.revisions = limits.revisions.to_vec();
        self.spec = Spec::new(&self.test, self.revision);
        let others = limits.revisions.iter().filter(|revision| **revision != self.revision);
        self.others = others.map(|revision| Spec::new(&self.test, *revision)).collect();
        self.live = Some(LiveLimits { can: limits.can, bytes: LIVE_BYTES, idle_waits });
    }

    pub(crate) fn finish(mut self) -> Test {
        self.test.observe = (0..self.test.vars.len() as VarId).collect();
        self.test
    }

    /// Decodes a word, executes the operation in the state and returns the step; `None` if the operation
    /// is not allowed.
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
            if may_differ(&op, result, spec) {
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
            && self.buffer_rules.as_mut().is_none_or(|m| m.allow(op, &self.test, &self.owners))
    }

    pub(crate) fn vars(&self, kind: VarKind) -> Vec<VarId> {
        let vars = (0..).zip(&self.test.vars);
        vars.filter(|(_, v)| v.kind == kind).map(|(id, _)| id).collect()
    }
}

/// Whether the model and a kernel may differ after an operation, by a documented divergence. `result`:
/// result of the operation; `after`: state after it.
fn may_differ(op: &Op, result: i64, after: &Spec) -> bool {
    // The buffers of an application that returns what it still holds may contain anything.
    if after.misused() {
        return true;
    }
    // The release worker of a page pool looks once a second.
    if after.late_buffers() {
        return true;
    }
    // The contents of a ring that was never registered are unspecified.
    matches!(op, Op::Register { modifiers, .. } if result < 0 && modifiers.has(ArgModifier::StaleRing))
}
