//! I6 as a user wishes it: a ring that has exited holds no buffer while another ring needs one.
//!
//! The kernel does not promise this: it takes the buffers back only when the last user leaves. So it is
//! checked only in runs whose areas record the ring of each buffer.

use super::interface::{Check, Deferred};
use crate::invariant::Invariant;
use crate::platform::Platform;
use crate::trace::Tracepoint;

/// Buffers of rings that have exited.
pub(super) struct Starvation;

impl<P: Platform> Check<P> for Starvation {
    fn event(&self, _: &Deferred<P>, event: &Tracepoint<'_, P>) {
        match event {
            Tracepoint::NiovQueued { niov, ctx } => niov.area.mem.hand_to(niov.idx, ctx.number),
            Tracepoint::NoFreeNiov(ifq) => {
                for area in ifq.observe_areas() {
                    for (idx, held) in (0..).zip(area.observe_held()) {
                        // The descriptor of a ring is its number.
                        let exited = area.mem.handed_to(idx).filter(|ring| {
                            !ifq.kernel.files.open().contains(&(*ring as usize))
                        });
                        if let (Some(ring), true) = (exited, held) {
                            P::violation(
                                Invariant::I6,
                                format_args!(
                                    "no buffer is left, and ring {ring}, which has exited, holds one"
                                ),
                            );
                            return;
                        }
                    }
                }
            }
            _ => {}
        }
    }
}
