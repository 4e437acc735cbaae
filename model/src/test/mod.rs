//! A test as data: what is set up, what the threads do, what is observed.
//!
//! This is the meaning of a test file. The text format and its errors are in `ifq-sim`, the run on
//! a kernel is in `ifq-real`, the run on the model is in [`crate::run`].

pub mod arg_modifier;
pub mod expect;
pub mod limits;
pub mod op;

use serde::{Deserialize, Serialize};

pub use self::expect::{Expect, Schedule};
pub use self::op::{Event, Op, RqWord, Source, VarKind};
use crate::fault::FaultPoint;
use crate::revision::{Entry, Revision};

/// Index into [`Test::rings`].
pub type RingId = u8;
/// Index into [`Test::sockets`].
pub type SocketId = u8;
/// Index into [`Test::vars`].
pub type VarId = u16;

/// A whole test. The default is empty, and not valid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// The claim, as a file name: `owner-exits-first`.
    pub name: String,
    /// One sentence about it.
    pub about: String,
    /// The revisions it is for, oldest first; not empty.
    pub revisions: Vec<Revision>,
    /// The entries of the catalogue that it shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shows: Vec<Entry>,
    /// Rings, by name. Each is set up before the first step.
    pub rings: Vec<String>,
    /// How rings are set up that are not set up as usual.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub setups: Vec<(RingId, RingSetup)>,
    /// TCP connections, by name. Each is set up before the first step.
    pub sockets: Vec<Socket>,
    /// Number of receive queues of the network device; 0: there is none.
    pub queues: u32,
    /// Names of the bound results.
    pub vars: Vec<Var>,
    /// Runs first, alone, in order.
    pub setup: Vec<Step>,
    /// Run at the same time.
    pub threads: Vec<Thread>,
    /// Runs when all threads have ended, alone, in order.
    pub finally: Vec<Step>,
    /// Points that may fail.
    pub faults: Vec<FaultPoint>,
    /// At most so many of them fail in one run.
    pub max_faults: u32,
    /// The results that make an outcome, in order.
    pub observe: Vec<VarId>,
    /// What the checker must say; not empty.
    pub expect: Vec<Expect>,
    /// The decisions of one run, if this is a counterexample.
    pub schedule: Option<Schedule>,
}

/// A TCP connection whose near end is received from through zcrx.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// Name.
    pub name: String,
    /// The device queue that its packets arrive on; `None`: loopback, ordinary pages.
    pub queue: Option<u32>,
}

/// What is unusual about a ring's flags. The usual ones are `DEFER_TASKRUN | SINGLE_ISSUER | CQE32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RingSetup {
    /// Without `IORING_SETUP_DEFER_TASKRUN`.
    NoDefer,
    /// Without `IORING_SETUP_CQE32`.
    NoCqe32,
    /// With `IORING_SETUP_CLAMP`.
    Clamp,
}

impl RingSetup {
    /// All of them.
    pub const ALL: &'static [RingSetup] =
        &[RingSetup::NoDefer, RingSetup::NoCqe32, RingSetup::Clamp];

    /// The word that test files use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RingSetup::NoDefer => "no-defer",
            RingSetup::NoCqe32 => "no-cqe32",
            RingSetup::Clamp => "clamp",
        }
    }
}

/// A bound name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Var {
    /// Name, unique in the test.
    pub name: String,
    /// What it holds.
    pub kind: VarKind,
}

/// One thread of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Name.
    pub name: String,
    /// What it does, in order.
    pub steps: Vec<Step>,
}

/// One operation of user space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What is done.
    pub op: Op,
    /// The name its result is bound to.
    pub bind: Option<VarId>,
    /// Waits first until these are bound. A step also waits for the variables that it uses.
    pub after: Vec<VarId>,
}

impl Test {
    /// Which thread drives a ring: the first one that has a step on it. `None`: no thread does, so
    /// set-up and the steps at the end do.
    #[must_use]
    pub fn driver(&self, ring: RingId) -> Option<usize> {
        self.threads.iter().position(|t| {
            t.steps.iter().any(|s| s.op.ring() == Some(ring) && !matches!(s.op, Op::Exit { .. }))
        })
    }

    /// Whether a ring is set up in this unusual way.
    #[must_use]
    pub fn is_set_up(&self, ring: RingId, setup: RingSetup) -> bool {
        self.setups.contains(&(ring, setup))
    }

    /// All steps: set-up, threads, the end.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.setup.iter().chain(self.threads.iter().flat_map(|t| &t.steps)).chain(&self.finally)
    }

    /// The step that binds a variable.
    #[must_use]
    pub fn binding(&self, var: VarId) -> Option<&Step> {
        self.steps().find(|s| s.bind == Some(var))
    }

    /// The `register` step that an ifq or fd variable goes back to, through imports, exports and
    /// clones.
    /// `None` if the variable is of another kind, is bound nowhere or goes round in a circle.
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
}
