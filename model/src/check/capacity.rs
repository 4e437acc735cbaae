//! A capacity of the model that is used up: the run is not what the kernel would do.

use super::interface::{Check, Deferred};
use crate::invariant::Invariant;
use crate::platform::Platform;
use crate::trace::Tracepoint;

/// Reports as I10, because something is lost.
pub(super) struct Capacity;

impl<P: Platform> Check<P> for Capacity {
    fn event(&self, _: &Deferred<P>, event: &Tracepoint<'_, P>) {
        if let Tracepoint::CapacityExceeded { lost } = event {
            P::violation(Invariant::I10, format_args!("the model has no room: {lost} is lost"));
        }
    }
}
