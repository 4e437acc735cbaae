//! Tests on several machines: run, compared, looked at again, made smaller, stored.

use std::path::PathBuf;
use std::sync::Arc;

use ifq_model::test::{Expect, Test};
use ifq_sim::format::Input;

use super::measure::{Cache, Interrupted, Measured, Options, QUIET_MS, Results, measure};
use super::minimise::minimise;
use super::predict::Predict;
use super::progress::Progress;
use super::show::Shown;
use super::store::store;
use super::table::{Cell, Column};
use crate::compare::{Difference, Verdict};
use crate::machine::{self, Failure, On};

/// What is to be done with tests.
pub struct Campaign<'a> {
    /// How they are run.
    pub options: Options,
    /// What they are compared with.
    pub predict: Arc<dyn Predict>,
    /// Where differences are stored.
    pub out: PathBuf,
    /// So many differences of each machine are made smaller; the others are stored as they are.
    pub minimise: usize,
    /// Print each result as it comes, as JSON.
    pub json: bool,
    /// The command that repeats a test on a machine.
    pub again: &'a dyn Fn(&Input, &On) -> String,
    /// Where progress is shown.
    pub progress: Arc<Progress>,
}

impl std::fmt::Debug for Campaign<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Campaign").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A machine and what it has shown so far.
#[derive(Debug)]
pub struct Machine {
    /// Which.
    pub on: On,
    machine: Result<Box<dyn machine::Machine>, Failure>,
    /// Its results.
    pub column: Column,
    /// Why it is not started any more.
    failure: Option<String>,
    minimised: usize,
}

impl Machine {
    /// Nothing was run yet. `cpus`: of a guest in QEMU.
    #[must_use]
    pub fn new(on: On, cpus: u32) -> Self {
        let column = Column { machine: on.to_string(), ..Column::default() };
        Machine { machine: on.machine_with(cpus), on, column, failure: None, minimised: 0 }
    }
}

impl Campaign<'_> {
    /// Runs tests on each of the machines and adds a cell for each test to their columns.
    ///
    /// # Errors
    ///
    /// [`Interrupted`]; what was finished is in the columns.
    pub fn run(&self, inputs: &[Input], machines: &mut [Machine]) -> Result<(), Interrupted> {
        let tests: Arc<Vec<Test>> =
            Arc::new(inputs.iter().map(|input| input.test.clone()).collect());
        let cache = Arc::new(Cache::default());
        for machine in machines {
            self.progress.title(machine.on.to_string());
            let results = self.results(machine, &tests, &cache)?;
            machine.failure = results.failure;
            if machine.column.how.notes != results.how.notes {
                self.progress.clear();
                results.how.notes.iter().for_each(|note| eprintln!("ifq: {note}"));
            }
            machine.column.how = results.how;
            machine.column.kernel = results.kernel.or(machine.column.kernel.take());
            for (input, measured) in inputs.iter().zip(results.measured) {
                let cell = self.cell(machine, input, measured)?;
                machine.column.cells.push(cell);
            }
        }
        Ok(())
    }

    fn results(
        &self,
        machine: &Machine,
        tests: &Arc<Vec<Test>>,
        cache: &Arc<Cache>,
    ) -> Result<Results, Interrupted> {
        let machine = match (&machine.failure, &machine.machine) {
            (Some(reason), _) => return Ok(Results::none(tests, reason)),
            (None, Err(failure)) => return Ok(Results::none(tests, &failure.to_string())),
            (None, Ok(machine)) => &**machine,
        };
        let Campaign { options, predict, progress, .. } = self;
        let mut results = measure(machine, tests, options, predict, cache, progress)?;
        self.look_again(machine, tests, &mut results)?;
        Ok(results)
    }

    /// A quiet time that is shorter than usual is a guess: where a kernel differs by an outcome, the
    /// usual one decides.
    fn look_again(
        &self,
        machine: &dyn machine::Machine,
        tests: &[Test],
        results: &mut Results,
    ) -> Result<(), Interrupted> {
        if self.options.quiet_ms >= QUIET_MS {
            return Ok(());
        }
        let differs =
            |measured: &Measured| measured.comparison.difference == Some(Difference::Outcome);
        let again: Vec<usize> =
            (0..tests.len()).filter(|at| differs(&results.measured[*at])).collect();
        if again.is_empty() {
            return Ok(());
        }
        let chosen = Arc::new(again.iter().map(|at| tests[*at].clone()).collect());
        let options = Options { quiet_ms: QUIET_MS, ..self.options };
        let cache = Arc::new(Cache::default());
        let seen = measure(machine, &chosen, &options, &self.predict, &cache, &self.progress)?;
        for (at, measured) in again.into_iter().zip(seen.measured) {
            results.measured[at] = measured;
        }
        Ok(())
    }

    /// The cell of a test: a difference is made smaller and stored first.
    fn cell(
        &self,
        machine: &mut Machine,
        input: &Input,
        measured: Measured,
    ) -> Result<Cell, Interrupted> {
        let differs = measured.comparison.verdict == Verdict::Differs;
        let stored = if differs { Some(self.keep(machine, input, &measured)?) } else { None };
        let again = (self.again)(input, &machine.on);
        if self.json {
            self.progress.clear();
            self.shown(machine, &input.test, &measured, stored.as_deref(), &again).print_json();
        }
        Ok(Cell { measured, stored })
    }

    fn shown<'s>(
        &self,
        machine: &'s Machine,
        test: &'s Test,
        measured: &'s Measured,
        stored: Option<&'s str>,
        again: &'s str,
    ) -> Shown<'s> {
        let Column { machine, kernel, how, .. } = &machine.column;
        let (kernel, options) = (kernel.as_deref(), self.options);
        Shown { test: &test.name, machine, kernel, how, measured, options, stored, again }
    }

    /// Stores a difference; where, or why not.
    fn keep(
        &self,
        machine: &mut Machine,
        input: &Input,
        measured: &Measured,
    ) -> Result<String, Interrupted> {
        let (mut test, mut measured) = (input.test.clone(), measured.clone());
        let mut notes = vec![format!("found by: {}", (self.again)(input, &machine.on))];
        let mut options = self.options;
        if let Ok(kernel) = &machine.machine
            && machine.minimised < self.minimise
        {
            machine.minimised += 1;
            let Campaign { predict, progress, .. } = self;
            let small = minimise(&**kernel, &test, &measured, &options, predict, progress)?;
            let end = match small.exact {
                true => "no change makes it smaller still",
                false => "it may not be the smallest",
            };
            notes.push(format!("{} tests were run to make it smaller; {end}", small.tried));
            (test, measured, options) = (small.test, small.measured, small.options);
        } else {
            notes.push("not made smaller".to_owned());
        }
        if let Some(variant) = &measured.variant {
            test.revisions = vec![variant.revision];
            test.shows.clear();
            test.expect = vec![Expect::default()];
        }
        let Options { times, seed, quiet_ms } = options;
        let shown = self.shown(machine, &test, &measured, None, "");
        let path = store(&self.out, &test, &shown, &notes);
        let path = match path {
            Ok(path) => path.display().to_string(),
            Err(error) => return Ok(format!("not stored: {error}")),
        };
        let on = &machine.on;
        let again = format!(
            "ifq conform {path} --on {on} --times {times} --seed {seed} --quiet-ms {quiet_ms}"
        );
        notes.push(format!("again: {again}"));
        let shown = Shown { again: &again, ..shown };
        // Only now is it known where it is.
        Ok(store(&self.out, &test, &shown, &notes)
            .map_or_else(|e| e, |path| path.display().to_string()))
    }
}
