//! The table of all results: a row for each test, a column for each kernel.

use std::collections::BTreeMap;

use super::result_view::{crash, histogram};
use super::run::TestResult;
use crate::conform::compare::{KnownCrash, Verdict};
use crate::job::RunInfo;

/// The results of one machine.
#[derive(Clone, Debug, Default)]
pub struct Column {
    /// The machine, as the command line has it.
    pub machine: String,
    /// The release of its kernel, if it started.
    pub kernel: Option<String>,
    /// How the machine was run.
    pub how: RunInfo,
    /// One cell for each test.
    pub cells: Vec<Cell>,
}

/// One test on one machine.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The result.
    pub result: TestResult,
    /// The file that holds the difference, or why it was not written.
    pub stored: Option<String>,
}

impl Column {
    /// The number of tests with a verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        self.cells.iter().filter(|cell| cell.result.comparison.verdict == verdict).count()
    }

    /// The machine and its kernel, such as `uml, kernel 7.2.7`.
    #[must_use]
    pub fn name(&self) -> String {
        let kernel = self.kernel.as_ref().map(|kernel| format!(", kernel {kernel}"));
        let how = match self.how.to_string() {
            how if how.is_empty() => how,
            how => format!(" ({how})"),
        };
        format!("{}{how}{}", self.machine, kernel.unwrap_or_default())
    }

    /// One line: the number of tests with each verdict.
    #[must_use]
    pub fn summary(&self) -> String {
        let [agree, differ, not_run] =
            [Verdict::Agrees, Verdict::Differs, Verdict::NotRun].map(|verdict| self.count(verdict));
        let bounded = match self.count(Verdict::Bounded) {
            0 => String::new(),
            bounded => format!(", {bounded} bounded"),
        };
        format!("{}: {agree} agree, {differ} differ, {not_run} not run{bounded}", self.name())
    }
}

/// The reasons why tests were not run, numbered in the order of their first use.
#[derive(Debug, Default)]
struct Legend {
    reasons: Vec<String>,
    counts: BTreeMap<usize, usize>,
}

impl Legend {
    fn number(&mut self, reason: &str) -> usize {
        let known = self.reasons.iter().position(|other| other == reason);
        let at = known.unwrap_or(self.reasons.len());
        if known.is_none() {
            self.reasons.push(reason.to_owned());
        }
        *self.counts.entry(at).or_default() += 1;
        at + 1
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for (at, reason) in self.reasons.iter().enumerate() {
            let count = self.counts.get(&at).copied().unwrap_or(0);
            let reason = reason.replace('\n', "\n      ");
            text.push_str(&format!("  [{}] {count} × {reason}\n", at + 1));
        }
        text
    }
}

/// The table, then the reasons why tests were not run with their counts, then a line for each kernel.
/// `rows`: print a row for each test; otherwise only for tests that differ.
#[must_use]
pub fn table(tests: &[String], columns: &[Column], rows: bool) -> String {
    let mut legend = Legend::default();
    let mut table = crate::output::table();
    let kernel = |column: &Column| column.kernel.clone().unwrap_or_else(|| "not run".to_owned());
    let head = columns.iter().map(|column| format!("{}\n{}", column.machine, kernel(column)));
    table.set_header(std::iter::once("test".to_owned()).chain(head));
    for (at, test) in tests.iter().enumerate() {
        let cells: Vec<&Cell> = columns.iter().map(|column| &column.cells[at]).collect();
        let texts: Vec<String> = cells.iter().map(|cell| text(cell, &mut legend)).collect();
        let differs = |cell: &&Cell| cell.result.comparison.verdict == Verdict::Differs;
        if rows || cells.iter().any(differs) {
            table.add_row(std::iter::once(test.clone()).chain(texts));
        }
    }
    let mut text = String::new();
    if table.row_iter().next().is_some() {
        text.push_str(&format!("{}\n", table.trim_fmt()));
    }
    let legend = legend.text();
    if !legend.is_empty() {
        text.push_str(&format!("\nnot run:\n{legend}"));
    }
    text.push('\n');
    for column in columns {
        text.push_str(&format!("{}\n", column.summary()));
    }
    text
}

/// The histogram of each test that differs or has several allowed outcomes.
#[must_use]
pub fn details(tests: &[String], columns: &[Column]) -> String {
    let mut text = String::new();
    for (at, test) in tests.iter().enumerate() {
        for column in columns {
            let Cell { result, stored } = &column.cells[at];
            let comparison = &result.comparison;
            let differs = matches!(comparison.verdict, Verdict::Differs | Verdict::Bounded);
            if !differs && comparison.allowed() < 2 && comparison.crash.is_none() {
                continue;
            }
            text.push_str(&format!("{test} on {}: {}\n", column.name(), comparison.verdict.name()));
            for line in comparison.reason.lines() {
                text.push_str(&format!("  {line}\n"));
            }
            text.push_str(&crash(comparison.crash.as_ref()));
            if !comparison.rows.is_empty() {
                text.push_str(&histogram(result, column.kernel.as_deref()));
            }
            if let Some(stored) = stored {
                text.push_str(&format!("  stored: {stored}\n"));
            }
        }
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// The text of a cell: `agrees`, with the number of observed outcomes if several are allowed; the file
/// of a difference; or the number of the reason in the legend.
fn text(cell: &Cell, legend: &mut Legend) -> String {
    let comparison = &cell.result.comparison;
    match comparison.verdict {
        Verdict::Agrees => {
            let seen = match comparison.allowed() {
                0 | 1 => String::new(),
                allowed => format!(" {}/{allowed}", comparison.seen()),
            };
            let crash = match &comparison.crash {
                Some(KnownCrash { invariant, seen: Some(_) }) => format!(", breaks {invariant}"),
                Some(KnownCrash { invariant, seen: None }) => format!(", may break {invariant}"),
                None => String::new(),
            };
            format!("agrees{seen}{crash}")
        }
        Verdict::Differs => match &cell.stored {
            Some(path) => format!("differs: {path}"),
            None => "differs".to_owned(),
        },
        Verdict::Bounded => "bounded".to_owned(),
        Verdict::NotRun => format!("not run [{}]", legend.number(&comparison.reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conform::compare::{Comparison, HistogramRow};
    use crate::job::Stalls;
    use ifq_model::invariant::Invariant;

    fn cell(verdict: Verdict, reason: &str, counts: &[u64]) -> Cell {
        let row = |count: &u64| HistogramRow {
            outcome: "x=0;".into(),
            count: *count,
            allowed: Some(true),
            by_fault: false,
        };
        let rows = counts.iter().map(row).collect();
        let comparison = Comparison {
            verdict,
            reason: reason.into(),
            rows,
            exhaustive: true,
            difference: None,
            divergences: Vec::new(),
            crash: None,
            stalls: Stalls::default(),
            start_skew: None,
            packets: None,
        };
        Cell { result: TestResult { variant: None, comparison }, stored: None }
    }

    #[test]
    fn each_reason_is_listed_once_in_the_legend_with_its_count() {
        let cells = vec![
            cell(Verdict::Agrees, "", &[5]),
            cell(Verdict::Agrees, "", &[5, 0, 2]),
            cell(Verdict::NotRun, "no NIC", &[]),
            cell(Verdict::NotRun, "no NIC", &[]),
            cell(Verdict::NotRun, "too old", &[]),
            Cell { stored: Some("d/f.ifq".into()), ..cell(Verdict::Differs, "not allowed", &[1]) },
        ];
        let column = Column {
            machine: "uml".into(),
            kernel: Some("7.2.7".into()),
            how: RunInfo::default(),
            cells,
        };
        let tests: Vec<String> = (0..6).map(|i| format!("test-{i}")).collect();
        let text = table(&tests, std::slice::from_ref(&column), true);
        let lines: Vec<String> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .filter(|line| !line.is_empty())
            .collect();
        assert_eq!(
            lines,
            [
                "test uml",
                "7.2.7",
                "test-0 agrees",
                "test-1 agrees 2/3",
                "test-2 not run [1]",
                "test-3 not run [1]",
                "test-4 not run [2]",
                "test-5 differs: d/f.ifq",
                "not run:",
                "[1] 2 × no NIC",
                "[2] 1 × too old",
                "uml, kernel 7.2.7: 2 agree, 1 differ, 3 not run",
            ]
        );
        let short = table(&tests, &[column], false);
        assert!(short.contains("test-5") && !short.contains("test-0") && short.contains("no NIC"));
    }

    #[test]
    fn a_file_that_may_crash_its_kernel_says_whether_the_kernel_reported_an_error() {
        let crash = |seen: Option<&str>| KnownCrash {
            invariant: Invariant::I1,
            seen: seen.map(ToOwned::to_owned),
        };
        let with = |counts: &[u64], crash| {
            let mut cell = cell(Verdict::Agrees, "", counts);
            cell.result.comparison.crash = Some(crash);
            cell
        };
        let cells = vec![with(&[5, 0], crash(Some("BUG: KFENCE"))), with(&[5], crash(None))];
        let column = Column { machine: "uml".into(), cells, ..Column::default() };
        let tests = ["shown".to_owned(), "quiet".to_owned()];
        let text = table(&tests, std::slice::from_ref(&column), true);
        assert!(text.contains("agrees 1/2, breaks I1"), "{text}");
        assert!(text.contains("agrees, may break I1"), "{text}");
        let details = details(&tests, &[column]);
        assert!(
            details.contains("BUG: KFENCE") && details.contains("reported nothing"),
            "{details}"
        );
    }
}
