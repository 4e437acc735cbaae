//! The explorer: an exhaustive search over all interleavings and all allowed faults of a test.
//!
//! The core idea is explicit-state depth-first search (Holzmann, "The Model Checker SPIN", IEEE Trans.
//! Software Eng. 23(5), 1997). Successors are computed from the step table instead of
//! by executing the model. The visited set holds fingerprints; a path that reaches a visited state ends.
//! Persistent sets, sleep sets and symmetry reduction prune the search.
//!
//! # Example
//! ```
//! use ifq_model::revision::{Revision, Variant};
//! use ifq_sim::format::parse;
//! use ifq_sim::search::explore::{Limits, explore};
//!
//! let text = "test t\nrevision import-7.3\nring A\nthread a\n A: exit\nexpect holds\n";
//! let test = parse("t", text).unwrap();
//! let found = explore(&test, &Variant::of(Revision::Import73), &Limits::default(), &mut |_| {});
//! assert!(found.exhaustive && found.counterexample.is_none());
//! ```
//!
//! Divergence from the kernel's memory model: interleavings are sequentially consistent. The loom suite
//! checks for missing barriers.

use std::rc::Rc;

use ifq_model::revision::Variant;
use ifq_model::test::Test;

use super::checkpoint::{Checkpoint, CheckpointError};
pub use super::exploration::{Exploration, Outcomes, Progress};
pub use super::limits::Limits;
use super::parallel::ProgramFactory;
use super::passes::{self, CheckpointSink};
use super::reference;
use crate::executor::run::{Program, with_program};

/// Computes the outcomes that a variant of the kernel allows.
#[must_use]
pub fn outcomes(test: &Test, variant: &Variant, limits: &Limits) -> Outcomes {
    let found = explore(test, variant, limits, &mut |_| {});
    Outcomes { set: found.outcomes, exhaustive: found.exhaustive && found.counterexample.is_none() }
}

/// Searches all runs of a test on a variant of the kernel, or those that match the test's schedule if it is in words.
/// Stops at the first violation. A search with a schedule uses no reduction, one processor and no checkpoint.
///
/// Calls `progress` after every few thousand transitions.
pub fn explore(
    test: &Test,
    variant: &Variant,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Exploration {
    let found = explore_with(test, variant, limits, None, progress);
    found.expect("a search without checkpoints cannot fail")
}

/// As [`explore`], with checkpoints: resumes from `checkpoint` if the file exists.
///
/// # Errors
/// If a checkpoint cannot be read or written, or belongs to another search.
pub fn explore_with(
    test: &Test,
    variant: &Variant,
    limits: &Limits,
    checkpoint: Option<&Checkpoint>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Exploration, CheckpointError> {
    if test.schedule.as_ref().is_some_and(|schedule| schedule.switches().is_some()) {
        return Ok(reference::explore(test, variant, limits));
    }
    let factory = |f: &mut dyn FnMut(&Program<'_>)| {
        with_program(&Rc::new(test.clone()), variant, |program| f(&limits.program(program)));
    };
    let factory = (limits.workers > 1).then_some(&factory as ProgramFactory<'_>);
    let checkpoints =
        checkpoint.map(|checkpoint| CheckpointSink { checkpoint, test, variant, limits });
    let found = with_program(&Rc::new(test.clone()), variant, |program| {
        passes::search(factory, checkpoints, &limits.program(program), limits, progress)
    })?;
    if let Some(checkpoint) = checkpoint.filter(|checkpoint| checkpoint.remove)
        && !found.limit_reached
    {
        checkpoint.remove_file()?;
    }
    Ok(found)
}

/// As [`explore`], for any program, on one worker and without checkpoints.
pub(crate) fn search(
    program: &Program<'_>,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Exploration {
    let found = passes::search(None, None, program, limits, progress);
    found.expect("a search without checkpoints cannot fail")
}
