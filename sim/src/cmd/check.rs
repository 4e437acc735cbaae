//! `ifq check`: search every interleaving of the tests, and compare with what they expect.

use std::borrow::Cow;
use std::io::Write;
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Color, Table};
use ifq_model::fault::FaultPoint;
use ifq_model::revision::Variant;
use ifq_model::test::Test;

pub use super::check_args::Args;
use super::input::{self, Input};
use super::pool::{Bar, run_all};
use super::{EXIT_DIFFERENCE, EXIT_OK, EXIT_USAGE, catalogue, counterexample};
use crate::executor::counterexample::Counterexample;
use crate::report::verdict::{Row, Verdict, row};
use crate::search::checkpoint::{Checkpoint, CheckpointError};
use crate::search::explore::{Limits, explore_with};

/// A crash costs so much of a long search.
const CHECKPOINT_SECONDS: u64 = 3;

struct Job<'a> {
    test: Cow<'a, Test>,
    variant: Variant,
}

struct Done {
    row: Row,
    counterexample: Option<Counterexample>,
}

/// Runs it. `library`: what is checked when no files are named.
#[must_use]
pub fn check(args: &Args, library: &[Input]) -> u8 {
    let inputs = match input::read_or(&args.files, library) {
        Ok(inputs) => inputs,
        Err(code) => return code,
    };
    if args.catalogue {
        return catalogue::check(args, &inputs);
    }
    let jobs = jobs(args, &inputs);
    if jobs.is_empty() {
        input::complain(&["nothing to check: no test file has such a variant"]);
        return EXIT_USAGE;
    }
    if args.checkpoint.is_some() && jobs.len() > 1 {
        let what = format!("--checkpoint is for one search, and these are {}", jobs.len());
        input::complain(&[what]);
        return EXIT_USAGE;
    }
    let processors = args.bounds.processors();
    let limits = args.bounds.limits(jobs.len().min(processors));
    let checkpoint = args
        .checkpoint
        .clone()
        .map(|path| Checkpoint { path, every: Duration::from_secs(CHECKPOINT_SECONDS) });
    let done =
        run_all(&jobs, processors, |job, bar| run_job(&limits, checkpoint.as_ref(), job, bar));
    let done: Vec<Done> = match done.into_iter().collect() {
        Ok(done) => done,
        Err(error) => {
            input::complain(&[error]);
            return EXIT_USAGE;
        }
    };
    if args.json {
        print_json(&done);
    } else {
        print_table(&done);
    }
    report_counterexamples(args, &jobs, &done);
    if done.iter().all(|d| d.row.as_expected) { EXIT_OK } else { EXIT_DIFFERENCE }
}

fn jobs<'a>(args: &Args, inputs: &'a [Input]) -> Vec<Job<'a>> {
    let (mut jobs, mut skipped) = (Vec::new(), Vec::new());
    for Input { test, .. } in inputs {
        for variant in variants(args, test) {
            match variant {
                Ok(variant) => jobs.push(Job { test: with_faults(args, test), variant }),
                Err(reason) => skipped.push(reason),
            }
        }
    }
    input::note_skipped(&skipped);
    jobs
}

/// What is checked of a test, and why other things are not.
fn variants(args: &Args, test: &Test) -> Vec<Result<Variant, String>> {
    let variants = if args.which.switches() {
        args.which.variants(test)
    } else {
        test.variants().into_iter().filter(|v| args.which.has(v.revision)).map(Ok).collect()
    };
    let broken = |variant: &Variant| test.expected(variant).is_some();
    let tell = |variant: Result<Variant, String>| match variant {
        Ok(variant) if args.faults.is_some() && args.files.is_empty() && broken(&variant) => {
            Err("with more faults than its file says, what is to break may break otherwise".into())
        }
        variant => variant,
    };
    variants.into_iter().map(tell).collect()
}

/// The test, with every fault if that was asked for.
fn with_faults<'a>(args: &Args, test: &'a Test) -> Cow<'a, Test> {
    match args.faults {
        None => Cow::Borrowed(test),
        Some(max_faults) => {
            Cow::Owned(Test { faults: FaultPoint::ALL.to_vec(), max_faults, ..test.clone() })
        }
    }
}

fn run_job(
    limits: &Limits,
    checkpoint: Option<&Checkpoint>,
    job: &Job<'_>,
    bar: &Bar,
) -> Result<Done, CheckpointError> {
    let progress = &mut |at| bar.show(&job.test.name, at);
    let found = explore_with(&job.test, &job.variant, limits, checkpoint, progress)?;
    let row = row(&job.test, &job.variant, &found);
    Ok(Done { row, counterexample: found.counterexample })
}

fn print_json(done: &[Done]) {
    let mut out = std::io::stdout().lock();
    for done in done {
        if let Ok(line) = serde_json::to_string(&done.row) {
            let _ = writeln!(out, "{line}");
        }
    }
}

fn print_table(done: &[Done]) {
    let mut table = Table::new();
    table.load_preset(NOTHING);
    let header = ["test", "revision", "switches", "verdict", "expected", "states", "time"];
    table.set_header(header);
    for index in 5..7 {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for Done { row, .. } in done {
        let colour = if row.as_expected { Color::Green } else { Color::Red };
        table.add_row(vec![
            Cell::new(&row.test),
            Cell::new(row.revision.name()),
            Cell::new(row.switches()),
            Cell::new(row.says()).fg(colour),
            Cell::new(&row.expected),
            Cell::new(row.states),
            Cell::new(format!("{:.2} s", row.seconds)),
        ]);
    }
    say!("{}", table.trim_fmt());
    let wrong = done.iter().filter(|d| !d.row.as_expected).count();
    let bounded = done.iter().filter(|d| d.row.verdict == Verdict::Bounded).count();
    let states: u64 = done.iter().map(|d| d.row.states).sum();
    say!(
        "{} verdicts, {} as expected, {wrong} not, {bounded} bounded; {states} states",
        done.len(),
        done.len() - wrong
    );
}

/// Writes and shows what nobody expected, and what was asked for with a switch.
fn report_counterexamples(args: &Args, jobs: &[Job<'_>], done: &[Done]) {
    for (job, done) in jobs.iter().zip(done) {
        let Some(found) = &done.counterexample else { continue };
        if done.row.as_expected && !args.which.switches() {
            continue;
        }
        match counterexample::save(&args.out, &job.test, &job.variant, found) {
            Ok(path) if args.json => eprintln!("ifq: counterexample: {}", path.display()),
            Ok(path) => {
                say!("\n{} on {}:", job.test.name, job.variant);
                tell!("{}", counterexample::show(&job.test, &job.variant, found));
                say!("repeat it: ifq replay {}", path.display());
            }
            Err(error) => eprintln!("ifq: {}: {error}", args.out.display()),
        }
    }
}
