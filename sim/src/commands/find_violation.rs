//! Finds the violation that a test is shrunk for.

use std::rc::Rc;

use ifq_model::revision::Variant;
use ifq_model::test::{Schedule, Test};

use crate::commands::replay::replay;
use crate::commands::selection::Selection;
use crate::executor::counterexample::Counterexample;
use crate::report::unfollowed::unfollowed_text;
use crate::search::explore::{Limits, Progress, explore};

/// Why there is no run to shrink.
#[derive(Debug, thiserror::Error)]
pub enum NoViolation {
    /// A limit ended a search, so it is not known whether there is one.
    #[error("{0}")]
    Bounded(String),
    /// There is none, or the selection does not fit the test.
    #[error("{0}")]
    None(String),
}

/// The variant and the run that violate an invariant: the run of the test's schedule, or the first
/// one that a search of the selected variants finds.
///
/// # Errors
/// [`NoViolation`]: why there is no such run.
pub fn find_violation(
    selection: &Selection,
    test: &Test,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Variant, Counterexample), NoViolation> {
    if let Some(schedule) = &test.schedule {
        if selection.changes_defects() || selection.revision.is_some() {
            let why = "has a schedule, which already names its revision and defects";
            return Err(NoViolation::None(why.to_owned()));
        }
        return replay_violation(test, schedule).map_err(NoViolation::None);
    }
    let variants = candidates(selection, test).map_err(NoViolation::None)?;
    let mut bounded = false;
    for variant in &variants {
        let seen = explore(test, variant, limits, progress);
        if let Some(found) = seen.counterexample {
            return Ok((variant.clone(), found));
        }
        bounded |= !seen.exhaustive;
    }
    let names: Vec<String> = variants.iter().map(Variant::to_string).collect();
    let names = names.join(", ");
    Err(if bounded {
        let max = limits.max_states;
        let why =
            format!("bounded: no violation within {max} states on {names}; raise --max-states");
        NoViolation::Bounded(why)
    } else {
        let why = format!("there is nothing to shrink: every invariant holds on {names}");
        NoViolation::None(why)
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
    if let Some(unfollowed) = &replayed.unfollowed {
        return Err(format!("no run matches the schedule: {}", unfollowed_text(test, unfollowed)));
    }
    let run = replayed.run;
    let (decisions, steps) = (run.decisions, run.steps);
    match run.violation {
        Some(violation) => Ok((replayed.variant, Counterexample { violation, decisions, steps })),
        None if run.step_limit_hit => Err(format!("the run was given up after {steps} steps")),
        None => Err("there is nothing to shrink: the run violates no invariant".to_owned()),
    }
}
