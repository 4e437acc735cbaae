//! `ifq shrink`: makes a test that violates an invariant smaller, and its run shorter.

use std::path::{Path, PathBuf};

use clap::Args as ClapArgs;
use comfy_table::CellAlignment;
use ifq_model::invariant::Violation;
use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::test::Test;
use ifq_sim::commands::find_violation::{NoViolation, find_violation};
use ifq_sim::format;
use ifq_sim::report::counterexample;
use ifq_sim::search::explore::Limits;
use ifq_sim::shrink::{self, Length, Shrunk, Size};
use serde::Serialize;

use super::exit::{EXIT_BOUNDED, EXIT_OK};
use super::interrupt::Interrupted;
use super::keep::{layout, not_written};
use super::pool::run_all;
use super::selection::{SelectionArgs, note_skipped, usage_error};
use crate::machine::{interrupt_flag, interrupted};

/// Arguments of `ifq shrink`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    ifq shrink tests/library/teardown/scrub-races-with-refill.ifq        the violation that the file expects\n  \
    ifq shrink --revision import-7.3 --defect early-put tests/library/teardown/exits-race.ifq\n  \
    ifq shrink counterexamples/exits-race.import-7.3.early-put.I1.ifq\n  \
    ifq shrink --out small.ifq big.ifq && ifq replay small.ifq\n\n\
    If the file has a schedule, its run gives the variant and the invariant. Otherwise the variant is \
    the selected one,\n\
    or the first variant of the file that violates an invariant.")]
pub struct Args {
    /// A test file; `-` is standard input
    pub file: PathBuf,
    /// Which variants
    #[command(flatten)]
    pub selection: SelectionArgs,
    /// File for the smaller test, .ifq or .json [default: a file in `counterexamples`]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Reject a change whose search takes more than N states
    #[arg(long, value_name = "N", default_value_t = shrink::STATES,
        value_parser = clap::value_parser!(u64).range(1..))]
    pub max_states: u64,
}

/// Default folder for shrunk tests.
const FOLDER: &str = "counterexamples";

#[derive(Serialize)]
struct SizeAndLength {
    #[serde(flatten)]
    size: Size,
    run: Length,
}

#[derive(Serialize)]
struct ShrinkReport<'a> {
    test: &'a str,
    revision: Revision,
    defects: &'a [Defect],
    without: &'a [Defect],
    violation: &'a Violation,
    before: SizeAndLength,
    after: SizeAndLength,
    exact: bool,
    tried: u64,
    undecided: u64,
    file: &'a Path,
}

/// Shrinks the test and prints the result; returns the exit code.
#[must_use]
pub fn shrink(args: &Args) -> u8 {
    let test = match format::load(&args.file) {
        Ok(test) => test,
        Err(error) => return usage_error(error),
    };
    if let Some(out) = &args.out
        && !matches!(out.extension().and_then(|e| e.to_str()), Some("ifq" | "json"))
    {
        return usage_error(format!("{}: expected a name in `.ifq` or `.json`", out.display()));
    }
    let (name, selection) = (&test.name, args.selection.selection());
    if test.schedule.is_none() && selection.changes_defects() {
        let skipped: Vec<_> =
            selection.variants(&test).into_iter().filter_map(Result::err).collect();
        note_skipped(&skipped);
    }
    let limits =
        Limits { max_states: args.max_states, stop: Some(interrupt_flag()), ..Limits::default() };
    let done: Vec<Option<Result<_, NoViolation>>> = run_all(&[()], 1, |(), bar| {
        let (variant, found) =
            find_violation(&selection, &test, &limits, &mut |at| bar.show(name, at))?;
        let shrunk = shrink::shrink(&test, &variant, &found, &limits, &mut |now, at| {
            bar.show(&format!("{name}, {} steps left", now.steps().count()), at);
        });
        Ok((variant, found, shrunk))
    });
    let file = args.file.display();
    let (variant, found, shrunk) = match done.into_iter().next().flatten() {
        Some(Ok(done)) => done,
        Some(Err(_)) | None if interrupted() => {
            let done = "no violation was found yet, and nothing is written".to_owned();
            let (running, checkpoint) = (Vec::new(), None);
            return Interrupted { done, running, checkpoint, can_resume: false }.report();
        }
        Some(Err(NoViolation::Bounded(reason))) => {
            errln!("ifq: {file}: {reason}");
            return EXIT_BOUNDED;
        }
        Some(Err(NoViolation::None(reason))) => return usage_error(format!("{file}: {reason}")),
        None => return usage_error("the search ended early"),
    };
    let path = match save(args, &variant, &shrunk) {
        Ok(path) => path,
        Err(code) => return code,
    };
    let before = SizeAndLength { size: Size::of(&test), run: Length::of(&test, &variant, &found) };
    let report = ShrinkReport {
        test: name,
        revision: variant.revision,
        defects: &variant.defects,
        without: &variant.without,
        violation: &shrunk.counterexample.violation,
        before,
        after: SizeAndLength { size: Size::of(&shrunk.test), run: shrunk.length },
        exact: shrunk.exact,
        tried: shrunk.tried,
        undecided: shrunk.undecided,
        file: &path,
    };
    if !args.json {
        print(&report, &variant, &shrunk);
    } else if let Ok(line) = serde_json::to_string(&report) {
        outln!("{line}");
    }
    if interrupted() {
        let done = format!("the smallest test so far is in {}", path.display());
        let (running, checkpoint) = (Vec::new(), None);
        return Interrupted { done, running, checkpoint, can_resume: false }.report();
    }
    EXIT_OK
}

/// Writes the smaller test and returns its path, or the exit code after the error was printed.
fn save(args: &Args, variant: &Variant, shrunk: &Shrunk) -> Result<PathBuf, u8> {
    let path = args.out.clone().unwrap_or_else(|| {
        let name = counterexample::file_stem(&shrunk.test, variant, &shrunk.counterexample);
        Path::new(FOLDER).join(format!("{name}.shrunk.ifq"))
    });
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let text = if path.extension().is_some_and(|e| e == "json") {
        format!("{}\n", format::to_json(&shrunk.test))
    } else {
        format::print(&shrunk.test)
    };
    folder
        .map_or(Ok(()), std::fs::create_dir_all)
        .and_then(|()| std::fs::write(&path, &text))
        .map_err(|error| not_written(&path, &error, &text))?;
    Ok(path)
}

/// Prints the smaller test, its run, and both sizes.
fn print(report: &ShrinkReport<'_>, variant: &Variant, shrunk: &Shrunk) {
    // Readers do not need the schedule; it is in the file, for `replay`.
    out!("{}", format::print(&Test { schedule: None, ..shrunk.test.clone() }));
    outln!("");
    out!("{}", counterexample::show_in(&shrunk.test, variant, &shrunk.counterexample, layout()));
    outln!("");
    let mut table = crate::output::table();
    table.set_header(["", "before", "after"]);
    for (what, before, after) in rows(report) {
        if before > 0 || after > 0 {
            table.add_row([what.to_owned(), before.to_string(), after.to_string()]);
        }
    }
    for index in 1..3 {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    outln!("{}", table.trim_fmt());
    let least = if report.exact { "no shorter run exists" } else { "a shorter run may exist" };
    let ShrinkReport { tried, undecided, .. } = report;
    outln!("{tried} tests searched, {undecided} undecided; {least}");
    outln!("replay it: ifq replay {}", report.file.display());
}

fn rows(report: &ShrinkReport<'_>) -> [(&'static str, u64, u64); 13] {
    let ShrinkReport { before, after, .. } = report;
    let size =
        |what, of: fn(&Size) -> usize| (what, of(&before.size) as u64, of(&after.size) as u64);
    [
        size("threads", |s| s.threads),
        size("steps", |s| s.steps),
        size("steps in threads", |s| s.concurrent),
        size("rings", |s| s.rings),
        size("sockets", |s| s.sockets),
        size("sockets on device queues", |s| s.on_queues),
        size("fault points", |s| s.faults),
        size("modifiers", |s| s.modifiers),
        size("waits", |s| s.waits),
        size("names", |s| s.names),
        size("observed", |s| s.observed),
        ("preemptions of the run", before.run.preemptions, after.run.preemptions),
        ("steps of the run", before.run.steps, after.run.steps),
    ]
}
