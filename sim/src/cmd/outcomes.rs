//! `ifq outcomes`: everything that user space can see at the end of a test.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use ifq_model::revision::{Defect, Revision, Variant};
use serde::Serialize;

use super::bounds::Bounds;
use super::input::{self, Which};
use super::{EXIT_DIFFERENCE, EXIT_OK, EXIT_USAGE};
use crate::format;
use crate::search::explore::explore;

/// Arguments of `ifq outcomes`.
#[derive(Clone, Debug, ClapArgs)]
#[command(
    after_help = "Example:\n  ifq outcomes tests/library/import/box-close-races-with-import.ifq"
)]
pub struct Args {
    /// A test file
    pub file: PathBuf,
    /// Which kernels
    #[command(flatten)]
    pub which: Which,
    /// How far, and how
    #[command(flatten)]
    pub bounds: Bounds,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct Line<'a> {
    test: &'a str,
    revision: Revision,
    defects: Vec<Defect>,
    without: Vec<Defect>,
    outcomes: Vec<String>,
    exhaustive: bool,
    violation: Option<String>,
}

/// Runs it.
#[must_use]
pub fn outcomes(args: &Args) -> u8 {
    let test = match format::load(&args.file) {
        Ok(test) => test,
        Err(error) => {
            input::complain(&[error]);
            return EXIT_USAGE;
        }
    };
    let (variants, skipped): (Vec<_>, Vec<_>) =
        args.which.variants(&test).into_iter().partition(Result::is_ok);
    input::note_skipped(&skipped.into_iter().filter_map(Result::err).collect::<Vec<_>>());
    if variants.is_empty() {
        input::complain(&["nothing to search: the test has no such variant"]);
        return EXIT_USAGE;
    }
    let mut code = EXIT_OK;
    for variant in variants.into_iter().flatten() {
        let found = explore(&test, &variant, &args.bounds.limits(1), &mut |_| {});
        let outcomes: Vec<String> = found.outcomes.iter().map(|o| o.display(&test)).collect();
        let violation = found.counterexample.map(|c| c.violation.to_string());
        if violation.is_some() || !found.exhaustive {
            code = EXIT_DIFFERENCE;
        }
        let exhaustive = found.exhaustive;
        let test = test.name.as_str();
        if args.json {
            let Variant { revision, defects, without } = variant;
            let line = Line { test, revision, defects, without, outcomes, exhaustive, violation };
            if let Ok(line) = serde_json::to_string(&line) {
                say!("{line}");
            }
            continue;
        }
        say!("Test {test} on {variant}");
        say!("States {}", outcomes.len());
        for outcome in outcomes {
            say!("{outcome}");
        }
        match violation {
            Some(violation) => say!("Broken: {violation} (the set is not complete)"),
            None if exhaustive => say!("Complete: every interleaving was searched"),
            None => say!("Bounded: the set may not be complete"),
        }
    }
    code
}
