//! I2 for counts that are no `refcount_t`: the kernel itself does not notice when they pass below zero.

use super::interface::{Check, Deferred};
use crate::invariant::Invariant;
use crate::platform::Platform;
use crate::trace::Tracepoint;

/// User references of a buffer.
pub(super) struct Counts;

impl<P: Platform> Check<P> for Counts {
    fn event(&self, _: &Deferred<P>, event: &Tracepoint<'_, P>) {
        if let Tracepoint::NiovUrefPut { niov, old, refs } = event
            && old < refs
        {
            P::violation(Invariant::I2, format_args!("user_refs of {niov:?} below zero"));
        }
    }
}
