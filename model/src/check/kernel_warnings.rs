//! A `WARN_ON_ONCE` of the kernel is a violation of the invariant that it guards.

use super::interface::{Check, Deferred};
use crate::bug::Warning;
use crate::invariant::Invariant;
use crate::platform::Platform;
use crate::trace::Tracepoint;

/// Maps each warning to its invariant.
pub(super) struct KernelWarnings;

fn invariant(warning: Warning) -> Invariant {
    match warning {
        Warning::TerminatedTwice { .. } | Warning::PpRefCountNegative { .. } => Invariant::I2,
        Warning::IfqFreedWithRing { .. } | Warning::NotTerminated { .. } => Invariant::I3,
        Warning::IfqFreedWithQueue { .. } | Warning::ForeignProvider => Invariant::I5,
        Warning::FreelistFull { .. } | Warning::AllocCacheNotEmpty => Invariant::I6,
    }
}

impl<P: Platform> Check<P> for KernelWarnings {
    fn event(&self, _: &Deferred<P>, event: &Tracepoint<'_, P>) {
        if let Tracepoint::Warning(warning) = event {
            P::violation(invariant(*warning), format_args!("{warning}"));
        }
    }
}
