//! `ifq check`: searches every interleaving of the tests, and compares the verdicts with the expected ones.

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args as ClapArgs;
use comfy_table::{Cell, CellAlignment, Color, ColumnConstraint};
use ifq_model::fault::FaultPoint;
use ifq_model::revision::Variant;
use ifq_model::test::Test;

use ifq_sim::commands::selection::Selection;
use ifq_sim::executor::counterexample::Counterexample;
use ifq_sim::format::Input;
use ifq_sim::report::counterexample;
use ifq_sim::report::verdict::{VerdictRow, row};
use ifq_sim::search::checkpoint::CheckpointError;
use ifq_sim::search::checkpoint_folder::CheckpointFolder;
use ifq_sim::search::explore::{Exploration, Limits, explore_with};
use ifq_sim::shrink::few_switches;

use super::catalogue;
use super::check_outcomes::{Failure, RecordedInput, compared, failures, results};
use super::exit::{EXIT_BOUNDED, EXIT_DIFFERENCE, EXIT_OK, combined};
use super::interrupt::Interrupted;
use super::keep::{keep, layout, not_written};
use super::pool::{Bar, run_all};
use super::search::SearchArgs;
use super::selection::{SelectionArgs, note_skipped, read_or, usage_error};
use crate::machine::interrupted;

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
    ifq check --checkpoint big.ckpt big.ifq         resume after a crash or Ctrl-C\n  \
    ifq show big.ifq | ifq check -                  standard input\n  \
    ifq check --catalogue                           check that exactly the known defects are found\n  \
    ifq check --json | jq 'select(.as_expected|not)'\n\n\
    Without --defect, --without and --fixed, each file is checked on the variants for which it has an \
    `expect` line or a condition (`exists`, `forbid`, `always`). The outcomes are compared with the \
    conditions and with the recorded ones (`ifq outcomes --record`); the shortest run that differs is \
    stored in the folder of --out.")]
pub struct Args {
    /// Test files, or folders of them; `-` is standard input [default: the built-in library]
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
        value_parser = clap::value_parser!(u32).range(1..=MAX_FAULTS))]
    pub faults: Option<u32>,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
    /// Limits and reductions
    #[command(flatten)]
    pub search: SearchArgs,
    /// Store verdicts, and the progress of running searches every few seconds, in this folder. The same
    /// command continues from it. The folder is removed when all searches are finished
    #[arg(long, value_name = "FOLDER", conflicts_with = "catalogue")]
    pub checkpoint: Option<PathBuf>,
    /// Folder for counterexamples: unexpected ones, and those of --defect, --without and --fixed
    #[arg(long, value_name = "FOLDER", default_value = "counterexamples")]
    pub out: PathBuf,
}

/// Seconds between two checkpoints: the work that a crash may lose.
const CHECKPOINT_SECONDS: u64 = 3;
/// Failures in one run: searches with more do not end.
const MAX_FAULTS: i64 = 8;

struct CheckJob<'a> {
    number: usize,
    input: &'a RecordedInput<'a>,
    test: Cow<'a, Test>,
    variant: Variant,
}

struct CheckResult {
    row: VerdictRow,
    counterexample: Option<Counterexample>,
    limit_reached: bool,
}

/// How a search ended.
enum JobEnd {
    Done(Box<CheckResult>),
    /// The user interrupted it after so many states.
    Stopped(u64),
    Failed(CheckpointError),
}

/// A finished search.
type Finished<'j> = (&'j CheckJob<'j>, CheckResult);

/// Checks the named tests, or the library; returns the exit code.
#[must_use]
pub fn check(args: &Args, library: &[Input]) -> u8 {
    let inputs = match read_or(&args.files, library) {
        Ok(inputs) => inputs,
        Err(code) => return code,
    };
    if args.catalogue {
        return combined([inputs.code, catalogue::check(&args.search, args.json, &inputs.tests)]);
    }
    let (inputs, mut code) = (inputs.tests, inputs.code);
    let mut recorded = Vec::new();
    for input in inputs.iter() {
        match RecordedInput::load(input, args.files.is_empty()) {
            Ok(input) => recorded.push(input),
            Err(error) => code = combined([code, usage_error(error)]),
        }
    }
    let jobs = jobs(args, &recorded);
    if jobs.is_empty() {
        return usage_error("nothing to check: no test file has such a variant");
    }
    let processors = args.search.processors();
    let limits = args.search.limits(jobs.len().min(processors));
    let checkpoint = match checkpoint(args, &jobs, &limits) {
        Ok(checkpoint) => checkpoint,
        Err(error) => return usage_error(error),
    };
    let ends =
        run_all(&jobs, processors, |job, bar| run_job(&limits, checkpoint.as_ref(), job, bar));
    let (mut done, mut running): (Vec<Finished<'_>>, _) = (Vec::new(), Vec::new());
    for (job, end) in jobs.iter().zip(ends) {
        match end {
            Some(JobEnd::Done(result)) => done.push((job, *result)),
            Some(JobEnd::Stopped(states)) => {
                let (test, variant) = (&job.test.name, &job.variant);
                running.push(format!("{test} on {variant}, {states} states"));
            }
            Some(JobEnd::Failed(error)) => code = usage_error(error),
            None => {}
        }
    }
    code = combined([code, report(args, &done)]);
    if interrupted() && done.len() < jobs.len() {
        let done = format!("{} of {} verdicts are done", done.len(), jobs.len());
        let checkpoint = args.checkpoint.as_deref();
        return Interrupted { done, running, checkpoint, can_resume: true }.report();
    }
    combined([code, close_checkpoint(args, checkpoint, done.len() == jobs.len(), &done)])
}

/// Opens the folder of `--checkpoint`.
fn checkpoint(
    args: &Args,
    jobs: &[CheckJob<'_>],
    limits: &Limits,
) -> Result<Option<CheckpointFolder>, CheckpointError> {
    let Some(path) = &args.checkpoint else { return Ok(None) };
    let searches: Vec<_> = jobs.iter().map(|job| (&*job.test, &job.variant)).collect();
    let every = Duration::from_secs(CHECKPOINT_SECONDS);
    CheckpointFolder::open(path, &searches, limits, every).map(Some)
}

/// Removes the checkpoint if all searches are finished; returns the exit code.
fn close_checkpoint(
    args: &Args,
    checkpoint: Option<CheckpointFolder>,
    complete: bool,
    done: &[Finished<'_>],
) -> u8 {
    let (Some(checkpoint), Some(path)) = (checkpoint, &args.checkpoint) else { return EXIT_OK };
    if done.iter().any(|(_, result)| result.limit_reached) {
        let path = path.display();
        errln!("ifq: the same command, with higher limits, continues from {path}");
    } else if complete {
        return checkpoint.remove().map_or_else(usage_error, |()| EXIT_OK);
    }
    EXIT_OK
}

fn jobs<'a>(args: &Args, inputs: &'a [RecordedInput<'a>]) -> Vec<CheckJob<'a>> {
    let (mut jobs, mut skipped) = (Vec::new(), Vec::new());
    for input in inputs {
        let test = input.test();
        for variant in variants(args, test) {
            match variant {
                Ok(variant) => {
                    let number = jobs.len();
                    let test = with_faults(args, test);
                    jobs.push(CheckJob { number, input, test, variant });
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
    let variants = selected(&args.selection.selection(), test);
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

/// The selected variants of a test, and the reasons why a request does not apply to others.
pub(super) fn selected(selection: &Selection, test: &Test) -> Vec<Result<Variant, String>> {
    if selection.changes_defects() {
        selection.variants(test)
    } else {
        test.variants().into_iter().filter(|v| selection.includes(v.revision)).map(Ok).collect()
    }
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
    checkpoint: Option<&CheckpointFolder>,
    job: &CheckJob<'_>,
    bar: &Bar,
) -> JobEnd {
    let CheckJob { number, test, variant, .. } = job;
    let done = |found: Exploration| {
        let results = results(job.input, (test, variant), &found, limits, bar);
        let row = row(test, variant, &found).with_results(results);
        let Exploration { counterexample, limit_reached, .. } = found;
        JobEnd::Done(Box::new(CheckResult { row, counterexample, limit_reached }))
    };
    if let Some(found) = checkpoint.and_then(|folder| folder.finished(*number)) {
        return done(found.clone());
    }
    let progress = &mut |at| bar.show(&test.name, at);
    let file = checkpoint.map(|folder| folder.search(*number));
    let found = match explore_with(test, variant, limits, file.as_ref(), progress) {
        Ok(found) => found,
        Err(error) => return JobEnd::Failed(error),
    };
    if interrupted() && found.limit_reached {
        return JobEnd::Stopped(found.states);
    }
    match checkpoint.map_or(Ok(()), |folder| folder.finish(*number, &found)) {
        Ok(()) => done(found),
        Err(error) => JobEnd::Failed(error),
    }
}

/// A run that a verdict is reported with.
struct Report {
    heading: String,
    text: String,
    /// Where the run is stored; `None` if it could not be stored, or there is none.
    path: Option<PathBuf>,
}

/// Stores runs and prints everything; returns the exit code. The runs are stored first, because an error while
/// printing ends the program.
fn report(args: &Args, done: &[Finished<'_>]) -> u8 {
    let mut codes: Vec<u8> = done.iter().map(|(_, result)| exit_code(&result.row)).collect();
    let mut reports = Vec::new();
    for (job, result) in done {
        reports.extend(counterexample_report(args, job, result, &mut codes));
        if let Some(unmatched) = &result.row.unmatched {
            let place = job.input.schedule_place(unmatched.line);
            let what = &unmatched.what;
            errln!("ifq: {place}: no run on {} matches the schedule: {what}", job.variant);
            continue;
        }
        reports.extend(failure_reports(args, job, result, &mut codes));
    }
    if args.json {
        print_json(done);
    } else {
        print_table(done);
    }
    for Report { heading, text, path } in reports {
        if args.json {
            // A violation is in the line of its verdict.
            text.lines().for_each(|line| errln!("ifq: {heading} {line}"));
            path.iter().for_each(|path| errln!("ifq: counterexample: {}", path.display()));
        } else {
            outln!("\n{heading}");
            out!("{text}");
            path.iter().for_each(|path| outln!("replay it: ifq replay {}", path.display()));
        }
    }
    combined(codes)
}

/// Stores a counterexample if it is unexpected or if the user changed defects.
fn counterexample_report(
    args: &Args,
    CheckJob { test, variant, .. }: &CheckJob<'_>,
    result: &CheckResult,
    codes: &mut Vec<u8>,
) -> Option<Report> {
    let found = result.counterexample.as_ref()?;
    if result.row.as_expected && !args.selection.selection().changes_defects() {
        return None;
    }
    let found = &few_switches(test, variant, found);
    let path = keep(&args.out, test, variant, found).map_err(|code| codes.push(code)).ok();
    let text = match args.json {
        true => String::new(),
        false => counterexample::show_in(test, variant, found, layout()),
    };
    Some(Report { heading: format!("{} on {variant}:", test.name), text, path })
}

/// Stores the runs that contradict conditions and recorded outcomes.
fn failure_reports(
    args: &Args,
    CheckJob { input, test, variant, .. }: &CheckJob<'_>,
    result: &CheckResult,
    codes: &mut Vec<u8>,
) -> Vec<Report> {
    let report = |failure: Failure<'_>| {
        let path = failure.save(&args.out, test, variant).and_then(|stored| {
            stored.map_err(|(path, error, text)| codes.push(not_written(&path, &error, &text))).ok()
        });
        let table = if args.json { String::new() } else { failure.table(test, variant, layout()) };
        let text = failure.text + &table;
        Report { heading: format!("{} on {variant}:", test.name), text, path }
    };
    failures(input, &result.row).into_iter().map(report).collect()
}

/// The exit code of one verdict.
fn exit_code(row: &VerdictRow) -> u8 {
    if row.as_expected {
        EXIT_OK
    } else if row.is_refuted() {
        EXIT_DIFFERENCE
    } else {
        EXIT_BOUNDED
    }
}

fn print_json(done: &[Finished<'_>]) {
    for (_, result) in done {
        if let Ok(line) = serde_json::to_string(&result.row) {
            outln!("{line}");
        }
    }
}

fn print_table(done: &[Finished<'_>]) {
    let mut table = crate::output::table();
    let header = ["test", "revision", "defects", "verdict", "expected", "states", "time"];
    table.set_header(header);
    for index in 5..7 {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    // On a narrow terminal the test and the defects are wrapped.
    for index in [1, 3, 4, 5, 6] {
        if let Some(column) = table.column_mut(index) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    for (_, CheckResult { row, .. }) in done {
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
    let count = |code| done.iter().filter(|(_, done)| exit_code(&done.row) == code).count();
    let (good, wrong) = (count(EXIT_OK), count(EXIT_DIFFERENCE));
    let bounded = count(EXIT_BOUNDED);
    let states: u64 = done.iter().map(|(_, result)| result.row.states).sum();
    outln!(
        "{} verdicts, {good} as expected, {wrong} not, {bounded} bounded; {states} states",
        done.len()
    );
    outln!("{} compared with recorded outcomes", compared(done.iter().map(|(_, done)| &done.row)));
}
