//! A campaign: runs tests on several machines, compares, confirms, minimises and stores differences.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ifq_model::test::{Expect, Test};
use ifq_sim::format::Input;

use super::minimise::minimise;
use super::oracle::Oracle;
use super::progress::Progress;
use super::result_view::ResultView;
use super::run::{
    AllowedCache, IDLE_TIMEOUT_MS, Interrupted, MachineResults, RunOptions, TestResult, run_tests,
};
use super::store::store;
use super::table::{Cell, Column};
use crate::conform::compare::{Difference, Verdict};
use crate::kernels::series::note;
use crate::machine::{self, Failure, MachineSpec};

/// The configuration of a campaign.
pub struct Campaign<'a> {
    /// How tests are run.
    pub options: RunOptions,
    /// The source of the allowed outcomes.
    pub oracle: Arc<dyn Oracle>,
    /// Where differences are stored.
    pub out: PathBuf,
    /// Number of differences of each machine that are minimised; the others are stored unchanged.
    pub minimise: usize,
    /// Print each result as JSON at once.
    pub json: bool,
    /// The command that repeats a test on a machine.
    pub again: &'a dyn Fn(&Input, &MachineSpec) -> String,
    /// Where progress is shown.
    pub progress: Arc<Progress>,
    /// A difference could not be stored.
    pub unwritten: AtomicBool,
}

impl std::fmt::Debug for Campaign<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Campaign").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A machine with its results so far.
#[derive(Debug)]
pub struct CampaignMachine {
    /// Its name.
    pub on: MachineSpec,
    machine: Result<Box<dyn machine::Machine>, Failure>,
    /// Its results.
    pub column: Column,
    /// Why it is not started again.
    failure: Option<String>,
    minimised: usize,
}

impl CampaignMachine {
    /// A machine without results. `cpus`: processors of a QEMU guest.
    #[must_use]
    pub fn new(on: MachineSpec, cpus: u32) -> Self {
        let column = Column { machine: on.to_string(), ..Column::default() };
        CampaignMachine { machine: on.machine_with(cpus), on, column, failure: None, minimised: 0 }
    }
}

impl Campaign<'_> {
    /// Runs tests on each of the machines and adds a cell for each test to their columns.
    ///
    /// # Errors
    ///
    /// [`Interrupted`]; the finished results are in the columns.
    pub fn run(
        &self,
        inputs: &[Input],
        machines: &mut [CampaignMachine],
    ) -> Result<(), Interrupted> {
        let tests: Arc<Vec<Test>> =
            Arc::new(inputs.iter().map(|input| input.test.clone()).collect());
        let cache = Arc::new(AllowedCache::default());
        for machine in machines {
            self.progress.title(machine.on.to_string());
            let results = self.results(machine, &tests, &cache)?;
            machine.failure = results.failure;
            if machine.column.how.notes != results.how.notes {
                self.progress.clear();
                results.how.notes.iter().for_each(|note| errln!("ifq: {note}"));
            }
            machine.column.how = results.how;
            if let Some(note) = results.kernel.as_deref().and_then(note)
                && machine.column.kernel.is_none()
            {
                self.progress.clear();
                errln!("ifq: {note}");
            }
            machine.column.kernel = results.kernel.or(machine.column.kernel.take());
            for (input, result) in inputs.iter().zip(results.result) {
                let cell = self.cell(machine, input, result)?;
                machine.column.cells.push(cell);
            }
        }
        Ok(())
    }

    fn results(
        &self,
        machine: &CampaignMachine,
        tests: &Arc<Vec<Test>>,
        cache: &Arc<AllowedCache>,
    ) -> Result<MachineResults, Interrupted> {
        let machine = match (&machine.failure, &machine.machine) {
            (Some(reason), _) => return Ok(MachineResults::none(tests, reason)),
            (None, Err(failure)) => return Ok(MachineResults::none(tests, &failure.to_string())),
            (None, Ok(machine)) => &**machine,
        };
        let Campaign { options, oracle, progress, .. } = self;
        let mut results = run_tests(machine, tests, options, oracle, cache, progress)?;
        self.recheck(machine, tests, &mut results)?;
        Ok(results)
    }

    /// Runs tests that differ by an outcome again with the default idle timeout, because a shorter one
    /// may have ended a wait too early.
    fn recheck(
        &self,
        machine: &dyn machine::Machine,
        tests: &[Test],
        results: &mut MachineResults,
    ) -> Result<(), Interrupted> {
        if self.options.idle_timeout_ms >= IDLE_TIMEOUT_MS {
            return Ok(());
        }
        let differs =
            |result: &TestResult| result.comparison.difference == Some(Difference::Outcome);
        let again: Vec<usize> =
            (0..tests.len()).filter(|at| differs(&results.result[*at])).collect();
        if again.is_empty() {
            return Ok(());
        }
        let chosen = Arc::new(again.iter().map(|at| tests[*at].clone()).collect());
        let options = RunOptions { idle_timeout_ms: IDLE_TIMEOUT_MS, ..self.options };
        let cache = Arc::new(AllowedCache::default());
        let seen = run_tests(machine, &chosen, &options, &self.oracle, &cache, &self.progress)?;
        for (at, result) in again.into_iter().zip(seen.result) {
            results.result[at] = result;
        }
        Ok(())
    }

    /// The cell of a test. A difference is minimised and stored.
    fn cell(
        &self,
        machine: &mut CampaignMachine,
        input: &Input,
        result: TestResult,
    ) -> Result<Cell, Interrupted> {
        let differs = result.comparison.verdict == Verdict::Differs;
        let stored = if differs { Some(self.keep(machine, input, &result)?) } else { None };
        let again = (self.again)(input, &machine.on);
        if self.json {
            self.progress.clear();
            self.shown(machine, &input.test, &result, stored.as_deref(), &again).print_json();
        }
        Ok(Cell { result, stored })
    }

    fn shown<'s>(
        &self,
        machine: &'s CampaignMachine,
        test: &'s Test,
        result: &'s TestResult,
        stored: Option<&'s str>,
        again: &'s str,
    ) -> ResultView<'s> {
        let Column { machine, kernel, how, .. } = &machine.column;
        let (kernel, options) = (kernel.as_deref(), self.options);
        ResultView { test: &test.name, machine, kernel, how, result, options, stored, again }
    }

    /// Minimises and stores a difference. Returns the file, or why it was not written.
    fn keep(
        &self,
        machine: &mut CampaignMachine,
        input: &Input,
        result: &TestResult,
    ) -> Result<String, Interrupted> {
        let (mut test, mut result) = (input.test.clone(), result.clone());
        let mut notes = vec![format!("found by: {}", (self.again)(input, &machine.on))];
        let mut options = self.options;
        if let Ok(kernel) = &machine.machine
            && machine.minimised < self.minimise
        {
            machine.minimised += 1;
            let Campaign { oracle, progress, .. } = self;
            let small = minimise(&**kernel, &test, &result, &options, oracle, progress)?;
            let end = match small.exact {
                true => "no single change makes it smaller",
                false => "it may not be the smallest",
            };
            notes.push(format!("{} tests were run to minimise it; {end}", small.tried));
            (test, result, options) = (small.test, small.result, small.options);
        } else {
            notes.push("not minimised".to_owned());
        }
        if let Some(variant) = &result.variant {
            test.revisions = vec![variant.revision];
            test.shows.clear();
            test.expect = vec![Expect::default()];
            test.conditions.clear();
        }
        let RunOptions { times, seed, idle_timeout_ms, .. } = options;
        let shown = self.shown(machine, &test, &result, None, "");
        let path = store(&self.out, &test, &shown, &notes);
        let path = match path {
            Ok(path) => path.display().to_string(),
            Err(error) => {
                // Not lost: the test is printed.
                let text = ifq_sim::format::print(&test);
                self.progress.clear();
                errln!("ifq: cannot write {error}; this is the file:\n{text}");
                self.unwritten.store(true, Ordering::Relaxed);
                return Ok(format!("not stored: {error}"));
            }
        };
        let on = &machine.on;
        let again = format!(
            "ifq conform {path} --on {on} --times {times} --seed {seed} --idle-timeout-ms {idle_timeout_ms}"
        );
        notes.push(format!("repeat: {again}"));
        let shown = ResultView { again: &again, ..shown };
        // Write it again: the command contains the path.
        Ok(store(&self.out, &test, &shown, &notes)
            .map_or_else(|e| e, |path| path.display().to_string()))
    }
}
