//! `ifq outcomes --record`: writes the recorded outcomes of test files.

use std::path::{Path, PathBuf};

use ifq_sim::commands::record_outcomes::{Change, complete_outcomes, stale, write};
use ifq_sim::format::Input;
use ifq_sim::report::recorded_outcomes::path_of;

use super::exit::{EXIT_DIFFERENCE, EXIT_OK, combined};
use super::pool::run_all;
use super::search::SearchArgs;
use super::selection::{read_or, usage_error};
use crate::library;

/// Records the outcomes of the files and folders, or of the library's folder; returns the exit code.
pub(super) fn record(paths: &[PathBuf], search: &SearchArgs) -> u8 {
    let library = [PathBuf::from(library::FOLDER)];
    let paths = if paths.is_empty() { &library } else { paths };
    if let Some(folder) = paths.iter().find(|path| !path.exists()) {
        let folder = folder.display();
        return usage_error(format!("{folder}: there is no such file or folder to record in"));
    }
    let inputs = match read_or(paths, &[]) {
        Ok(inputs) => inputs,
        Err(code) => return code,
    };
    let processors = search.processors();
    let (inputs, code) = (inputs.tests, inputs.code);
    let limits = search.limits(inputs.len().min(processors));
    let done = run_all(&inputs, processors, |Input { path, test }, bar| {
        complete_outcomes(Path::new(path), test, &limits, &mut |at| bar.show(&test.name, at))
    });
    let (mut changed, mut incomplete) = (0, 0);
    for (Input { path, .. }, recorded) in inputs.iter().zip(done) {
        let path = Path::new(path);
        let recorded = recorded.unwrap_or_else(|| Err(format!("{}: interrupted", path.display())));
        match recorded.map(|recorded| write(path, &recorded)) {
            Ok(Ok(change)) => changed += usize::from(report(&path_of(path), change)),
            Ok(Err(error)) => return usage_error(format!("{}: {error}", path_of(path).display())),
            Err(reason) => {
                incomplete += 1;
                outln!("not recorded: {reason}");
            }
        }
    }
    match remove_stale(paths) {
        Ok(removed) => changed += removed,
        Err(error) => return usage_error(error),
    }
    outln!("{} files, {changed} changed, {incomplete} not recorded", inputs.len());
    combined([code, if incomplete == 0 { EXIT_OK } else { EXIT_DIFFERENCE }])
}

/// Prints what was done to a file; `false`: nothing.
fn report(path: &Path, change: Change) -> bool {
    let path = path.display();
    match change {
        Change::None => return false,
        Change::New => outln!("new: {path}"),
        Change::Changed { added, removed } => outln!("changed: {path}, +{added} -{removed} lines"),
        Change::Removed => outln!("removed: {path}"),
    }
    true
}

/// Removes recorded outcomes in the folders whose test file is gone; returns their number.
fn remove_stale(paths: &[PathBuf]) -> Result<usize, String> {
    let mut removed = 0;
    for folder in paths.iter().filter(|path| path.is_dir()) {
        let files = stale(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for path in files {
            std::fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            removed += usize::from(report(&path, Change::Removed));
        }
    }
    Ok(removed)
}
