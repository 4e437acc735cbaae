//! Writes a difference to a test file. Comments at its start list the observed and the allowed outcomes.

use std::path::{Path, PathBuf};

use ifq_model::test::Test;
use ifq_sim::format;

use super::result_view::{ResultView, compared_with, histogram};

/// Writes the file and returns its path.
///
/// # Errors
///
/// A message for the user: the file could not be written.
pub fn store(
    out: &Path,
    test: &Test,
    shown: &ResultView<'_>,
    notes: &[String],
) -> Result<PathBuf, String> {
    let machine: String = shown.machine.chars().map(|c| if plain(c) { c } else { '-' }).collect();
    // Of a path keep the last part.
    let machine = machine.rsplit_once("--").map_or(machine.as_str(), |(_, last)| last);
    let path = out.join(format!("{}.{machine}.ifq", test.name));
    std::fs::create_dir_all(out)
        .and_then(|()| std::fs::write(&path, text(test, shown, notes)))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '.' || c == '_'
}

fn text(test: &Test, shown: &ResultView<'_>, notes: &[String]) -> String {
    let kernel = shown.kernel.unwrap_or("unknown");
    let by = shown
        .result
        .variant
        .as_ref()
        .map_or("the model".to_owned(), |of| compared_with(of, shown.kernel));
    let mut head = format!("{}, kernel {kernel}, differs from {by}.\n", shown.machine);
    head.push_str(&format!("{}\n", shown.result.comparison.reason));
    if !shown.result.comparison.rows.is_empty() {
        head.push_str(&histogram(shown.result, shown.kernel));
    }
    for note in notes {
        head.push_str(&format!("{note}\n"));
    }
    let comments: String = head.lines().map(|line| format!("# {}\n", line.trim_end())).collect();
    format!("{comments}{}", format::print(test))
}
