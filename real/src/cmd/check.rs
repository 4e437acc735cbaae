//! `ifq check`: searches every interleaving of the tests, and compares the verdicts with the expected ones.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Color, Table};
use ifq_model::fault::FaultPoint;
use ifq_model::revision::Variant;
use ifq_model::test::{Test, limits};

use ifq_sim::executor::counterexample::Counterexample;
use ifq_sim::format::Input;
use ifq_sim::report::counterexample;
use ifq_sim::report::table::Layout;
use ifq_sim::report::verdict::{Verdict, VerdictRow, row};
use ifq_sim::search::checkpoint::{Checkpoint, CheckpointError};
use ifq_sim::search::explore::{Limits, explore_with};

use super::catalogue;
use super::check_outcomes::{RecordedInput, compared, failures, results};
use super::exit::{EXIT_DIFFERENCE, EXIT_OK};
use super::pool::{Bar, run_all};
use super::search::SearchArgs;
use super::selection::{SelectionArgs, note_skipped, read_or, usage_error};

/// Arguments of `ifq check`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    ifq check                                       the whole library, all variants of each file\n  \
    ifq check tests/library/teardown/exits-race.ifq  one file\n  \
    ifq check --defect early-put exits-race.ifq     add a defect; prints the counterexample\n  \
    ifq check --revision proxy-v1 --without P1      fix one of the revision's defects\n  \
    ifq check --faults 2 --fixed                    every fault point may fail, at most 2 failures a run\n  \
    ifq check --preemptions 2 big.ifq               only runs with at most 2 preemptions\n  \
    ifq check --max-memory 8000 big.ifq             stop at 8000 MiB of visited states\n  \
    ifq check --checkpoint big.ckpt big.ifq         resume after a crash\n  \
    ifq check --catalogue                           check that exactly the known defects are found\n  \
    ifq check --json | jq 'select(.as_expected|not)'\n\n\
    Without --defect, --without and --fixed, each file is checked on the variants for which it has an \
    `expect` line or a condition (`exists`, `forbid`, `always`). The outcomes are compared with the \
    conditions and with the recorded ones (`ifq outcomes --record`); the shortest run that differs is \
    stored in the folder of --out.")]
pub struct Args {
    /// Test files, or folders of them [default: the built-in library]
    pub files: Vec<PathBuf>,
    /// Which variants
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// For each entry of the catalogue, check that the tests that show the defect find it, print the
    /// length of the shortest counterexample, and check that the fix holds. A non-defect must not be
    /// reported
    #[arg(long, conflicts_with_all = ["faults", "revision", "defects", "without", "fixed"])]
    pub catalogue: bool,
    /// Let every fault point fail, with at most N failures in one run, instead of the faults that the
    /// files name. Variants that must hold must still hold
    #[arg(long, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::FAULTS)))]
    pub faults: Option<u32>,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
    /// Limits and reductions
    #[command(flatten)]
    pub search: SearchArgs,
    /// Store the progress of the search in this file every few seconds, and resume from it if it exists.
    /// Only for one test file and one variant
    #[arg(long, value_name = "FILE")]
    pub checkpoint: Option<PathBuf>,
    /// Folder for counterexamples: unexpected ones, and those of --defect, --without and --fixed
    #[arg(long, value_name = "FOLDER", default_value = "counterexamples")]
    pub out: PathBuf,
}

/// Seconds between two checkpoints: the work that a crash may lose.
const CHECKPOINT_SECONDS: u64 = 3;

struct CheckJob<'a> {
    input: &'a RecordedInput<'a>,
    test: Cow<'a, Test>,
    variant: Variant,
}

struct CheckResult {
    row: VerdictRow,
    counterexample: Option<Counterexample>,
}

/// Checks the named tests, or the library; returns the exit code.
#[must_use]
pub fn check(args: &Args, library: &[Input]) -> u8 {
    let inputs = match read_or(&args.files, library) {
        Ok(inputs) => inputs,
        Err(code) => return code,
    };
    if args.catalogue {
        return catalogue::check(&args.search, args.json, &inputs);
    }
    let load = |input| RecordedInput::load(input, args.files.is_empty());
    let inputs: Vec<_> = match inputs.iter().map(load).collect() {
        Ok(inputs) => inputs,
        Err(error) => return usage_error(error),
    };
    let jobs = jobs(args, &inputs);
    if jobs.is_empty() {
        return usage_error("nothing to check: no test file has such a variant");
    }
    if args.checkpoint.is_some() && jobs.len() > 1 {
        let count = jobs.len();
        return usage_error(format!(
            "--checkpoint needs exactly one search, but there are {count}"
        ));
    }
    let processors = args.search.processors();
    let limits = args.search.limits(jobs.len().min(processors));
    let checkpoint = args
        .checkpoint
        .clone()
        .map(|path| Checkpoint { path, every: Duration::from_secs(CHECKPOINT_SECONDS) });
    let done =
        run_all(&jobs, processors, |job, bar| run_job(&limits, checkpoint.as_ref(), job, bar));
    let done: Vec<CheckResult> = match done.into_iter().collect() {
        Ok(done) => done,
        Err(error) => return usage_error(error),
    };
    if args.json {
        print_json(&done);
    } else {
        print_table(&done);
    }
    report_counterexamples(args, &jobs, &done);
    report_failures(args, &jobs, &done);
    if done.iter().all(|d| d.row.as_expected) { EXIT_OK } else { EXIT_DIFFERENCE }
}

fn jobs<'a>(args: &Args, inputs: &'a [RecordedInput<'a>]) -> Vec<CheckJob<'a>> {
    let (mut jobs, mut skipped) = (Vec::new(), Vec::new());
    for input in inputs {
        let test = input.test();
        for variant in variants(args, test) {
            match variant {
                Ok(variant) => {
                    jobs.push(CheckJob { input, test: with_faults(args, test), variant });
                }
                Err(reason) => skipped.push(reason),
            }
        }
    }
    note_skipped(&skipped);
    jobs
}

/// The variants of a test to check, and the reasons for skipping others.
fn variants(args: &Args, test: &Test) -> Vec<Result<Variant, String>> {
    let selection = args.selection.selection();
    let variants = if selection.changes_defects() {
        selection.variants(test)
    } else {
        test.variants().into_iter().filter(|v| selection.includes(v.revision)).map(Ok).collect()
    };
    let violates = |variant: &Variant| test.expected(variant).is_some();
    let skip_with_faults = |variant: Result<Variant, String>| match variant {
        Ok(variant) if args.faults.is_some() && args.files.is_empty() && violates(&variant) => {
            Err("more faults than the file names may violate another invariant than expected"
                .into())
        }
        variant => variant,
    };
    variants.into_iter().map(skip_with_faults).collect()
}

/// The test, with every fault point if `--faults` is given.
fn with_faults<'a>(args: &Args, test: &'a Test) -> Cow<'a, Test> {
    match args.faults {
        None => Cow::Borrowed(test),
        Some(max_faults) => {
            // The conditions are about the faults that the file names.
            let (faults, conditions) = (FaultPoint::ALL.to_vec(), Vec::new());
            Cow::Owned(Test { faults, max_faults, conditions, ..test.clone() })
        }
    }
}

fn run_job(
    limits: &Limits,
    checkpoint: Option<&Checkpoint>,
    job: &CheckJob<'_>,
    bar: &Bar,
) -> Result<CheckResult, CheckpointError> {
    let progress = &mut |at| bar.show(&job.test.name, at);
    let found = explore_with(&job.test, &job.variant, limits, checkpoint, progress)?;
    let row = row(&job.test, &job.variant, &found).with_results(results(
        job.input,
        (&job.test, &job.variant),
        &found,
        limits,
        bar,
    ));
    Ok(CheckResult { row, counterexample: found.counterexample })
}

fn print_json(done: &[CheckResult]) {
    for done in done {
        if let Ok(line) = serde_json::to_string(&done.row) {
            outln!("{line}");
        }
    }
}

fn print_table(done: &[CheckResult]) {
    let mut table = Table::new();
    table.load_preset(NOTHING);
    let header = ["test", "revision", "defects", "verdict", "expected", "states", "time"];
    table.set_header(header);
    for index in 5..7 {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for CheckResult { row, .. } in done {
        let colour = if row.as_expected { Color::Green } else { Color::Red };
        table.add_row(vec![
            Cell::new(&row.test),
            Cell::new(row.revision.name()),
            Cell::new(row.defect_changes()),
            Cell::new(row.says()).fg(colour),
            Cell::new(&row.expected),
            Cell::new(row.states),
            Cell::new(format!("{:.2} s", row.seconds)),
        ]);
    }
    outln!("{}", table.trim_fmt());
    let wrong = done.iter().filter(|d| !d.row.as_expected).count();
    let bounded = done.iter().filter(|d| d.row.verdict == Verdict::Bounded).count();
    let states: u64 = done.iter().map(|d| d.row.states).sum();
    outln!(
        "{} verdicts, {} as expected, {wrong} not, {bounded} bounded; {states} states; \
         {} compared with recorded outcomes",
        done.len(),
        done.len() - wrong,
        compared(done.iter().map(|d| &d.row))
    );
}

/// Stores and prints unexpected counterexamples, and all of them if the user changed defects.
fn report_counterexamples(args: &Args, jobs: &[CheckJob<'_>], done: &[CheckResult]) {
    for (job, done) in jobs.iter().zip(done) {
        let Some(found) = &done.counterexample else { continue };
        if done.row.as_expected && !args.selection.selection().changes_defects() {
            continue;
        }
        match counterexample::save(&args.out, &job.test, &job.variant, found) {
            Ok(path) if args.json => eprintln!("ifq: counterexample: {}", path.display()),
            Ok(path) => {
                outln!("\n{} on {}:", job.test.name, job.variant);
                out!("{}", counterexample::show(&job.test, &job.variant, found));
                outln!("replay it: ifq replay {}", path.display());
            }
            Err(error) => eprintln!("ifq: {}: {error}", args.out.display()),
        }
    }
}

/// Stores and prints the runs that contradict conditions and recorded outcomes.
fn report_failures(args: &Args, jobs: &[CheckJob<'_>], done: &[CheckResult]) {
    for (CheckJob { input, test, variant }, done) in jobs.iter().zip(done) {
        for failure in failures(input, &done.row) {
            let stored = failure.save(&args.out, test, variant);
            if args.json {
                eprint!("ifq: {} on {variant}: {}", test.name, failure.text);
            } else {
                outln!("\n{} on {variant}:", test.name);
                out!("{}{}", failure.text, failure.table(test, variant, Layout::default()));
            }
            match stored {
                None => {}
                Some(Ok(path)) if args.json => eprintln!("ifq: witness: {}", path.display()),
                Some(Ok(path)) => outln!("replay it: ifq replay {}", path.display()),
                Some(Err(error)) => eprintln!("ifq: {}: {error}", args.out.display()),
            }
        }
    }
}
