//! One result, for people and for programs.

use serde::Serialize;

use super::measure::{Measured, Options};
use crate::compare::{Row, Verdict};
use crate::job::{How, Stalls};
use crate::spread::Spread;

/// A test's result on one machine, with everything that is said about it.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The test's name.
    pub test: &'a str,
    /// The machine, as the command line has it.
    pub machine: &'a str,
    /// The kernel's release, if it is known.
    pub kernel: Option<&'a str>,
    /// How the machine was run.
    pub how: &'a How,
    /// The result.
    pub measured: &'a Measured,
    /// How it was run.
    pub options: Options,
    /// The file in which a difference is stored.
    pub stored: Option<&'a str>,
    /// The command that repeats it.
    pub again: &'a str,
}

#[derive(Serialize)]
struct Line<'a> {
    test: &'a str,
    machine: &'a str,
    kernel: &'a str,
    accelerated: Option<bool>,
    cpus: Option<u32>,
    boots: u32,
    notes: &'a [String],
    revision: Option<&'static str>,
    defects: Vec<&'static str>,
    without: Vec<&'static str>,
    result: Verdict,
    reason: &'a str,
    times: u32,
    seed: u64,
    histogram: &'a [Row],
    allowed: usize,
    seen: usize,
    share: Option<f64>,
    exhaustive: bool,
    stalls: &'a Stalls,
    spread: Option<Spread>,
    stored: Option<&'a str>,
    again: &'a str,
}

impl Shown<'_> {
    fn kernel(&self) -> &str {
        self.kernel.unwrap_or("unknown")
    }

    /// Prints one JSON object in one line.
    pub fn print_json(&self) {
        let Measured { variant, comparison } = self.measured;
        let names = |defects: &[ifq_model::revision::Defect]| {
            defects.iter().map(|defect| defect.name()).collect()
        };
        let line = Line {
            test: self.test,
            machine: self.machine,
            kernel: self.kernel(),
            accelerated: self.how.accelerated,
            cpus: self.how.cpus,
            boots: self.how.boots,
            notes: &self.how.notes,
            revision: variant.as_ref().map(|variant| variant.revision.name()),
            defects: variant.as_ref().map(|v| names(&v.defects)).unwrap_or_default(),
            without: variant.as_ref().map(|v| names(&v.without)).unwrap_or_default(),
            result: comparison.verdict,
            reason: &comparison.reason,
            times: self.options.times,
            seed: self.options.seed,
            histogram: &comparison.rows,
            allowed: comparison.allowed(),
            seen: comparison.seen(),
            share: comparison.share(),
            exhaustive: comparison.exhaustive,
            stalls: &comparison.stalls,
            spread: comparison.spread,
            stored: self.stored,
            again: self.again,
        };
        if let Ok(line) = serde_json::to_string(&line) {
            outln!("{line}");
        }
    }

    /// Prints the result, the reason, and what was seen beside what is allowed.
    pub fn print(&self) {
        let comparison = &self.measured.comparison;
        let (test, machine, kernel) = (self.test, self.machine, self.kernel());
        let how = match self.how.to_string() {
            how if how.is_empty() => how,
            how => format!(" ({how})"),
        };
        outln!("test {test} on {machine}{how}, kernel {kernel}: {}", comparison.verdict.name());
        for line in comparison.reason.lines() {
            outln!("  {line}");
        }
        if !comparison.rows.is_empty() {
            out!("{}", histogram(self.measured));
        }
        if let Some(stored) = self.stored {
            outln!("  stored: {stored}");
        }
        outln!("  again: {}", self.again);
    }
}

/// One row for each outcome, and the share of the allowed ones that was seen.
#[must_use]
pub fn histogram(measured: &Measured) -> String {
    let Measured { variant, comparison } = measured;
    let by = variant.as_ref().map_or("no revision".to_owned(), ToString::to_string);
    let mut text = format!("  {:>8}  {:<8} outcome (allowed by {by})\n", "seen", "allowed");
    for row in &comparison.rows {
        let allowed = match row.allowed {
            Some(true) if row.by_fault => "by fault",
            Some(true) => "yes",
            Some(false) => "NO",
            None => "?",
        };
        text.push_str(&format!("  {:>8}  {allowed:<8} {}\n", row.count, row.outcome));
    }
    let Stalls { late, stalled, example } = &comparison.stalls;
    if *late > 0 {
        text.push_str(&format!(
            "  a page came late in {late} repetitions, and held up another thread in {stalled}\n"
        ));
    }
    if let Some(example) = example {
        text.push_str(&format!("  {example}\n"));
    }
    if let Some(share) = comparison.share() {
        let (seen, all) = (comparison.seen(), comparison.allowed());
        let end = if comparison.exhaustive { "" } else { " that were found" };
        let percent = 100.0 * share;
        text.push_str(&format!(
            "  {seen} of {all} allowed outcomes{end} were seen ({percent:.0} %)\n"
        ));
    }
    text
}
