//! `ifq outcomes`: prints every outcome that user space can observe at the end of a test.

use std::path::PathBuf;

use clap::Args as ClapArgs;
use ifq_model::revision::{Defect, Revision, Variant};
use ifq_sim::format;
use ifq_sim::search::explore::explore;
use serde::Serialize;

use super::exit::{EXIT_BOUNDED, EXIT_DIFFERENCE, EXIT_OK, combined};
use super::interrupt::Interrupted;
use super::search::SearchArgs;
use super::selection::{SelectionArgs, note_skipped, usage_error};
use crate::machine::interrupted;

/// Arguments of `ifq outcomes`.
#[derive(Clone, Debug, ClapArgs)]
#[command(
    after_help = "Example:\n  ifq outcomes tests/library/import/box-close-races-with-import.ifq"
)]
pub struct Args {
    /// A test file; `-` is standard input
    pub file: PathBuf,
    /// Which variants
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// Limits and reductions
    #[command(flatten)]
    pub search: SearchArgs,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct OutcomesLine<'a> {
    test: &'a str,
    revision: Revision,
    defects: Vec<Defect>,
    without: Vec<Defect>,
    outcomes: Vec<String>,
    exhaustive: bool,
    violation: Option<String>,
}

/// Searches the test and prints its outcomes; returns the exit code.
#[must_use]
pub fn outcomes(args: &Args) -> u8 {
    let test = match format::load(&args.file) {
        Ok(test) => test,
        Err(error) => return usage_error(error),
    };
    let (variants, skipped): (Vec<_>, Vec<_>) =
        args.selection.selection().variants(&test).into_iter().partition(Result::is_ok);
    note_skipped(&skipped.into_iter().filter_map(Result::err).collect::<Vec<_>>());
    if variants.is_empty() {
        return usage_error("nothing to search: the test has no such variant");
    }
    let mut code = EXIT_OK;
    for variant in variants.into_iter().flatten() {
        let found = explore(&test, &variant, &args.search.limits(1), &mut |_| {});
        let outcomes: Vec<String> = found.outcomes.iter().map(|o| o.display(&test)).collect();
        let violation = found.counterexample.map(|c| c.violation.to_string());
        if interrupted() && found.limit_reached {
            let done = "the set of outcomes is incomplete".to_owned();
            let running = vec![format!("{} on {variant}, {} states", test.name, found.states)];
            return Interrupted { done, running, checkpoint: None, can_resume: false }.report();
        }
        code = combined([
            code,
            match violation {
                Some(_) => EXIT_DIFFERENCE,
                None if found.exhaustive => EXIT_OK,
                None => EXIT_BOUNDED,
            },
        ]);
        let exhaustive = found.exhaustive;
        let test = test.name.as_str();
        if args.json {
            let Variant { revision, defects, without } = variant;
            let line =
                OutcomesLine { test, revision, defects, without, outcomes, exhaustive, violation };
            if let Ok(line) = serde_json::to_string(&line) {
                outln!("{line}");
            }
            continue;
        }
        outln!("Test {test} on {variant}");
        outln!("States {}", outcomes.len());
        for outcome in outcomes {
            outln!("{outcome}");
        }
        match violation {
            Some(violation) => outln!("Violation: {violation} (the set of outcomes is incomplete)"),
            None if exhaustive => outln!("Complete: every interleaving was searched"),
            None => outln!("Bounded: a limit ended the search, the set may be incomplete"),
        }
    }
    code
}
