//! Revisions of the kernel's sharing code, and the defects that can be switched on in them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One version of the kernel's sharing code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Revision {
    /// Linux 7.3: export and import, two-step unregistration, second scrub, several areas, the
    /// refill iterator. Read from `io_uring/zcrx.c` of 7.3.4.
    #[serde(rename = "import-7.3")]
    Import73,
}

impl Revision {
    /// All revisions, oldest first.
    pub const ALL: [Revision; 1] = [Revision::Import73];

    /// The name that test files and the command line use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Revision::Import73 => "import-7.3",
        }
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One named departure from a revision, off by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Defect {
    /// `io_terminate_zcrx` also drops `refs`, before the ring's requests are gone.
    EarlyPut,
    /// The task work of a dying ring is run instead of cancelled.
    DyingTwRuns,
}

impl Defect {
    /// All defects.
    pub const ALL: [Defect; 2] = [Defect::EarlyPut, Defect::DyingTwRuns];

    /// The name that test files and the command line use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Defect::EarlyPut => "early-put",
            Defect::DyingTwRuns => "dying-tw-runs",
        }
    }

    /// One line that says what it does.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Defect::EarlyPut => {
                "io_terminate_zcrx also drops refs, before the ring's requests are gone"
            }
            Defect::DyingTwRuns => "the task work of a dying ring is run instead of cancelled",
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A revision with some defects switched on: what a run models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variant {
    /// The version of the kernel.
    pub revision: Revision,
    /// The departures from it, sorted.
    pub defects: Vec<Defect>,
}

impl Variant {
    /// The revision as it is.
    #[must_use]
    pub fn sound(revision: Revision) -> Self {
        Variant { revision, defects: Vec::new() }
    }

    /// Whether a defect is switched on.
    #[must_use]
    pub fn has(&self, defect: Defect) -> bool {
        self.defects.contains(&defect)
    }
}
