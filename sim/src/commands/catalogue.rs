//! Checks the catalogue: every known defect is found, its fix holds, and no non-defect is reported.

use std::time::Duration;

use ifq_model::invariant::Invariant;
use ifq_model::revision::{Defect, Entry, Revision, Variant};
use ifq_model::test::Test;
use serde::Serialize;

use crate::executor::counterexample::Counterexample;
use crate::format::Input;
use crate::report::verdict::{Verdict, row};
use crate::search::explore::{Limits, Progress, explore};
use crate::search::shortest::{Shortest, shortest};

/// Time limit of the search for a shortest counterexample, if the user gives none. The shortest
/// counterexample found until then is reported as an upper bound.
const SHORTEST_TIME: Duration = Duration::from_secs(60);

/// Whether an entry was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detection {
    /// The defect was found in every variant in which a file expects it.
    Yes,
    /// The defect was missed in at least one of them.
    No,
    /// No file shows the entry.
    NoFile,
    /// The non-defect was not reported, as required.
    #[serde(rename = "silent")]
    NotReported,
    /// The non-defect was reported.
    FalseAlarm,
}

/// The result for the variants in which a defect is fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FixResult {
    /// All of them hold.
    Hold,
    /// At least one does not hold.
    Fail,
    /// No file expects one to hold.
    None,
}

/// The result for one entry of the catalogue: one line of `ifq check --catalogue`.
#[derive(Clone, Debug, Serialize)]
pub struct EntryReport {
    /// Identifier of the entry.
    pub id: &'static str,
    /// Whether the entry was reported.
    pub found: Detection,
    /// Test of the shortest counterexample.
    pub test: Option<String>,
    /// Revision of the shortest counterexample.
    pub revision: Option<Revision>,
    /// Added defects of the shortest counterexample.
    pub defects: Vec<Defect>,
    /// Fixed defects of the shortest counterexample.
    pub without: Vec<Defect>,
    /// The invariant that the shortest counterexample violates.
    pub invariant: Option<Invariant>,
    /// The violation in words.
    pub what: Option<String>,
    /// Steps of the shortest counterexample.
    pub steps: Option<u64>,
    /// The search proved that there is no shorter one.
    pub exact: bool,
    /// All counterexamples replay.
    pub replays: Option<bool>,
    /// Whether the fix of a defect holds.
    pub fixed: Option<FixResult>,
    /// Seconds of all searches for this entry.
    pub seconds: f64,
    /// What differs from the catalogue, one sentence each.
    pub problems: Vec<String>,
    /// How many of the problems are that a limit ended a search.
    pub bounded: usize,
}

/// One search: for a violation of the wanted invariant, or of the whole state space.
#[derive(Debug)]
pub struct EntrySearch<'a> {
    entry: Entry,
    test: &'a Test,
    variant: Variant,
    wanted: Option<Invariant>,
}

/// The result of an [`EntrySearch`].
#[derive(Debug)]
pub enum EntryResult {
    /// A shortest counterexample was searched for.
    Shortest {
        /// The result.
        result: Shortest,
        /// The counterexample replays.
        replays: bool,
    },
    /// The whole state space was searched.
    Explored {
        /// The verdict.
        verdict: Verdict,
        /// The verdict in words.
        says: String,
        /// Seconds of the search.
        seconds: f64,
    },
}

/// All searches that check the catalogue.
#[must_use]
pub fn searches(inputs: &[Input]) -> Vec<EntrySearch<'_>> {
    Entry::all().iter().flat_map(|entry| searches_of(*entry, inputs)).collect()
}

/// The searches for one entry. A variant with the defect is searched if its file expects a
/// violation. A variant without it must hold if the same revision is searched with the defect. For
/// a non-defect, every variant that its file expects to hold must hold.
fn searches_of(entry: Entry, inputs: &[Input]) -> Vec<EntrySearch<'_>> {
    let tests = inputs.iter().map(|i| &i.test).filter(|t| t.shows.contains(&entry));
    let all: Vec<EntrySearch<'_>> = tests
        .flat_map(|test| {
            test.variants().into_iter().map(move |variant| {
                let wanted = test.expected(&variant);
                EntrySearch { entry, test, variant, wanted }
            })
        })
        .collect();
    let violates = |search: &EntrySearch<'_>| search.wanted.is_some() && search.has_defect();
    let with_defect: Vec<Revision> =
        all.iter().filter(|search| violates(search)).map(|s| s.variant.revision).collect();
    let fixed = |search: &EntrySearch<'_>| match entry {
        Entry::Defect(_) => !search.has_defect() && with_defect.contains(&search.variant.revision),
        Entry::NonDefect(_) => true,
    };
    all.into_iter()
        .filter(|search| violates(search) || search.wanted.is_none() && fixed(search))
        .collect()
}

impl EntrySearch<'_> {
    /// Entry and test, for a progress line.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{} {}", self.entry, self.test.name)
    }

    /// Whether the variant has the entry's defect. Always false for a non-defect.
    fn has_defect(&self) -> bool {
        matches!(self.entry, Entry::Defect(defect) if self.variant.has(defect))
    }

    /// Runs the search.
    pub fn run(&self, limits: Limits, progress: &mut dyn FnMut(Progress)) -> EntryResult {
        let EntrySearch { test, variant, wanted, .. } = self;
        if wanted.is_none() {
            let row = row(test, variant, &explore(test, variant, &limits, progress));
            return EntryResult::Explored {
                verdict: row.verdict,
                says: row.says(),
                seconds: row.seconds,
            };
        }
        let limits = Limits { max_time: limits.max_time.or(Some(SHORTEST_TIME)), ..limits };
        let result = shortest(test, variant, *wanted, &limits, progress);
        let replays = result.counterexample.as_ref().is_some_and(|c| c.replays(test, variant));
        EntryResult::Shortest { result, replays }
    }
}

/// One report for each entry of the catalogue. `results[i]` is the result of `searches[i]`.
#[must_use]
pub fn reports(searches: &[EntrySearch<'_>], results: &[EntryResult]) -> Vec<EntryReport> {
    let report_of = |entry| {
        let all = searches.iter().zip(results);
        report(entry, all.filter(|(search, _)| search.entry == entry))
    };
    Entry::all().into_iter().map(report_of).collect()
}

fn report<'a>(
    entry: Entry,
    results: impl Iterator<Item = (&'a EntrySearch<'a>, &'a EntryResult)>,
) -> EntryReport {
    let mut report = EntryReport {
        id: entry.name(),
        found: Detection::NoFile,
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
        bounded: 0,
    };
    for (search, result) in results {
        match result {
            EntryResult::Shortest { result, replays } => {
                report.count_shortest(search, result, *replays);
            }
            EntryResult::Explored { verdict, says, seconds } => {
                report.seconds += seconds;
                report.count_explored(search, *verdict, says);
            }
        }
    }
    if report.found == Detection::NoFile {
        report.problems.push(format!("no test file shows {entry}"));
    } else if matches!(entry, Entry::Defect(_)) && report.fixed.is_none() {
        report.fixed = Some(FixResult::None);
        report.problems.push("no file expects a variant with the fix to hold".to_owned());
    }
    report
}

impl EntryReport {
    /// The variant of the shortest counterexample.
    #[must_use]
    pub fn variant(&self) -> Option<Variant> {
        let (defects, without) = (self.defects.clone(), self.without.clone());
        self.revision.map(|revision| Variant { revision, defects, without })
    }

    /// Whether a search that no limit ended differs from the catalogue.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        self.problems.len() > self.bounded
    }

    /// Counts a search for the defect.
    fn count_shortest(&mut self, search: &EntrySearch<'_>, result: &Shortest, replays: bool) {
        self.seconds += result.elapsed.as_secs_f64();
        let Some(found) = &result.counterexample else {
            self.found = Detection::No;
            self.bounded += usize::from(!result.exact && result.other.is_none());
            self.problems.push(missed(search, result));
            return;
        };
        if self.found == Detection::NoFile {
            self.found = Detection::Yes;
        }
        self.replays = Some(replays && self.replays.unwrap_or(true));
        if !replays {
            let EntrySearch { test, variant, .. } = search;
            self.problems.push(format!("{} on {variant}: does not replay", test.name));
        }
        if self.steps.is_none_or(|steps| found.steps < steps) {
            self.keep_shortest(search, found, result.exact);
        }
    }

    fn keep_shortest(&mut self, search: &EntrySearch<'_>, found: &Counterexample, exact: bool) {
        let Variant { revision, defects, without } = search.variant.clone();
        self.test = Some(search.test.name.clone());
        (self.revision, self.defects, self.without) = (Some(revision), defects, without);
        self.invariant = Some(found.violation.invariant);
        self.what = Some(found.violation.what.clone());
        (self.steps, self.exact) = (Some(found.steps), exact);
    }

    /// Counts a variant that must hold.
    fn count_explored(&mut self, search: &EntrySearch<'_>, verdict: Verdict, says: &str) {
        let holds = verdict == Verdict::Holds;
        self.bounded += usize::from(verdict == Verdict::Bounded);
        if !holds {
            self.problems.push(format!("{} on {}: {says}", search.test.name, search.variant));
        }
        match search.entry {
            Entry::Defect(_) if holds => {
                self.fixed.get_or_insert(FixResult::Hold);
            }
            Entry::Defect(_) => self.fixed = Some(FixResult::Fail),
            Entry::NonDefect(_) if !holds => self.found = Detection::FalseAlarm,
            Entry::NonDefect(_) if self.found == Detection::NoFile => {
                self.found = Detection::NotReported;
            }
            Entry::NonDefect(_) => {}
        }
    }
}

/// Says why a defect was not found.
fn missed(search: &EntrySearch<'_>, result: &Shortest) -> String {
    let at = format!("{} on {}", search.test.name, search.variant);
    let until = if result.exact { "" } else { " before the search reached its limit" };
    match &result.other {
        Some(other) => format!("{at}: violates {} instead{until}", other.violation),
        None => format!("{at}: no violation{until}"),
    }
}
