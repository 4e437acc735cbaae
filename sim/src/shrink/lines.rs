//! Drops lines of the schedule in words of a run.

use std::rc::Rc;

use ifq_model::revision::Variant;
use ifq_model::test::Test;
use ifq_model::test::schedule::{Switch, ThreadName};

use super::preemptions::Wanted;
use crate::executor::run::RunResult;
use crate::executor::schedule::{run_following, switches};

/// Longest schedule whose lines are dropped one by one.
const MAX_LINES: usize = 200;

/// A wanted run whose schedule in words has fewer lines. A change drops all lines before the first thread of the test,
/// or one line, and the run that follows the others decides. `None` if no change is accepted.
pub(super) fn fewest_lines(
    test: &Test,
    variant: &Variant,
    wanted: Wanted<'_>,
    decisions: &[u32],
) -> Option<RunResult> {
    let program = Rc::new(test.clone());
    let mut best: Option<RunResult> = None;
    let mut lines = switches(test, variant, decisions).filter(|lines| lines.len() <= MAX_LINES)?;
    let mut accept = |changed: &[Switch], lines: &mut Vec<Switch>| {
        let (run, deviation) = run_following(&program, variant, changed);
        if deviation.is_some() || !wanted(&run) {
            return false;
        }
        let Some(words) = switches(test, variant, &run.decisions) else { return false };
        if words.len() >= lines.len() {
            return false;
        }
        (*lines, best) = (words, Some(run));
        true
    };
    let is_test = |line: &Switch| matches!(line.thread, ThreadName::Test(_));
    if let Some(first) = lines.iter().position(is_test).filter(|first| *first > 0) {
        let changed = lines[first..].to_vec();
        accept(&changed, &mut lines);
    }
    let mut dropped = true;
    while std::mem::take(&mut dropped) {
        let mut i = 0;
        while i < lines.len() {
            let mut changed = lines.clone();
            changed.remove(i);
            if accept(&changed, &mut lines) {
                dropped = true;
            } else {
                i += 1;
            }
        }
    }
    best
}
