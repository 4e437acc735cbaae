//! A test as data: rings and sockets, threads of operations, observed results, expectations.
//!
//! `ifq-sim` parses and prints the text format. [`crate::run`] runs a test on the model, `ifq-real`
//! on a live kernel.

pub mod arg;
pub mod arg_modifier;
pub mod capacities;
pub mod condition;
mod evaluate;
pub mod expect;
pub mod ids;
pub mod index;
pub mod limits;
pub mod literal;
pub mod op;
pub mod schedule;

use serde::{Deserialize, Serialize};

pub use self::arg::{Event, Layout, RqWord, Source, VarKind};
pub use self::condition::{Condition, Formula, Quantifier};
pub use self::expect::Expect;
pub use self::ids::{RingId, SocketId, VarId};
pub use self::op::Op;
pub use self::schedule::{Schedule, ScheduleOrder};
use crate::fault::FaultPoint;
use crate::invariant::Invariant;
use crate::named_enum::named_enum;
use crate::revision::{Entry, Revision, Variant};

/// A test. The default is empty and not valid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// Name; the file of the library is named after it: `owner-exits-first`.
    pub name: String,
    /// One sentence of documentation.
    pub about: String,
    /// The revisions that it applies to, oldest first; not empty.
    pub revisions: Vec<Revision>,
    /// The catalogue entries that it shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shows: Vec<Entry>,
    /// Names of the rings. Each ring is set up before the first step.
    pub rings: Vec<String>,
    /// Rings whose flags differ from the default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub setups: Vec<(RingId, RingSetup)>,
    /// TCP connections. Each is set up before the first step.
    pub sockets: Vec<Socket>,
    /// Number of receive queues of the network device; 0: no device.
    pub queues: u32,
    /// Names of the results, in the order of the steps that bind them.
    pub vars: Vec<Var>,
    /// Steps that run first, in order.
    pub setup: Vec<Step>,
    /// Threads that run concurrently after the setup.
    pub threads: Vec<Thread>,
    /// Steps that run in order after all threads have ended.
    pub finally: Vec<Step>,
    /// Fault points that may fail.
    pub faults: Vec<FaultPoint>,
    /// Largest number of failures in one run.
    pub max_faults: u32,
    /// The results that form an outcome, in order.
    pub observe: Vec<VarId>,
    /// The expected verdicts.
    #[serde(default)]
    pub expect: Vec<Expect>,
    /// What must be true of the outcomes. A test has an expected verdict or a condition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The schedule of one run, or of the runs that a search is limited to.
    pub schedule: Option<Schedule>,
}

/// A TCP connection. The test receives from its near end through zcrx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// Name.
    pub name: String,
    /// The device queue that its packets arrive on; `None`: loopback, in ordinary pages.
    pub queue: Option<u32>,
}

named_enum! {
    /// A change to the flags that a ring is set up with. The default flags are
    /// `DEFER_TASKRUN | SINGLE_ISSUER | CQE32`.
    pub enum RingSetup {
        NoDefer "no-defer" "Without `IORING_SETUP_DEFER_TASKRUN`.";
        NoCqe32 "no-cqe32" "Without `IORING_SETUP_CQE32`.";
        Clamp "clamp" "With `IORING_SETUP_CLAMP`.";
        CqeMixed "cqe-mixed" "With `IORING_SETUP_CQE_MIXED` instead of `IORING_SETUP_CQE32`.";
        Disabled "disabled" "With `IORING_SETUP_R_DISABLED`, until `enable`.";
    }
}

/// The name of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Var {
    /// Name, unique in the test.
    pub name: String,
    /// Kind of the result.
    pub kind: VarKind,
}

/// One thread of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Name.
    pub name: String,
    /// Its steps, in order.
    pub steps: Vec<Step>,
}

/// One step: an operation, the name of its result, and what it waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The operation.
    pub op: Op,
    /// The variable that its result is bound to.
    pub bind: Option<VarId>,
    /// The step waits until these variables are bound, and those that the operation uses.
    pub after: Vec<VarId>,
}

impl Test {
    /// The thread that sets up a ring: the first one with a step on it, apart from `exit`. Its task is the
    /// ring's only issuer, unless the ring is disabled and another one enables it. `None`: only the setup
    /// and final steps use the ring.
    #[must_use]
    pub fn driver(&self, ring: RingId) -> Option<usize> {
        self.threads.iter().position(|t| {
            t.steps.iter().any(|s| s.op.ring() == Some(ring) && !matches!(s.op, Op::Exit { .. }))
        })
    }

    /// Whether a ring is set up with this change to its flags.
    #[must_use]
    pub fn is_set_up(&self, ring: RingId, setup: RingSetup) -> bool {
        self.setups.contains(&(ring, setup))
    }

    /// All steps: setup, threads, final steps.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.setup.iter().chain(self.threads.iter().flat_map(|t| &t.steps)).chain(&self.finally)
    }

    /// The step that binds a variable.
    #[must_use]
    pub fn binding(&self, var: VarId) -> Option<&Step> {
        self.steps().find(|s| s.bind == Some(var))
    }

    /// The result of the `register` step that an ifq or fd variable derives from through imports,
    /// exports and clones. `None` if the variable is of another kind, is unbound or depends on itself.
    #[must_use]
    pub fn origin(&self, var: VarId) -> Option<VarId> {
        let mut var = var;
        for _ in 0..=self.vars.len() {
            match self.binding(var)?.op {
                Op::Register { .. } => return Some(var),
                Op::Export { ifq, .. } | Op::Clone { ifq, .. } => var = ifq,
                Op::Import { fd, .. } => var = fd,
                _ => return None,
            }
        }
        None
    }

    /// The invariant that a variant is expected to violate. A variant without an expectation must hold.
    #[must_use]
    pub fn expected(&self, variant: &Variant) -> Option<Invariant> {
        let same = |e: &&Expect| e.defects == variant.defects && e.without == variant.without;
        let named = |e: &&Expect| e.revisions.contains(&variant.revision);
        let mut fitting = self.expect.iter().filter(same);
        let found =
            fitting.clone().find(named).or_else(|| fitting.find(|e| e.revisions.is_empty()));
        found.and_then(|e| e.violates)
    }

    /// The conditions that apply to a variant, with their indices.
    pub fn conditions_on(&self, variant: &Variant) -> impl Iterator<Item = (usize, &Condition)> {
        self.conditions.iter().enumerate().filter(|(_, one)| one.applies(self, variant))
    }

    /// The variants with an expected verdict or a condition: those of the expected verdicts in their
    /// order, then those of the conditions; within one of them, in the order of the revisions.
    #[must_use]
    pub fn variants(&self) -> Vec<Variant> {
        let mut variants: Vec<Variant> = Vec::new();
        let mut add = |variant| {
            if !variants.contains(&variant) {
                variants.push(variant);
            }
        };
        for expect in &self.expect {
            let named = &expect.revisions;
            for &revision in if named.is_empty() { &self.revisions } else { named } {
                let (defects, without) = (expect.defects.clone(), expect.without.clone());
                add(Variant { revision, defects, without });
            }
        }
        self.conditions.iter().flat_map(|one| one.variants(self)).for_each(add);
        variants
    }
}

impl Condition {
    /// Whether the condition applies to a variant of its test.
    #[must_use]
    pub fn applies(&self, test: &Test, variant: &Variant) -> bool {
        let revision = if self.revisions.is_empty() {
            test.revisions.contains(&variant.revision) && test.expected(variant).is_none()
        } else {
            self.revisions.contains(&variant.revision)
        };
        revision && self.defects == variant.defects && self.without == variant.without
    }

    /// The variants that the condition applies to, in the order of the revisions.
    #[must_use]
    pub fn variants(&self, test: &Test) -> Vec<Variant> {
        let variant = |&revision: &Revision| Variant {
            revision,
            defects: self.defects.clone(),
            without: self.without.clone(),
        };
        let all = test.revisions.iter().map(variant);
        all.filter(|variant| self.applies(test, variant)).collect()
    }
}
