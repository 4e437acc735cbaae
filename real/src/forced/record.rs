//! What is recorded about a forced run.

use serde::Serialize;

/// One line of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What was asked for.
    pub asked: String,
    /// Where the thread stands, as function and offset. `None`: it did not come there.
    pub reached: Option<String>,
    /// Milliseconds that it took.
    pub ms: u64,
}

/// A run of a kernel that was to follow a schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ForcedRun {
    /// The lines that were tried.
    pub lines: Vec<Line>,
    /// Why the schedule was not followed to its end.
    pub failure: Option<String>,
    /// Milliseconds from the begin to the end of the test.
    pub ms: u64,
    /// Milliseconds of these from the end of the last line on.
    pub end_ms: u64,
    /// Milliseconds of these in which the guest ran.
    pub running_ms: u64,
    /// So often the guest stopped.
    pub stops: u64,
}
