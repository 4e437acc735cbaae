//! What a campaign stores. Everything here depends on the plan alone: no time of day, no duration, no host.

use serde::{Deserialize, Serialize};

/// The version of the format.
pub const VERSION: u32 = 1;

/// One line of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    /// The first line.
    Header(Header),
    /// A unit has run.
    Unit(UnitRecord),
    /// A failure was minimised.
    Small(SmallRecord),
}

/// What a campaign is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`VERSION`].
    pub version: u32,
    /// The version of `ifq`.
    pub program: String,
    /// The name of the campaign.
    pub name: String,
    /// The path of the plan, as it was given.
    pub plan_path: String,
    /// The text of the plan.
    pub plan: String,
    /// A checksum of all inputs: the plan, the names of the units, the test files.
    pub inputs: u32,
    /// The names of the jobs.
    pub jobs: Vec<String>,
    /// All units of the whole campaign. A unit's number is its place in this list.
    pub units: Vec<UnitName>,
    /// This part of the units, from 1, of so many.
    pub shard: Option<(u64, u64)>,
}

/// A unit, as it is reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitName {
    /// The number of its job.
    pub job: usize,
    /// Its name.
    pub name: String,
}

impl Header {
    /// Whether a unit belongs to the shard.
    #[must_use]
    pub fn has(&self, unit: u64) -> bool {
        self.shard.is_none_or(|(shard, shards)| unit % shards == shard - 1)
    }
}

/// The result of a unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitRecord {
    /// Its number.
    pub unit: u64,
    /// Cases that passed.
    pub passed: u64,
    /// States of searches, or steps of runs.
    pub work: u64,
    /// The cases that did not pass.
    pub others: Vec<Other>,
}

/// A case that did not pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Other {
    /// Its number in the job.
    pub case: u64,
    /// Its name.
    pub name: String,
    /// How it ended.
    pub end: End,
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// As expected.
    Passed,
    /// Something is wrong.
    Failed(Vec<Shown>),
    /// A limit ended it, for a reason.
    Bounded(String),
    /// It was not run, for a reason.
    NotRun(String),
    /// The program panicked, with a message.
    Panicked(String),
}

/// A failure that a case has shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// What failures of the same cause have in common, see [`super::cause`].
    pub cause: String,
    /// The revision and its defects, or the machine.
    pub kernel: String,
    /// What happened, in words.
    pub what: String,
    /// The command that shows it again.
    pub again: String,
}

/// A minimised failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SmallRecord {
    /// The cause.
    pub cause: String,
    /// The unit that showed it.
    pub unit: u64,
    /// The case that showed it.
    pub case: u64,
    /// The test.
    pub test: Small,
}

/// A minimised test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Small {
    /// Number of its operations.
    pub operations: u64,
    /// The test file. `None`: there is none, for the reason in `note`.
    pub file: Option<String>,
    /// A sentence about it.
    pub note: String,
}
