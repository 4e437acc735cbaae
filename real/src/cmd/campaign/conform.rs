//! Tests on kernels in a campaign. A case is a test; the machine boots once for a unit.
//!
//! What a kernel does is not a function of the plan, so only what the comparison says is stored, and no histogram.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ifq_model::test::Test;
use ifq_sim::format::{self, Input};

use crate::campaign::cause::without_numbers;
use crate::campaign::engine::{CaseResult, Engine, chunks};
use crate::campaign::plan::{ConformJob, PlanLimits};
use crate::campaign::record::{End, Shown, Small};
use crate::conform::compare::{Difference, Verdict};
use crate::conform::generated::{self, DrawKind};
use crate::conform::minimise::minimise;
use crate::conform::oracle::{Explorer, Oracle};
use crate::conform::progress::Progress;
use crate::conform::run::{
    AllowedCache, IDLE_TIMEOUT_MS, Interrupted, RunOptions, TestResult, run_tests,
};
use crate::kernels::supported::Equipment;
use crate::machine::{Failure, Machine};

/// Time of a search of the model, unless the plan says otherwise.
const SEARCH_SECONDS: u64 = 60;
/// Idle timeout of drawn tests: most of their waits that end without a completion are expected to.
const DRAWN_IDLE_TIMEOUT_MS: u64 = 60;
/// Repetitions of a test, unless the plan says otherwise.
const TIMES: u32 = 100;

pub(super) struct ConformEngine<'a> {
    job: ConformJob,
    /// The tests of files; empty if tests are drawn.
    inputs: &'a [Input],
    oracle: Arc<dyn Oracle>,
}

impl<'a> ConformEngine<'a> {
    pub(super) fn new(job: &ConformJob, inputs: &'a [Input], plan: PlanLimits) -> Self {
        let seconds = plan.search_seconds.unwrap_or(SEARCH_SECONDS);
        let time = Duration::from_secs(seconds);
        let oracle = Explorer { time, defects: job.defects.clone(), without: Vec::new() };
        ConformEngine { job: job.clone(), inputs, oracle: Arc::new(oracle) }
    }

    fn options(&self) -> RunOptions {
        let drawn = self.job.generate.is_some();
        let usual = if drawn && !self.job.races { 1 } else { TIMES };
        RunOptions {
            times: self.job.times.unwrap_or(usual),
            seed: self.job.seed,
            idle_timeout_ms: if drawn { DRAWN_IDLE_TIMEOUT_MS } else { IDLE_TIMEOUT_MS },
            observed_first: drawn,
        }
    }

    fn tests(&self, cases: &Range<u64>) -> Vec<Input> {
        if self.job.generate.is_none() {
            let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
            let (start, end) = (place(cases.start), place(cases.end));
            return self.inputs.get(start..end).unwrap_or_default().to_vec();
        }
        let kind = if self.job.races { DrawKind::Race } else { DrawKind::Sequence };
        let Equipment { queues, segment, .. } = self.job.on.equipment();
        let equipment = Equipment { queues, segment, ..Equipment::default() };
        let numbers = self.job.skip + cases.start..self.job.skip + cases.end;
        generated::draw(kind, self.job.seed, numbers, equipment)
    }

    fn results(
        &self,
        machine: &dyn Machine,
        tests: Vec<Test>,
        options: &RunOptions,
    ) -> Result<Vec<TestResult>, Interrupted> {
        let (cache, progress) = (Arc::new(AllowedCache::default()), Arc::new(Progress::hidden()));
        let ran = run_tests(machine, &Arc::new(tests), options, &self.oracle, &cache, &progress)?;
        Ok(ran.result)
    }

    /// Runs tests; those that differ by an outcome again with the longer timeout.
    fn compare(
        &self,
        machine: &dyn Machine,
        inputs: &[Input],
    ) -> Result<Vec<TestResult>, Interrupted> {
        let options = self.options();
        let tests = inputs.iter().map(|input| input.test.clone()).collect();
        let mut results = self.results(machine, tests, &options)?;
        let differs = |result: &TestResult| {
            result.comparison.difference == Some(Difference::Outcome)
                && options.idle_timeout_ms < IDLE_TIMEOUT_MS
        };
        let again: Vec<usize> = (0..results.len()).filter(|at| differs(&results[*at])).collect();
        if !again.is_empty() {
            let tests = again.iter().map(|at| inputs[*at].test.clone()).collect();
            let options = RunOptions { idle_timeout_ms: IDLE_TIMEOUT_MS, ..options };
            for (at, result) in again.iter().zip(self.results(machine, tests, &options)?) {
                results[*at] = result;
            }
        }
        Ok(results)
    }

    fn again(&self, input: &Input) -> String {
        let RunOptions { times, seed, .. } = self.options();
        let ConformJob { on, races, cpus, defects, .. } = &self.job;
        let tests = match generated::number(&input.path) {
            Some(number) => {
                let races = if *races { " --races" } else { "" };
                format!("--generate 1{races} --skip {number}")
            }
            None => input.path.clone(),
        };
        let cpus = if *cpus == 1 { String::new() } else { format!(" --cpus {cpus}") };
        let defects: String = defects.iter().map(|one| format!(" --defect {one}")).collect();
        format!("ifq conform {tests} --on {on} --times {times} --seed {seed}{cpus}{defects}")
    }

    fn end(&self, input: &Input, result: &TestResult) -> End {
        let comparison = &result.comparison;
        let reason = comparison.reason.clone();
        match comparison.verdict {
            Verdict::Agrees => End::Passed,
            Verdict::Bounded => End::Bounded(reason),
            Verdict::NotRun => End::NotRun(reason),
            Verdict::Differs => {
                // The test is part of the cause: which outcome differs says nothing without it.
                let cause = format!("{}: {}", input.test.name, without_numbers(&reason));
                let (kernel, again) = (self.job.on.to_string(), self.again(input));
                End::Failed(vec![Shown { cause, kernel, what: reason, again }])
            }
        }
    }
}

impl Engine for ConformEngine<'_> {
    fn name(&self) -> String {
        let ConformJob { on, files, generate, races, seed, .. } = &self.job;
        let tests = match generate {
            Some(count) => {
                format!(" --generate {count}{} --seed {seed}", if *races { " --races" } else { "" })
            }
            None => files.iter().map(|file| format!(" {}", file.display())).collect(),
        };
        format!("conform{tests} --on {on}")
    }

    fn units(&self) -> Vec<Range<u64>> {
        chunks(self.job.generate.unwrap_or(self.inputs.len() as u64), self.job.per_unit)
    }

    fn unit_name(&self, cases: &Range<u64>) -> String {
        let (first, last) = (cases.start, cases.end - 1);
        match self.job.generate {
            Some(_) => format!("drawn tests {} to {}", self.job.skip + first, self.job.skip + last),
            None => format!("files {first} to {last}"),
        }
    }

    fn run(&self, cases: Range<u64>) -> Option<Vec<CaseResult>> {
        let inputs = self.tests(&cases);
        let ends: Vec<End> = match self.job.on.machine_with(self.job.cpus) {
            Err(Failure::Interrupted) => return None,
            Err(Failure::NotRun(reason)) => vec![End::NotRun(reason); inputs.len()],
            Ok(machine) => {
                let results = self.compare(&*machine, &inputs).ok()?;
                inputs.iter().zip(&results).map(|(one, result)| self.end(one, result)).collect()
            }
        };
        let results = cases.zip(&inputs).zip(ends);
        let times = u64::from(self.options().times);
        let result = |((case, input), end): ((u64, &Input), End)| {
            let work = if matches!(end, End::NotRun(_)) { 0 } else { times };
            CaseResult { case, name: input.path.clone(), work, end }
        };
        Some(results.map(result).collect())
    }

    fn small(&self, case: u64, _: &Shown) -> Option<Small> {
        let input = self.tests(&(case..case + 1)).pop()?;
        let unchanged = |note: &str| Small {
            operations: input.test.steps().count() as u64,
            file: Some(format::print(&input.test)),
            note: note.to_owned(),
        };
        let machine = match self.job.on.machine_with(self.job.cpus) {
            Err(Failure::Interrupted) => return None,
            Err(Failure::NotRun(reason)) => return Some(unchanged(&format!("not run: {reason}"))),
            Ok(machine) => machine,
        };
        let result = self.compare(&*machine, std::slice::from_ref(&input)).ok()?.pop()?;
        if result.comparison.verdict != Verdict::Differs {
            return Some(unchanged("not minimised: it did not differ again"));
        }
        let progress = Arc::new(Progress::hidden());
        let options = self.options();
        let small = minimise(&*machine, &input.test, &result, &options, &self.oracle, &progress);
        let small = small.ok()?;
        let operations = small.test.steps().count() as u64;
        Some(Small { operations, file: Some(format::print(&small.test)), note: String::new() })
    }

    fn add_inputs(&self, hasher: &mut crc32fast::Hasher) {
        self.inputs.iter().for_each(|input| hasher.update(format::print(&input.test).as_bytes()));
    }
}
