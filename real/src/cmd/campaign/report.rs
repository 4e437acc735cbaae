//! Prints and writes what a campaign has found.

use std::fs;
use std::path::Path;

use comfy_table::CellAlignment;

use crate::campaign::summary::{Counts, Summary};
use crate::cmd::exit::{EXIT_BOUNDED, EXIT_DIFFERENCE, EXIT_NOT_RUN, EXIT_OK, combined};

/// The folder of the minimised tests, in the folder of a campaign.
const FAILURES: &str = "failures";

/// Writes the smallest test of each cause.
///
/// # Errors
/// A message: a file cannot be written.
pub(super) fn write_failures(folder: &Path, summary: &Summary) -> Result<(), String> {
    let folder = folder.join(FAILURES);
    for cause in &summary.causes {
        let (Some(file), Some(text)) = (&cause.file, &cause.text) else { continue };
        let path = folder.join(file);
        // Written under another name first, so that a file is never half written.
        let new = folder.join("new");
        fs::create_dir_all(&folder)
            .and_then(|()| fs::write(&new, text))
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(())
}

/// Prints the summary of a campaign in a folder.
pub(super) fn print(folder: &Path, summary: &Summary) {
    let shard = summary.shard.as_ref().map_or_else(String::new, |shard| format!(", shard {shard}"));
    outln!("campaign {}{shard}", summary.name);
    let mut table = crate::output::table();
    let names = summary.total.cells().map(|(name, _)| name);
    table.set_header(["job"].into_iter().chain(names));
    let all = summary.jobs.iter().map(|job| (job.name.as_str(), &job.counts));
    for (name, counts) in all.chain([("all", &summary.total)]) {
        let cells = counts.cells().map(|(_, number)| number.to_string());
        table.add_row([name.to_owned()].into_iter().chain(cells));
    }
    for index in 1..=summary.total.cells().len() {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    outln!("{}", table.trim_fmt());
    for cause in &summary.causes {
        let cases = if cause.cases == 1 { "case" } else { "cases" };
        outln!("\n{}", cause.cause);
        outln!("  {} {cases} on {}", cause.cases, cause.kernels.join(", "));
        if let Some(case) = cause.first.first() {
            outln!("  first by {}: {}", case.case, case.what);
            outln!("  again: {}", case.again);
        }
        if let (Some(file), Some(operations)) = (&cause.file, cause.operations) {
            let path = folder.join(FAILURES).join(file);
            outln!("  smallest test, {operations} operations: {}", path.display());
        }
        if let Some(note) = &cause.note {
            outln!("  {note}");
        }
    }
    if !summary.reasons.is_empty() {
        outln!("");
    }
    for reason in &summary.reasons {
        let (count, end) = (reason.cases, reason.end);
        outln!("{end}: {count}, first {}: {}", reason.first, reason.reason);
    }
}

/// The exit code of what has run.
pub(super) fn exit_code(total: &Counts) -> u8 {
    let code = |count: u64, code| if count > 0 { code } else { EXIT_OK };
    combined([
        code(total.failed + total.panicked, EXIT_DIFFERENCE),
        code(total.bounded, EXIT_BOUNDED),
        code(total.not_run + total.units - total.done, EXIT_NOT_RUN),
    ])
}
