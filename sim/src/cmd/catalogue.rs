//! `ifq check --catalogue`: is each known defect found, its repair sound, and each non-defect left
//! alone?

use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Color, Table};
use ifq_model::invariant::Invariant;
use ifq_model::revision::{Defect, Entry, Revision, Variant};
use ifq_model::test::Test;
use serde::Serialize;

use super::check_args::Args;
use super::input::Input;
use super::pool::{Bar, run_all};
use super::{EXIT_DIFFERENCE, EXIT_OK};
use crate::executor::counterexample::Counterexample;
use crate::report::verdict::{Verdict, row};
use crate::search::explore::{Limits, explore};
use crate::search::shortest::{Shortest, shortest};

/// The search for a shortest counterexample is given up after this time, if no other is given. What
/// was found until then is printed as an upper bound.
const SHORTEST_TIME: Duration = Duration::from_secs(60);

/// What came of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Found {
    /// The defect, in every variant in which a file says so.
    Yes,
    /// Not in all of them.
    No,
    /// No file shows the entry.
    NoFile,
    /// The non-defect raises nothing, as it should.
    Silent,
    /// The non-defect is reported.
    FalseAlarm,
}

/// What came of the variants in which the defect is fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Mended {
    Hold,
    Fail,
    /// No file expects one to hold.
    None,
}

/// One line of the output.
#[derive(Clone, Debug, Serialize)]
struct Line {
    id: &'static str,
    found: Found,
    /// Of the shortest counterexample: where it is and what it breaks.
    test: Option<String>,
    revision: Option<Revision>,
    defects: Vec<Defect>,
    without: Vec<Defect>,
    invariant: Option<Invariant>,
    what: Option<String>,
    steps: Option<u64>,
    /// There is no shorter one.
    exact: bool,
    /// All counterexamples repeat.
    replays: Option<bool>,
    /// Of a defect.
    fixed: Option<Mended>,
    /// Of all its searches.
    seconds: f64,
    /// What is not as it should be.
    problems: Vec<String>,
}

/// One search: for a violation of this invariant, or to the end.
struct Job<'a> {
    entry: Entry,
    test: &'a Test,
    variant: Variant,
    wanted: Option<Invariant>,
}

/// What it came to.
enum Done {
    Found { result: Shortest, replays: bool },
    Searched { verdict: Verdict, says: String, seconds: f64 },
}

/// Runs it.
pub(super) fn check(args: &Args, inputs: &[Input]) -> u8 {
    let entries = Entry::all();
    let jobs: Vec<Job<'_>> = entries.iter().flat_map(|entry| jobs(*entry, inputs)).collect();
    let done = run_all(&jobs, args.bounds.processors(), |job, bar| run(args, job, bar));
    let all: Vec<(&Job<'_>, &Done)> = jobs.iter().zip(&done).collect();
    let lines: Vec<Line> = entries
        .iter()
        .map(|entry| {
            let of: Vec<_> = all.iter().copied().filter(|(job, _)| job.entry == *entry).collect();
            line(*entry, &of)
        })
        .collect();
    if args.json {
        for line in &lines {
            if let Ok(line) = serde_json::to_string(line) {
                say!("{line}");
            }
        }
    } else {
        print_table(&lines);
    }
    if lines.iter().all(|line| line.problems.is_empty()) { EXIT_OK } else { EXIT_DIFFERENCE }
}

/// The searches for an entry. A defect is searched for where it is on and something is to break;
/// where it is off on such a revision, and for a non-defect everywhere, what is to hold must hold.
fn jobs(entry: Entry, inputs: &[Input]) -> Vec<Job<'_>> {
    let tests = inputs.iter().map(|i| &i.test).filter(|t| t.shows.contains(&entry));
    let all: Vec<Job<'_>> = tests
        .flat_map(|test| {
            test.variants().into_iter().map(move |variant| {
                let wanted = test.expected(&variant);
                Job { entry, test, variant, wanted }
            })
        })
        .collect();
    let breaks = |job: &Job<'_>| job.wanted.is_some() && job.is_on();
    let broken: Vec<Revision> =
        all.iter().filter(|job| breaks(job)).map(|job| job.variant.revision).collect();
    let fixed = |job: &Job<'_>| match entry {
        Entry::Defect(_) => !job.is_on() && broken.contains(&job.variant.revision),
        Entry::NonDefect(_) => true,
    };
    all.into_iter().filter(|job| breaks(job) || job.wanted.is_none() && fixed(job)).collect()
}

impl Job<'_> {
    /// Whether the defect is there; a non-defect is not.
    fn is_on(&self) -> bool {
        matches!(self.entry, Entry::Defect(defect) if self.variant.has(defect))
    }
}

fn run(args: &Args, job: &Job<'_>, bar: &Bar) -> Done {
    let Job { test, variant, wanted, .. } = job;
    let limits = args.bounds.limits(usize::MAX);
    let progress = &mut |at| bar.show(&format!("{} {}", job.entry, test.name), at);
    if wanted.is_none() {
        let row = row(test, variant, &explore(test, variant, &limits, progress));
        return Done::Searched { verdict: row.verdict, says: row.says(), seconds: row.seconds };
    }
    let limits = Limits { max_time: limits.max_time.or(Some(SHORTEST_TIME)), ..limits };
    let result = shortest(test, variant, *wanted, &limits, progress);
    let replays = result.counterexample.as_ref().is_some_and(|c| c.replays(test, variant));
    Done::Found { result, replays }
}

fn line(entry: Entry, jobs: &[(&Job<'_>, &Done)]) -> Line {
    let mut line = Line {
        id: entry.name(),
        found: Found::NoFile,
        test: None,
        revision: None,
        defects: Vec::new(),
        without: Vec::new(),
        invariant: None,
        what: None,
        steps: None,
        exact: false,
        replays: None,
        fixed: None,
        seconds: 0.0,
        problems: Vec::new(),
    };
    for (job, done) in jobs {
        match done {
            Done::Found { result, replays } => line.search(job, result, *replays),
            Done::Searched { verdict, says, seconds } => {
                line.seconds += seconds;
                line.held(job, *verdict, says);
            }
        }
    }
    if line.found == Found::NoFile {
        line.problems.push(format!("no test file shows {entry}"));
    } else if matches!(entry, Entry::Defect(_)) && line.fixed.is_none() {
        line.fixed = Some(Mended::None);
        line.problems.push("no variant in which it is fixed is to hold".to_owned());
    }
    line
}

impl Line {
    /// Counts a search for the defect.
    fn search(&mut self, job: &Job<'_>, result: &Shortest, replays: bool) {
        self.seconds += result.elapsed.as_secs_f64();
        let Some(found) = &result.counterexample else {
            self.found = Found::No;
            self.problems.push(missed(job, result));
            return;
        };
        if self.found == Found::NoFile {
            self.found = Found::Yes;
        }
        self.replays = Some(replays && self.replays.unwrap_or(true));
        if !replays {
            self.problems.push(format!("{} on {}: does not replay", job.test.name, job.variant));
        }
        if self.steps.is_none_or(|steps| found.steps < steps) {
            self.shorter(job, found, result.exact);
        }
    }

    fn shorter(&mut self, job: &Job<'_>, found: &Counterexample, exact: bool) {
        let Variant { revision, defects, without } = job.variant.clone();
        self.test = Some(job.test.name.clone());
        (self.revision, self.defects, self.without) = (Some(revision), defects, without);
        self.invariant = Some(found.violation.invariant);
        self.what = Some(found.violation.what.clone());
        (self.steps, self.exact) = (Some(found.steps), exact);
    }

    /// Counts a variant that is to hold.
    fn held(&mut self, job: &Job<'_>, verdict: Verdict, says: &str) {
        let holds = verdict == Verdict::Holds;
        if !holds {
            self.problems.push(format!("{} on {}: {says}", job.test.name, job.variant));
        }
        match job.entry {
            Entry::Defect(_) if holds => {
                self.fixed.get_or_insert(Mended::Hold);
            }
            Entry::Defect(_) => self.fixed = Some(Mended::Fail),
            Entry::NonDefect(_) if !holds => self.found = Found::FalseAlarm,
            Entry::NonDefect(_) if self.found == Found::NoFile => self.found = Found::Silent,
            Entry::NonDefect(_) => {}
        }
    }
}

/// Why a defect was not found.
fn missed(job: &Job<'_>, result: &Shortest) -> String {
    let at = format!("{} on {}", job.test.name, job.variant);
    let until = if result.exact { "" } else { " before the search was given up" };
    match &result.other {
        Some(other) => format!("{at}: breaks {} instead{until}", other.violation),
        None => format!("{at}: nothing breaks{until}"),
    }
}

fn print_table(lines: &[Line]) {
    let mut table = Table::new();
    table.load_preset(NOTHING);
    table.set_header(["id", "found", "by", "on", "breaks", "steps", "replays", "fixed", "time"]);
    for index in [5, 8] {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for line in lines {
        let colour = if line.problems.is_empty() { Color::Green } else { Color::Red };
        let (found, fixed) = (found_word(line.found), fixed_word(line.fixed));
        table.add_row([
            Cell::new(line.id),
            Cell::new(found).fg(colour),
            cell(line.test.as_deref()),
            cell(line.variant()),
            cell(line.invariant),
            cell(line.steps.map(|n| if line.exact { n.to_string() } else { format!("<= {n}") })),
            cell(line.replays.map(|yes| if yes { "yes" } else { "NO" })),
            Cell::new(fixed),
            Cell::new(format!("{:.2} s", line.seconds)),
        ]);
    }
    say!("{}", table.trim_fmt());
    for line in lines {
        for problem in &line.problems {
            say!("{}: {problem}", line.id);
        }
    }
    let good = lines.iter().filter(|line| line.problems.is_empty()).count();
    say!("{} entries, {good} as they should be, {} not", lines.len(), lines.len() - good);
}

impl Line {
    fn variant(&self) -> Option<Variant> {
        let (defects, without) = (self.defects.clone(), self.without.clone());
        self.revision.map(|revision| Variant { revision, defects, without })
    }
}

fn cell(content: Option<impl ToString>) -> Cell {
    Cell::new(content.map_or_else(|| "-".to_owned(), |c| c.to_string()))
}

fn found_word(found: Found) -> &'static str {
    match found {
        Found::Yes => "yes",
        Found::No => "NO",
        Found::NoFile => "no file",
        Found::Silent => "silent",
        Found::FalseAlarm => "FALSE ALARM",
    }
}

fn fixed_word(fixed: Option<Mended>) -> &'static str {
    match fixed {
        Some(Mended::Hold) => "hold",
        Some(Mended::Fail) => "FAIL",
        Some(Mended::None) => "NONE",
        None => "-",
    }
}
