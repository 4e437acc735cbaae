//! `ifq outcomes --witness`: for each outcome a run with few context switches that ends with it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use ifq_model::outcome::Outcome;
use ifq_model::revision::Variant;
use ifq_model::test::Test;
use ifq_sim::report::witness::save;
use ifq_sim::search::explore::Limits;
use ifq_sim::search::shortest_witness::shortest_witnesses;
use ifq_sim::shrink::few_switches_to;
use serde::Serialize;

/// The witness of one outcome.
#[derive(Debug, Serialize)]
pub(super) struct WitnessLine {
    outcome: String,
    /// The file; `None`: no run was found within the limits.
    file: Option<PathBuf>,
    /// Number of steps.
    steps: Option<u64>,
    /// The decisions of the run.
    decisions: Vec<u32>,
    /// The search for the shortest run was complete.
    exact: bool,
}

/// Searches the shortest run for each outcome, removes context switches, and stores it; the lines are in the order of the outcomes.
///
/// # Errors
/// A file cannot be written.
pub(super) fn store(
    folder: &Path,
    (test, variant): (&Test, &Variant),
    outcomes: &BTreeSet<Outcome>,
    limits: &Limits,
) -> Result<Vec<WitnessLine>, String> {
    let found = shortest_witnesses(test, variant, outcomes, limits, &mut |_| {});
    let line = |(number, outcome): (usize, &Outcome)| {
        let witness = found.of(outcome).map(|run| few_switches_to(test, variant, run));
        let witness = witness.as_ref();
        let save = |run| {
            save(folder, test, variant, &format!("outcome-{number}"), run)
                .map_err(|error| format!("{}: {error}", folder.display()))
        };
        Ok(WitnessLine {
            outcome: outcome.display(test),
            file: witness.map(save).transpose()?,
            steps: witness.map(|run| run.steps),
            decisions: witness.map_or_else(Vec::new, |run| run.decisions.clone()),
            exact: found.exact,
        })
    };
    (1..).zip(outcomes).map(line).collect()
}

impl fmt::Display for WitnessLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(file), Some(steps)) = (&self.file, self.steps) else {
            return f.write_str("(no run within the limits)");
        };
        let note = if self.exact { "" } else { ", perhaps not a short one" };
        write!(f, "{} ({steps} steps{note})", file.display())
    }
}
