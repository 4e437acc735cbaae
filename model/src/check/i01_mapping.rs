//! I1: memory that a device may write to stays mapped until its queue has stopped.

use super::interface::{Check, Deferred};
use crate::bug::NiovName;
use crate::invariant::Invariant;
use crate::platform::{PlainWord, Platform};
use crate::trace::Tracepoint;

/// Packets that the device writes.
pub(super) struct Mapping;

impl<P: Platform> Check<P> for Mapping {
    fn event(&self, _: &Deferred<P>, event: &Tracepoint<'_, P>) {
        if let Tracepoint::DmaWrite(niov) = event
            && !niov.area.observe_mapped()
        {
            let name = NiovName { area: niov.area.area_id.observe() as u32, niov: niov.idx };
            P::violation(
                Invariant::I1,
                format_args!("the device writes to {name}, which is not mapped any more"),
            );
        }
    }
}
