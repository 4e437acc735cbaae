//! The part of `ifq check` that concerns outcomes: conditions and recorded outcomes.

use std::path::{Path, PathBuf};

use ifq_model::revision::Variant;
use ifq_model::test::Test;
use ifq_sim::executor::witness::Witness;
use ifq_sim::format::{self, Input, condition_lines, switch_places};
use ifq_sim::report::recorded_outcomes::{RecordError, RecordedOutcomes};
use ifq_sim::report::results::{ConditionResult, ConditionVerdict, Results};
use ifq_sim::report::table::Layout;
use ifq_sim::report::verdict::VerdictRow;
use ifq_sim::report::witness;
use ifq_sim::search::explore::{Exploration, Limits};

use super::pool::Bar;
use crate::library;

/// At most so many outcomes of one kind are printed for a verdict.
const MAX_LISTED: usize = 10;

/// A test to check, and its recorded outcomes.
pub(super) struct RecordedInput<'a> {
    input: &'a Input,
    /// The file is one of the library in the binary.
    built_in: bool,
    recorded: Option<RecordedOutcomes>,
}

impl<'a> RecordedInput<'a> {
    /// Reads the recorded outcomes of a test.
    ///
    /// # Errors
    /// They cannot be read or are not well-formed.
    pub(super) fn load(input: &'a Input, built_in: bool) -> Result<Self, RecordError> {
        let recorded = match built_in {
            true => library::recorded_outcomes(&input.path)?,
            false => RecordedOutcomes::load(Path::new(&input.path))?,
        };
        Ok(RecordedInput { input, built_in, recorded })
    }

    /// The test.
    pub(super) fn test(&self) -> &'a Test {
        &self.input.test
    }

    /// The text of the file, if it is at hand.
    fn text(&self) -> Option<String> {
        let path = &self.input.path;
        match self.built_in {
            true => library::text(path).map(str::to_owned),
            false => std::fs::read_to_string(path).ok().filter(|_| path.ends_with(".ifq")),
        }
    }

    /// The place of a line of the schedule: `FILE:LINE:COLUMN`, or the file if the place is not known.
    pub(super) fn schedule_place(&self, line: usize) -> String {
        let path = &self.input.path;
        let places = self.text().map(|text| switch_places(&text)).unwrap_or_default();
        let place = places.get(line - 1);
        place.map_or_else(|| path.clone(), |(line, column)| format!("{path}:{line}:{column}"))
    }

    /// The line of a condition of the test: `FILE:LINE`, or the file if the line is not known.
    fn place(&self, condition: usize) -> String {
        let (path, text) = (&self.input.path, self.text());
        let line = text.and_then(|text| condition_lines(&text).get(condition).copied());
        line.map_or_else(|| path.clone(), |line| format!("{path}:{line}"))
    }
}

/// Compares the outcomes of a search with the conditions and the recorded outcomes of its test, and
/// searches the shortest run for each difference.
pub(super) fn results(
    input: &RecordedInput<'_>,
    (test, variant): (&Test, &Variant),
    found: &Exploration,
    limits: &Limits,
    bar: &Bar,
) -> Results {
    // The recorded outcomes are those of the file, without the faults of `--faults`.
    let recorded = input.recorded.as_ref().filter(|_| std::ptr::eq(test, input.test()));
    let complete = found.exhaustive && !limits.symmetry.buffers;
    let mut results = Results::of((test, variant), &found.outcomes, complete, recorded);
    results.find_witnesses(test, variant, limits, &mut |at| bar.show(&test.name, at));
    results.reduce_witnesses(test, variant);
    results
}

/// One difference: what is wrong, and the run that shows it.
pub(super) struct Failure<'a> {
    /// Sentences, one a line.
    pub(super) text: String,
    /// The end of the file name of the run.
    name: String,
    witness: Option<&'a Witness>,
}

impl Failure<'_> {
    /// Stores the run in a folder and returns its path; `None` if there is no run.
    ///
    /// # Errors
    /// The folder, the error, and the text of the file that was not written.
    pub(super) fn save(
        &self,
        folder: &Path,
        test: &Test,
        variant: &Variant,
    ) -> Option<Result<PathBuf, (PathBuf, std::io::Error, String)>> {
        self.witness.map(|run| {
            witness::save(folder, test, variant, &self.name, run).map_err(|error| {
                (folder.to_owned(), error, format::print(&run.in_test(test, variant)))
            })
        })
    }

    /// The table of the run; empty if there is no run.
    pub(super) fn table(&self, test: &Test, variant: &Variant, layout: Layout) -> String {
        self.witness.map_or_else(String::new, |run| witness::show(test, variant, run, layout))
    }
}

/// All differences of a verdict: each condition that is not true, and the recorded outcomes.
pub(super) fn failures<'a>(input: &RecordedInput<'_>, row: &'a VerdictRow) -> Vec<Failure<'a>> {
    let results = &row.results;
    let conditions = results.conditions.iter().filter_map(|one| condition(input, one));
    conditions.chain(difference(results)).collect()
}

fn condition<'a>(input: &RecordedInput<'_>, one: &'a ConditionResult) -> Option<Failure<'a>> {
    let what = match one.verdict {
        ConditionVerdict::Holds => return None,
        ConditionVerdict::Violated => {
            let outcome = one.outcome.as_deref().unwrap_or_default();
            format!("violated by the outcome {outcome}")
        }
        ConditionVerdict::Unreachable => "unreachable: no outcome satisfies it".to_owned(),
        ConditionVerdict::Bounded => "undecided: the search was not complete".to_owned(),
    };
    let (place, text) = (input.place(one.index), &one.condition);
    let quantifier = text.split(' ').next().unwrap_or_default();
    Some(Failure {
        text: format!("{place}: {text}: {what}\n")
            + no_run(one.verdict == ConditionVerdict::Violated, one.witness.as_ref()),
        name: format!("{quantifier}-{}", one.index + 1),
        witness: one.witness.as_ref(),
    })
}

fn difference(results: &Results) -> Option<Failure<'_>> {
    let difference = results.difference.as_ref().filter(|difference| !difference.is_empty())?;
    let recorded = &difference.recorded;
    let more = difference.more.iter().map(|one| format!("not recorded in {recorded}: {one}\n"));
    let missing = difference.missing.iter().map(|one| {
        format!("{recorded}:{}: recorded, but no run ends with it: {}\n", one.line, one.outcome)
    });
    let no_run = no_run(!difference.more.is_empty(), results.witness.as_ref());
    let text = listed(&more.collect::<Vec<_>>()) + &listed(&missing.collect::<Vec<_>>()) + no_run;
    Some(Failure { text, name: "new-outcome".to_owned(), witness: results.witness.as_ref() })
}

/// Says that there should be a run and is none.
fn no_run(wanted: bool, found: Option<&Witness>) -> &'static str {
    if wanted && found.is_none() { "a limit ended the search for the shortest run\n" } else { "" }
}

/// The lines, of which a long list is shortened.
fn listed(lines: &[String]) -> String {
    let rest = lines.len().saturating_sub(MAX_LISTED);
    let more = if rest > 0 { format!("and {rest} more\n") } else { String::new() };
    lines.iter().take(MAX_LISTED).map(String::as_str).collect::<String>() + &more
}

/// How many verdicts were compared with recorded outcomes.
pub(super) fn compared<'a>(rows: impl Iterator<Item = &'a VerdictRow>) -> usize {
    rows.filter(|row| row.results.difference.is_some()).count()
}
