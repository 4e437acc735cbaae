//! `ifq outcomes`: prints every outcome that user space can observe at the end of a test.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use ifq_model::revision::{Defect, Revision, Variant};
use ifq_sim::format;
use ifq_sim::search::explore::explore;
use serde::Serialize;

use super::exit::{EXIT_BOUNDED, EXIT_DIFFERENCE, EXIT_OK, combined};
use super::interrupt::Interrupted;
use super::outcomes_record;
use super::outcomes_witness::{self, WitnessLine};
use super::search::SearchArgs;
use super::selection::{SelectionArgs, note_skipped, usage_error};
use crate::machine::interrupted;

/// Arguments of `ifq outcomes`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    ifq outcomes tests/library/import/box-close-races-with-import.ifq\n  \
    ifq outcomes --witness exits-race.ifq    also write the shortest run that ends with each outcome\n  \
    ifq outcomes --json --witness t.ifq | jq '.witnesses[].decisions'\n  \
    ifq outcomes --record                    record all outcomes of tests/library\n  \
    ifq outcomes --record mine.ifq           record all outcomes of a file in mine.outcomes\n\n\
    `ifq check` compares the outcomes of a test with the recorded ones.")]
pub struct Args {
    /// Test files, `-` is standard input; with --record also folders [default with --record: tests/library]
    #[arg(required_unless_present = "record")]
    pub files: Vec<PathBuf>,
    /// For each outcome, write the shortest run that ends with it into the folder of --out, as a file that
    /// `ifq replay` takes
    #[arg(long)]
    pub witness: bool,
    /// Folder for the runs of --witness
    #[arg(long, value_name = "FOLDER", default_value = "witnesses", requires = "witness")]
    pub out: PathBuf,
    /// Write all outcomes of each variant that is expected to hold into a file beside the test file, whose
    /// name ends in .outcomes. Writes what changed, and removes files in the folders whose test is gone
    #[arg(long, conflicts_with_all = ["witness", "json", "revision", "defects", "without", "fixed",
        "preemptions", "buffer_symmetry"])]
    pub record: bool,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    witnesses: Option<Vec<WitnessLine>>,
}

/// Searches the test and prints its outcomes; returns the exit code.
#[must_use]
pub fn outcomes(args: &Args) -> u8 {
    if args.record {
        return outcomes_record::record(&args.files, &args.search);
    }
    combined(args.files.iter().map(|file| outcomes_of(args, file)))
}

fn outcomes_of(args: &Args, file: &Path) -> u8 {
    let test = match format::load(file) {
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
        let limits = args.search.limits(1);
        let found = explore(&test, &variant, &limits, &mut |_| {});
        let outcomes: Vec<String> = found.outcomes.iter().map(|o| o.display(&test)).collect();
        let witnesses = args
            .witness
            .then(|| {
                outcomes_witness::store(&args.out, (&test, &variant), &found.outcomes, &limits)
            })
            .transpose();
        let witnesses = match witnesses {
            Ok(witnesses) => witnesses,
            Err(error) => return usage_error(error),
        };
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
            let line = OutcomesLine {
                test,
                revision,
                defects,
                without,
                outcomes,
                exhaustive,
                violation,
                witnesses,
            };
            if let Ok(line) = serde_json::to_string(&line) {
                outln!("{line}");
            }
            continue;
        }
        outln!("Test {test} on {variant}");
        outln!("States {}", outcomes.len());
        for (i, outcome) in outcomes.iter().enumerate() {
            match witnesses.as_ref().map(|all| &all[i]) {
                Some(witness) => outln!("{outcome}  {witness}"),
                None => outln!("{outcome}"),
            }
        }
        match violation {
            Some(violation) => outln!("Violation: {violation} (the set of outcomes is incomplete)"),
            None if exhaustive => outln!("Complete: every interleaving was searched"),
            None => outln!("Bounded: a limit ended the search, the set may be incomplete"),
        }
    }
    code
}
