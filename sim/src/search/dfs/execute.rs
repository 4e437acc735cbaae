//! Executes steps of the path, and turns violations into counterexamples.

use super::Dfs;
use crate::executor::counterexample::Counterexample;
use crate::executor::run::RunResult;
use crate::search::fault_choices::FaultChoices;
use crate::search::state::{StepResult, UndoPoint};
use crate::step_table::lookahead_steps;

impl Dfs<'_> {
    /// Takes one step. An unknown step is executed and recorded in the table first.
    pub(super) fn step(
        &mut self,
        thread: usize,
        undo_point: &UndoPoint,
        choices: &mut FaultChoices,
    ) -> StepResult {
        loop {
            let result = self.state.step(&self.table, thread, choices);
            if result != StepResult::Unknown {
                return result;
            }
            self.state.undo(&self.table, undo_point);
            let nodes = self.table.nodes.len();
            let before = self.decisions.len();
            self.decisions.push(thread as u32);
            self.decisions.extend(choices.taken().iter().map(|fails| u32::from(*fails)));
            let ahead = lookahead_steps(&self.decisions);
            let run = self.table.record_path(self.program, &self.decisions, ahead);
            self.recorded_paths.push(self.decisions.clone());
            self.decisions.truncate(before);
            self.counts.runs += 1;
            self.counts.run_steps += run.steps;
            self.state.grow(&self.table);
            if self.table.nodes.len() == nodes {
                // The run ended before this step: a persistent set from the incomplete table hid a race.
                self.take_counterexample(run);
                return StepResult::Violation;
            }
        }
    }

    /// Executes the path to its end, where a violation occurs, and takes the counterexample.
    pub(super) fn report_violation(&mut self) {
        if self.found.is_some() {
            return;
        }
        let run = self.table.record_path(self.program, &self.decisions, 0);
        self.state.grow(&self.table);
        self.counts.runs += 1;
        self.counts.run_steps += run.steps;
        self.take_counterexample(run);
    }

    /// Takes the violation of a run as counterexample.
    pub(super) fn take_counterexample(&mut self, run: RunResult) {
        let Some(violation) = run.violation else {
            panic!("the step table has a violation that no run has, after {:?}", run.decisions);
        };
        let (decisions, steps) = (run.decisions, run.steps);
        self.found = Some(Counterexample { violation, decisions, steps });
    }
}
