//! Prints one result: as text, or as JSON.

use ifq_model::revision::{Revision, Variant};
use serde::Serialize;

use super::run::{RunOptions, TestResult};
use crate::conform::compare::{HistogramRow, KnownCrash, Verdict};
use crate::job::DevicePackets;
use crate::job::start_skew::StartSkew;
use crate::job::{RunInfo, Stalls};
use crate::kernels::series::{built_as, is_newer, note};

/// The result of a test on one machine, with the context that is printed with it.
#[derive(Clone, Copy, Debug)]
pub struct ResultView<'a> {
    /// The name of the test.
    pub test: &'a str,
    /// The machine, as on the command line.
    pub machine: &'a str,
    /// The release of the kernel, if known.
    pub kernel: Option<&'a str>,
    /// How the machine was run.
    pub how: &'a RunInfo,
    /// The result.
    pub result: &'a TestResult,
    /// How the test was run.
    pub options: RunOptions,
    /// The file that holds the difference.
    pub stored: Option<&'a str>,
    /// The command that repeats the run.
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
    /// The proposal that the kernel is the base of.
    base_of: Option<&'static str>,
    newer_than_model: bool,
    revision_note: Option<String>,
    defects: Vec<&'static str>,
    without: Vec<&'static str>,
    result: Verdict,
    reason: &'a str,
    times: u32,
    seed: u64,
    histogram: &'a [HistogramRow],
    allowed: usize,
    seen: usize,
    share: Option<f64>,
    exhaustive: bool,
    divergences: &'a [String],
    /// The defect that may crash this kernel in this test, and what was seen of it.
    crash: Option<&'a KnownCrash>,
    stalls: &'a Stalls,
    spread: Option<StartSkew>,
    packets: Option<DevicePackets>,
    stored: Option<&'a str>,
    again: &'a str,
}

impl ResultView<'_> {
    fn kernel(&self) -> &str {
        self.kernel.unwrap_or("unknown")
    }

    /// Prints the result as one line of JSON.
    pub fn print_json(&self) {
        let TestResult { variant, comparison } = self.result;
        let names = |defects: &[ifq_model::revision::Defect]| {
            defects.iter().map(|defect| defect.name()).collect()
        };
        let revision = |base| {
            let revision = variant.as_ref().map(|variant| variant.revision);
            let of_base =
                |of: &Revision| of.has_clone() && self.kernel.and_then(built_as).is_none();
            revision.filter(|of| of_base(of) == base).map(Revision::name)
        };
        let line = Line {
            test: self.test,
            machine: self.machine,
            kernel: self.kernel(),
            accelerated: self.how.accelerated,
            cpus: self.how.cpus,
            boots: self.how.boots,
            notes: &self.how.notes,
            revision: revision(false),
            base_of: revision(true),
            newer_than_model: self.kernel.is_some_and(is_newer),
            revision_note: self.kernel.and_then(note),
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
            divergences: &comparison.divergences,
            crash: comparison.crash.as_ref(),
            stalls: &comparison.stalls,
            spread: comparison.start_skew,
            packets: comparison.packets,
            stored: self.stored,
            again: self.again,
        };
        if let Ok(line) = serde_json::to_string(&line) {
            outln!("{line}");
        }
    }

    /// Prints the verdict, the reason, and the observed outcomes beside the allowed ones.
    pub fn print(&self) {
        let comparison = &self.result.comparison;
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
            out!("{}", histogram(self.result, self.kernel));
        }
        out!("{}", crash(comparison.crash.as_ref()));
        if let Some(DevicePackets { placed, ordinary, zero_copy, copied, failed, .. }) =
            comparison.packets
        {
            if failed > 0 {
                outln!("  the NIC had no memory for a queue {failed} times, as the test allows");
            }
            outln!(
                "  packets of the NIC: {placed} in the memory of an ifq, {ordinary} in ordinary pages; \
                 completions: {zero_copy} without a copy, {copied} with"
            );
        }
        if !comparison.divergences.is_empty() {
            outln!("  the difference may come from what the model simplifies or leaves out here:");
        }
        for divergence in &comparison.divergences {
            outln!("    {divergence}");
        }
        if let Some(stored) = self.stored {
            outln!("  stored: {stored}");
        }
        outln!("  repeat: {}", self.again);
    }
}

/// What was seen of a defect that may crash the kernel.
#[must_use]
pub fn crash(crash: Option<&KnownCrash>) -> String {
    let Some(KnownCrash { invariant, seen }) = crash else { return String::new() };
    let Some(seen) = seen else {
        return format!(
            "  the kernel breaks {invariant} here according to the model, and reported nothing\n"
        );
    };
    let lines: String = seen.lines().map(|line| format!("    {line}\n")).collect();
    format!("  the kernel breaks {invariant} here, as the model says:\n{lines}")
}

/// What a kernel was compared with: a proposal is in no kernel but one that was built as it, only its base is.
#[must_use]
pub fn compared_with(variant: &Variant, kernel: Option<&str>) -> String {
    if variant.revision.has_clone() && kernel.and_then(built_as).is_none() {
        format!("the base of {variant}")
    } else {
        variant.to_string()
    }
}

/// One row for each outcome, and the share of the allowed outcomes that was observed.
#[must_use]
pub fn histogram(result: &TestResult, kernel: Option<&str>) -> String {
    let TestResult { variant, comparison } = result;
    let by = variant.as_ref().map_or("no revision".to_owned(), |of| compared_with(of, kernel));
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
    let Stalls { late, stalled, examples } = &comparison.stalls;
    if *late > 0 {
        text.push_str(&format!(
            "  a page fault was delayed in {late} repetitions, and blocked another thread in {stalled}\n"
        ));
    }
    for example in examples.values() {
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
