//! Searches of test files in a campaign. A case is a file on a variant, and a unit is a file.

use std::ops::Range;
use std::time::Duration;

use ifq_model::revision::Variant;
use ifq_model::test::Test;
use ifq_sim::commands::selection::Selection;
use ifq_sim::format::{self, Input};
use ifq_sim::report::verdict::{VerdictRow, row};
use ifq_sim::search::explore::{Limits, explore};
use ifq_sim::shrink::{self, shrink};

use crate::campaign::cause::{of_violation, without_numbers};
use crate::campaign::engine::{CaseResult, Engine, each};
use crate::campaign::plan::{CheckJob, PlanLimits};
use crate::campaign::record::{End, Shown, Small};
use crate::cmd::check::selected;
use crate::cmd::check_outcomes::{RecordedInput, failures, results};
use crate::cmd::pool::Bar;
use crate::machine::{interrupt_flag, interrupted};

/// Limits of each search. One worker, because more find states in another order.
pub(super) fn limits(plan: PlanLimits) -> Limits {
    let usual = Limits::default();
    Limits {
        max_states: plan.search_states.unwrap_or(usual.max_states),
        max_time: plan.search_seconds.map(Duration::from_secs),
        workers: 1,
        stop: Some(interrupt_flag()),
        ..usual
    }
}

/// The smaller test of a violation that a search has found. `None`: interrupted.
pub(super) fn shrunk(test: &Test, variant: &Variant, limits: &Limits) -> Option<Small> {
    let found = explore(test, variant, limits, &mut |_| {}).counterexample;
    let small = match found {
        Some(found) => {
            let limits = Limits { max_states: shrink::STATES, ..*limits };
            let small = shrink(test, variant, &found, &limits, &mut |_, _| {});
            let operations = small.test.steps().count() as u64;
            let note = String::new();
            Small { operations, file: Some(format::print(&small.test)), note }
        }
        None => no_file("the search did not find the violation again"),
    };
    (!interrupted()).then_some(small)
}

/// No minimised test, and why.
pub(super) fn no_file(why: &str) -> Small {
    Small { operations: 0, file: None, note: why.to_owned() }
}

pub(super) struct CheckEngine<'a> {
    job: CheckJob,
    inputs: Vec<RecordedInput<'a>>,
    texts: Vec<String>,
    paths: Vec<&'a str>,
    /// The file and the variant of each case, or why the selection does not apply to the file.
    cases: Vec<(usize, Result<Variant, String>)>,
    limits: Limits,
}

impl<'a> CheckEngine<'a> {
    /// # Errors
    /// Recorded outcomes cannot be read.
    pub(super) fn new(
        job: &CheckJob,
        inputs: &'a [Input],
        plan: PlanLimits,
    ) -> Result<Self, String> {
        let built_in = job.files.is_empty();
        let selection = Selection {
            revision: job.revision,
            defects: job.defects.clone(),
            without: job.without.clone(),
            fixed: job.fixed,
        };
        let recorded = inputs.iter().map(|input| RecordedInput::load(input, built_in));
        let recorded: Result<Vec<_>, _> = recorded.collect();
        let recorded = recorded.map_err(|error| error.to_string())?;
        let mut cases = Vec::new();
        for (at, input) in inputs.iter().enumerate() {
            cases.extend(selected(&selection, &input.test).into_iter().map(|one| (at, one)));
        }
        Ok(CheckEngine {
            job: job.clone(),
            texts: inputs.iter().map(|input| format::print(&input.test)).collect(),
            paths: inputs.iter().map(|input| input.path.as_str()).collect(),
            inputs: recorded,
            cases,
            limits: limits(plan),
        })
    }

    fn case(&self, case: u64) -> Option<&(usize, Result<Variant, String>)> {
        self.cases.get(usize::try_from(case).ok()?)
    }

    fn name_of(&self, (file, variant): &(usize, Result<Variant, String>)) -> String {
        let path = self.paths[*file];
        variant.as_ref().map_or_else(|_| path.to_owned(), |on| format!("{path} on {on}"))
    }

    fn search(&self, case: &(usize, Result<Variant, String>)) -> Option<(u64, End)> {
        let (input, path) = (&self.inputs[case.0], self.paths[case.0]);
        let variant = match &case.1 {
            Ok(variant) => variant,
            Err(reason) => return Some((0, End::NotRun(reason.clone()))),
        };
        let test = input.test();
        let found = explore(test, variant, &self.limits, &mut |_| {});
        let results = results(input, (test, variant), &found, &self.limits, &Bar::hidden());
        if interrupted() {
            return None;
        }
        let row = row(test, variant, &found).with_results(results);
        let end = if row.as_expected {
            End::Passed
        } else if row.is_refuted() {
            End::Failed(self.shown(input, path, variant, &row))
        } else {
            End::Bounded(row.says())
        };
        Some((found.states, end))
    }

    fn shown(
        &self,
        input: &RecordedInput<'_>,
        path: &str,
        variant: &Variant,
        row: &VerdictRow,
    ) -> Vec<Shown> {
        let shown = |cause: String, what: String| Shown {
            cause,
            kernel: variant.to_string(),
            what,
            again: format!("ifq check {path} --revision {}{}", variant.revision, self.arguments()),
        };
        let mut all = Vec::new();
        if let (Some(invariant), Some(what)) = (row.invariant, &row.what) {
            // An expected violation is no failure.
            if row.expected != format!("violates {invariant}") {
                let violation = ifq_model::invariant::Violation { invariant, what: what.clone() };
                all.push(shown(of_violation(&violation), violation.to_string()));
            }
        } else if row.expected != "holds" {
            let what = format!("{}: expected: {}, but {}", row.test, row.expected, row.says());
            all.push(shown(what.clone(), what));
        }
        for failure in failures(input, row) {
            let text = failure.text.trim_end().replace('\n', "; ");
            let first = text.split("; ").next().unwrap_or_default();
            all.push(shown(without_numbers(first), text.clone()));
        }
        if all.is_empty() {
            let what = format!("{}: {}", row.test, row.says());
            all.push(shown(what.clone(), what));
        }
        all
    }

    /// The arguments of `ifq check` that change defects.
    fn arguments(&self) -> String {
        let CheckJob { defects, without, fixed, .. } = &self.job;
        let defects = defects.iter().map(|defect| format!(" --defect {defect}"));
        let without = without.iter().map(|defect| format!(" --without {defect}"));
        defects.chain(without).chain(fixed.then(|| " --fixed".to_owned())).collect()
    }
}

impl Engine for CheckEngine<'_> {
    fn name(&self) -> String {
        let files: String =
            self.job.files.iter().map(|file| format!(" {}", file.display())).collect();
        let revision = self.job.revision.map(|revision| format!(" --revision {revision}"));
        format!("check{files}{}{}", revision.unwrap_or_default(), self.arguments())
    }

    fn units(&self) -> Vec<Range<u64>> {
        let mut units: Vec<(usize, Range<u64>)> = Vec::new();
        for (case, (file, _)) in (0..).zip(&self.cases) {
            match units.last_mut() {
                Some((last, cases)) if last == file => cases.end = case + 1,
                _ => units.push((*file, case..case + 1)),
            }
        }
        units.into_iter().map(|(_, cases)| cases).collect()
    }

    fn unit_name(&self, cases: &Range<u64>) -> String {
        self.case(cases.start).map_or_else(String::new, |(file, _)| self.paths[*file].to_owned())
    }

    fn run(&self, cases: Range<u64>) -> Option<Vec<CaseResult>> {
        let cases = cases.filter_map(|case| Some((case, self.case(case)?)));
        each(cases, |case| self.name_of(case), |case| self.search(case))
    }

    fn small(&self, case: u64, shown: &Shown) -> Option<Small> {
        let case = self.case(case)?;
        let (input, Ok(variant)) = (&self.inputs[case.0], &case.1) else {
            return Some(no_file("it was not run"));
        };
        let test = input.test();
        if !shown.cause.starts_with('I') || test.expected(variant).is_some() {
            // Not a violation: the file itself shows it.
            return Some(no_file("the test file shows it"));
        }
        shrunk(test, variant, &self.limits)
    }

    fn add_inputs(&self, hasher: &mut crc32fast::Hasher) {
        self.texts.iter().for_each(|text| hasher.update(text.as_bytes()));
    }
}
