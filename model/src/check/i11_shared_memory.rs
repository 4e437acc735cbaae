//! I11: whatever user space writes into shared memory, the kernel stays safe.

use super::interface::{Check, Deferred};
use crate::invariant::Invariant;
use crate::platform::Platform;
use crate::trace::Tracepoint;

/// Values that the kernel reads from the refill ring.
pub(super) struct SharedMemory;

impl<P: Platform> Check<P> for SharedMemory {
    fn event(&self, _: &Deferred<P>, event: &Tracepoint<'_, P>) {
        if let Tracepoint::RqeParsed { index, checked, used, in_bounds: false } = event {
            P::violation(
                Invariant::I11,
                format_args!("entry {index} was checked as {checked:#x} and used as {used:#x}"),
            );
        }
    }
}
