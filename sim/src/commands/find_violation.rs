//! Finds the violation that a test is shrunk for.

use std::rc::Rc;

use ifq_model::revision::Variant;
use ifq_model::test::{Schedule, Test};

use crate::commands::replay::replay;
use crate::commands::selection::Selection;
use crate::executor::counterexample::Counterexample;
use crate::search::explore::{Limits, Progress, explore};

/// The variant and the run that violate an invariant: the run of the test's schedule, or the first
/// one that a search of the selected variants finds.
///
/// # Errors
/// A sentence that says why there is no such run.
pub fn find_violation(
    selection: &Selection,
    test: &Test,
    max_states: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Variant, Counterexample), String> {
    if let Some(schedule) = &test.schedule {
        if selection.changes_defects() || selection.revision.is_some() {
            return Err("has a schedule, which already names its revision and defects".to_owned());
        }
        return replay_violation(test, schedule);
    }
    let variants = candidates(selection, test)?;
    let limits = Limits { max_states, ..Limits::default() };
    let mut bounded = false;
    for variant in &variants {
        let seen = explore(test, variant, &limits, progress);
        if let Some(found) = seen.counterexample {
            return Ok((variant.clone(), found));
        }
        bounded |= !seen.exhaustive;
    }
    let names: Vec<String> = variants.iter().map(Variant::to_string).collect();
    let names = names.join(", ");
    Err(if bounded {
        format!("no violation within {max_states} states on {names}; raise --max-states")
    } else {
        format!("there is nothing to shrink: every invariant holds on {names}")
    })
}

/// The selected variants of a test; without a selection its own ones, and first those on which the
/// test expects a violation.
fn candidates(selection: &Selection, test: &Test) -> Result<Vec<Variant>, String> {
    let variants: Vec<Variant> = if selection.changes_defects() {
        selection.variants(test).into_iter().flatten().collect()
    } else {
        let mut variants = test.variants();
        variants.retain(|variant| selection.includes(variant.revision));
        variants.sort_by_key(|variant| test.expected(variant).is_none());
        variants
    };
    if variants.is_empty() { Err("has no such variant".to_owned()) } else { Ok(variants) }
}

/// The run of a counterexample's file.
fn replay_violation(test: &Test, schedule: &Schedule) -> Result<(Variant, Counterexample), String> {
    let replayed = replay(&Rc::new(test.clone()), schedule);
    if let Some(at) = replayed.diverged_at {
        return Err(format!("decision {at} of the schedule does not fit: that thread cannot run"));
    }
    let run = replayed.run;
    let (decisions, steps) = (run.decisions, run.steps);
    match run.violation {
        Some(violation) => Ok((replayed.variant, Counterexample { violation, decisions, steps })),
        None if run.step_limit_hit => Err(format!("the run was given up after {steps} steps")),
        None => Err("there is nothing to shrink: the run violates no invariant".to_owned()),
    }
}
