//! Unfair infinite paths.

use super::Dfs;
use crate::executor::run::{Program, RunResult, run};
use crate::executor::scheduler::RoundRobin;

impl Dfs<'_> {
    /// Whether the path is truncated here. At each power of two, extends the path by a fair schedule. If the
    /// fair extension is infinite, it is a counterexample to I4; if only the path itself was unfair, it is
    /// truncated.
    pub(super) fn check_fair_extension(&mut self, steps: u64) -> bool {
        if !steps.is_power_of_two() {
            return false;
        }
        let program = Program { max_steps: self.program.max_steps.min(steps * 8), ..*self.program };
        let extend = |decisions: &[u32]| run(&program, Box::new(RoundRobin::new(decisions)), false);
        let extended = extend(&self.decisions);
        let unfair = extended.unfair_lasso;
        if extended.violation.is_some() {
            // Prefixes of doubling length: the first one whose extension has the same violation is reported.
            let lengths = std::iter::successors(Some(0), |length| Some(length * 2 + 1));
            let lengths = lengths.take_while(|length| *length < self.decisions.len());
            let same_violation = |run: &RunResult| {
                run.violation.as_ref().map(|v| v.invariant)
                    == extended.violation.as_ref().map(|v| v.invariant)
            };
            let shorter =
                lengths.map(|length| extend(&self.decisions[..length])).find(same_violation);
            self.take_counterexample(shorter.unwrap_or(extended));
        }
        self.found.is_some() || unfair
    }
}
