//! `ifq shrink`: make a test smaller on which an invariant breaks, and its run shorter.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::Args as ClapArgs;
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use ifq_model::invariant::Violation;
use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::test::{Schedule, Test};
use serde::Serialize;

use super::input::{self, Which};
use super::pool::run_all;
use super::{EXIT_OK, EXIT_USAGE, counterexample};
use crate::executor::counterexample::Counterexample;
use crate::executor::run::run_once;
use crate::executor::scheduler::Replay;
use crate::format;
use crate::search::explore::{Limits, Progress, explore};
use crate::shrink::{self, Length, Shrunk, Size};

/// Arguments of `ifq shrink`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    ifq shrink tests/library/scrub-races-with-refill.ifq        what the file says is broken\n  \
    ifq shrink --revision import-7.3 --defect early-put tests/library/exits-race.ifq\n  \
    ifq shrink counterexamples/exits-race.import-7.3.early-put.I1.ifq\n  \
    ifq shrink --out small.ifq big.ifq && ifq replay small.ifq\n\n\
    Of a file with a schedule, the variant and the invariant are those of its run. Of another, the \
    variant is\n\
    the one asked for, or the first of those that the file is about on which an invariant breaks.")]
pub struct Args {
    /// A test file
    pub file: PathBuf,
    /// Which kernels
    #[command(flatten)]
    pub which: Which,
    /// Where the small test goes, as text or JSON [default: a file in `counterexamples`]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
    /// Do not take a change that cannot be decided within so many states
    #[arg(long, value_name = "N", default_value_t = shrink::STATES)]
    pub max_states: u64,
}

/// Where shrunk tests go if nothing else is said.
const FOLDER: &str = "counterexamples";

#[derive(Serialize)]
struct Side {
    #[serde(flatten)]
    size: Size,
    run: Length,
}

#[derive(Serialize)]
struct Report<'a> {
    test: &'a str,
    revision: Revision,
    defects: &'a [Defect],
    without: &'a [Defect],
    violation: &'a Violation,
    before: Side,
    after: Side,
    exact: bool,
    tried: u64,
    undecided: u64,
    file: &'a Path,
}

/// Runs it.
#[must_use]
pub fn shrink(args: &Args) -> u8 {
    let test = match format::load(&args.file) {
        Ok(test) => test,
        Err(error) => return complain(&error.to_string()),
    };
    if let Some(out) = &args.out
        && !matches!(out.extension().and_then(|e| e.to_str()), Some("ifq" | "json"))
    {
        return complain(&format!("{}: expected a name in `.ifq` or `.json`", out.display()));
    }
    let name = &test.name;
    let done: Vec<Result<_, String>> = run_all(&[()], 1, |(), bar| {
        let (variant, found) =
            to_shrink(&args.which, &test, args.max_states, &mut |at| bar.show(name, at))?;
        let shrunk = shrink::shrink(&test, &variant, &found, args.max_states, &mut |now, at| {
            bar.show(&format!("{name}, {} steps left", now.steps().count()), at);
        });
        Ok((variant, found, shrunk))
    });
    let (variant, found, shrunk) = match done.into_iter().next() {
        Some(Ok(done)) => done,
        Some(Err(reason)) => return complain(&format!("{}: {reason}", args.file.display())),
        None => return complain("the search ended early"),
    };
    let path = match save(args, &variant, &shrunk) {
        Ok(path) => path,
        Err(error) => return complain(&error),
    };
    let before = Side { size: Size::of(&test), run: Length::of(&test, &variant, &found) };
    let report = Report {
        test: name,
        revision: variant.revision,
        defects: &variant.defects,
        without: &variant.without,
        violation: &shrunk.counterexample.violation,
        before,
        after: Side { size: Size::of(&shrunk.test), run: shrunk.length },
        exact: shrunk.exact,
        tried: shrunk.tried,
        undecided: shrunk.undecided,
        file: &path,
    };
    if !args.json {
        print(&report, &variant, &shrunk);
    } else if let Ok(line) = serde_json::to_string(&report) {
        say!("{line}");
    }
    EXIT_OK
}

fn complain(error: &str) -> u8 {
    input::complain(&[error]);
    EXIT_USAGE
}

/// The variant on which an invariant breaks, and the run.
///
/// # Errors
/// Why there is none.
pub fn to_shrink(
    which: &Which,
    test: &Test,
    max_states: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Variant, Counterexample), String> {
    if let Some(schedule) = &test.schedule {
        if which.switches() || which.revision.is_some() {
            return Err("has a schedule, which says on what it is to run".to_owned());
        }
        return repeat(test, schedule);
    }
    let variants = variants(which, test)?;
    let limits = Limits { max_states, ..Limits::default() };
    let mut bounded = false;
    for variant in &variants {
        let seen = explore(test, variant, &limits, progress);
        if let Some(found) = seen.counterexample {
            return Ok((variant.clone(), found));
        }
        bounded |= !seen.exhaustive;
    }
    let on: Vec<String> = variants.iter().map(Variant::to_string).collect();
    let on = on.join(", ");
    Err(if bounded {
        format!("no invariant broke within {max_states} states on {on}; try more with --max-states")
    } else {
        format!("there is nothing to shrink: every invariant holds on {on}")
    })
}

/// The variants that were asked for, or those that the file is about: what is to break comes first.
fn variants(which: &Which, test: &Test) -> Result<Vec<Variant>, String> {
    let mut variants = Vec::new();
    if which.switches() {
        let mut skipped = Vec::new();
        for variant in which.variants(test) {
            match variant {
                Ok(variant) => variants.push(variant),
                Err(reason) => skipped.push(reason),
            }
        }
        input::note_skipped(&skipped);
    } else {
        variants = test.variants();
        variants.retain(|variant| which.has(variant.revision));
        variants.sort_by_key(|variant| test.expected(variant).is_none());
    }
    if variants.is_empty() { Err("has no such variant".to_owned()) } else { Ok(variants) }
}

/// The run of a counterexample's file.
fn repeat(test: &Test, schedule: &Schedule) -> Result<(Variant, Counterexample), String> {
    let variant = Variant::with(test.revisions[0], &schedule.defects).without(&schedule.without);
    let replay = Replay::new(&schedule.decisions);
    let diverged = replay.diverged();
    let run = run_once(&Rc::new(test.clone()), &variant, Box::new(replay));
    if let Some(at) = diverged.get() {
        return Err(format!("decision {at} of the schedule does not fit: that thread cannot run"));
    }
    let (decisions, steps) = (run.decisions, run.steps);
    match run.violation {
        Some(violation) => Ok((variant, Counterexample { violation, decisions, steps })),
        None if run.step_limit_hit => Err(format!("the run is given up after {steps} steps")),
        None => Err("there is nothing to shrink: nothing breaks in the run".to_owned()),
    }
}

/// Writes the small test and returns where.
fn save(args: &Args, variant: &Variant, shrunk: &Shrunk) -> Result<PathBuf, String> {
    let path = args.out.clone().unwrap_or_else(|| {
        let name = counterexample::name(&shrunk.test, variant, &shrunk.counterexample);
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
        .and_then(|()| std::fs::write(&path, text))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// What is left, the run, and what was dropped.
fn print(report: &Report<'_>, variant: &Variant, shrunk: &Shrunk) {
    // The schedule is for `replay`.
    tell!("{}", format::print(&Test { schedule: None, ..shrunk.test.clone() }));
    say!("");
    tell!("{}", counterexample::show(&shrunk.test, variant, &shrunk.counterexample));
    say!("");
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(["", "before", "after"]);
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
    say!("{}", table.trim_fmt());
    let least = if report.exact { "no run has less" } else { "there may be a run with less" };
    let Report { tried, undecided, .. } = report;
    say!("{tried} tests searched, {undecided} undecided; {least}");
    say!("repeat it: ifq replay {}", report.file.display());
}

fn rows(report: &Report<'_>) -> [(&'static str, u64, u64); 13] {
    let Report { before, after, .. } = report;
    let size =
        |what, of: fn(&Size) -> usize| (what, of(&before.size) as u64, of(&after.size) as u64);
    [
        size("threads", |s| s.threads),
        size("steps", |s| s.steps),
        size("of them in threads", |s| s.concurrent),
        size("rings", |s| s.rings),
        size("sockets", |s| s.sockets),
        size("on device queues", |s| s.on_queues),
        size("fault points", |s| s.faults),
        size("modifiers", |s| s.modifiers),
        size("waits", |s| s.waits),
        size("names", |s| s.names),
        size("observed", |s| s.observed),
        ("preemptions of the run", before.run.preemptions, after.run.preemptions),
        ("steps of the run", before.run.steps, after.run.steps),
    ]
}
