//! What the model allows, asked of the explorer.

use std::time::Duration;

use ifq_model::revision::Variant;
use ifq_model::scenario::Test;
use ifq_sim::explore::{Limits, explore};

use crate::compare::Allowed;

/// The outcomes that a variant of the model allows. The search gives up after `time`; what it
/// found until then is not exhaustive.
///
/// # Errors
///
/// Why nothing is known, for people.
pub fn allowed(test: &Test, variant: &Variant, time: Duration) -> Result<Allowed, String> {
    let limits = Limits { max_time: Some(time), ..Limits::default() };
    // A defect of the explorer costs this test's answer and not that of the others.
    let found = std::panic::catch_unwind(|| explore(test, variant, &limits, &mut |_| {}))
        .map_err(|_| "the explorer panicked".to_string())?;
    match found.counterexample {
        // The search ended with it, so the outcomes are those before it.
        Some(broken) => Err(format!("the model itself breaks {}", broken.violation)),
        None => Ok(Allowed { set: found.outcomes, exhaustive: found.exhaustive }),
    }
}
