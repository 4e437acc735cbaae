//! `ifq check`: search every interleaving of the tests, and compare with what they expect.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::Args as ClapArgs;
use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Color, Table};
use ifq_model::revision::{Defect, Variant};
use indicatif::{ProgressBar, ProgressStyle};

use super::input::{self, Input, Which};
use super::{EXIT_DIFFERENCE, EXIT_OK, EXIT_USAGE, counterexample};
use crate::explore::{Counterexample, Limits, explore};
use crate::report::table::Layout;
use crate::report::verdict::{Row, Verdict, row};

/// Arguments of `ifq check`.
#[derive(Clone, Debug, ClapArgs)]
#[command(after_help = "Examples:\n  \
    ifq check                                       the whole library, as each file expects it\n  \
    ifq check tests/library/exits-race.ifq          one file\n  \
    ifq check --defect early-put exits-race.ifq     with a defect: prints the counterexample\n  \
    ifq check --json | jq 'select(.as_expected|not)'")]
pub struct Args {
    /// Test files, or folders of them; none: the library that comes with ifq
    pub files: Vec<PathBuf>,
    /// Which kernels
    #[command(flatten)]
    pub which: Which,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Give up a test after so many states
    #[arg(long, value_name = "N", default_value_t = Limits::default().max_states)]
    pub max_states: u64,
    /// Give up a test after so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub max_time: Option<u64>,
    /// Tests searched at the same time [default: as many as there are processors]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Where counterexamples are written that nobody expected or that were asked for
    #[arg(long, value_name = "FOLDER", default_value = "counterexamples")]
    pub out: PathBuf,
}

struct Job<'a> {
    input: &'a Input,
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
    let jobs = jobs(args, &inputs);
    if jobs.is_empty() {
        input::complain(&["nothing to check: no test file has this revision"]);
        return EXIT_USAGE;
    }
    let done = run_all(args, &jobs);
    if args.json {
        print_json(&done);
    } else {
        print_table(&done);
    }
    report_counterexamples(args, &jobs, &done);
    if done.iter().all(|d| d.row.as_expected) { EXIT_OK } else { EXIT_DIFFERENCE }
}

fn jobs<'a>(args: &Args, inputs: &'a [Input]) -> Vec<Job<'a>> {
    let mut jobs = Vec::new();
    for input in inputs {
        let sets: Vec<&[Defect]> = if args.which.defects.is_empty() {
            input.test.expect.iter().map(|e| e.defects.as_slice()).collect()
        } else {
            vec![&args.which.defects]
        };
        for defects in sets {
            for variant in args.which.variants(&input.test, defects) {
                jobs.push(Job { input, variant });
            }
        }
    }
    jobs
}

/// Searches all, several at a time; the results are in the order of the jobs.
fn run_all(args: &Args, jobs: &[Job<'_>]) -> Vec<Done> {
    let threads = args
        .jobs
        .or_else(|| std::thread::available_parallelism().ok().map(Into::into))
        .unwrap_or(1)
        .clamp(1, jobs.len());
    let bar = progress_bar(jobs.len());
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<Done>>> = jobs.iter().map(|_| Mutex::new(None)).collect();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(index) else { break };
                    let done = run_job(args, job, &bar);
                    bar.inc(1);
                    if let Ok(mut slot) = results[index].lock() {
                        *slot = Some(done);
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    results.into_iter().filter_map(|slot| slot.into_inner().ok().flatten()).collect()
}

fn run_job(args: &Args, job: &Job<'_>, bar: &ProgressBar) -> Done {
    let limits = Limits {
        max_states: args.max_states,
        max_time: args.max_time.map(Duration::from_secs),
        ..Limits::default()
    };
    let name = &job.input.test.name;
    let found = explore(&job.input.test, &job.variant, &limits, &mut |p| {
        let rate = p.states as f64 / p.elapsed.as_secs_f64().max(1e-3);
        bar.set_message(format!("{name}: {} states, {rate:.0}/s, depth {}", p.states, p.depth));
    });
    Done { row: row(&job.input.test, &job.variant, &found), counterexample: found.counterexample }
}

/// Shown on a terminal from the third second on.
fn progress_bar(jobs: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(jobs as u64);
    if let Ok(style) = ProgressStyle::with_template("{elapsed} {pos}/{len} tests  {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_secs(2));
    bar
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
    let header = ["test", "revision", "defects", "verdict", "expected", "states", "time"];
    table.set_header(header);
    for index in 5..7 {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for Done { row, .. } in done {
        let defects: Vec<&str> = row.defects.iter().map(|d| d.name()).collect();
        let verdict = match row.invariant {
            Some(invariant) => format!("violates {invariant}"),
            None => row.verdict.name().to_owned(),
        };
        let colour = if row.as_expected { Color::Green } else { Color::Red };
        table.add_row(vec![
            Cell::new(&row.test),
            Cell::new(row.revision.name()),
            Cell::new(if defects.is_empty() { "-".to_owned() } else { defects.join(" ") }),
            Cell::new(verdict).fg(colour),
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

/// Writes and shows what nobody expected, and what was asked for with `--defect`.
fn report_counterexamples(args: &Args, jobs: &[Job<'_>], done: &[Done]) {
    for (job, done) in jobs.iter().zip(done) {
        let Some(found) = &done.counterexample else { continue };
        if done.row.as_expected && args.which.defects.is_empty() {
            continue;
        }
        let test = &job.input.test;
        match counterexample::save(&args.out, test, &job.variant, found) {
            Ok(path) if args.json => eprintln!("ifq: counterexample: {}", path.display()),
            Ok(path) => {
                say!("\n{} on {}:", test.name, job.variant.revision);
                let layout = Layout::default();
                tell!("{}", counterexample::show(test, &job.variant, &found.decisions, layout));
                say!("repeat it: ifq replay {}", path.display());
            }
            Err(error) => eprintln!("ifq: {}: {error}", args.out.display()),
        }
    }
}
