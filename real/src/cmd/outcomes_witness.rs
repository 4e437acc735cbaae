//! `ifq outcomes --witness`: the shortest run that ends with each outcome.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use ifq_model::outcome::Outcome;
use ifq_model::revision::Variant;
use ifq_model::test::Test;
use ifq_sim::report::witness::save;
use ifq_sim::search::explore::Limits;
use ifq_sim::search::shortest_witness::shortest_witnesses;
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
    /// No shorter run ends with the outcome.
    exact: bool,
}

/// Searches the shortest run for each outcome and stores it; the lines are in the order of the outcomes.
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
        let witness = found.of(outcome);
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
        let note = if self.exact { "" } else { ", perhaps not the shortest" };
        write!(f, "{} ({steps} steps{note})", file.display())
    }
}
