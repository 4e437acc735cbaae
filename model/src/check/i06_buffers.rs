//! I6: each buffer is in exactly one place.

use super::interface::{Check, Deferred};
use crate::invariant::Invariant;
use crate::io_uring::zcrx::{Ifq, NO_RXQ};
use crate::platform::{AtomicWord, PlainWord, Platform};
use crate::run_state::ModelRun;
use crate::trace::Tracepoint;

/// Areas that are freed, rings that exit, entries of refill rings.
pub(super) struct Buffers;

fn user_holds_any<P: Platform>(ifq: &Ifq<P>) -> bool {
    ifq.observe_areas().any(|area| area.observe_held().any(|held| held))
}

impl<P: Platform> Check<P> for Buffers {
    fn event(&self, deferred: &Deferred<P>, event: &Tracepoint<'_, P>) {
        match event {
            // A copy that a dead ring got may still count as held: no user can return it, and it needs no
            // page pool. If buffers are missing, a later use after free is the better report: deferred.
            Tracepoint::AreaFree(area) => {
                let held = area.observe_held().filter(|held| *held).count() as u64;
                let (free, all) = (area.observe_free_count(), u64::from(area.num_niovs()));
                if free + held != all {
                    deferred.lose_buffers(free, held, all);
                }
            }
            Tracepoint::PoolOverfull(ifq) => P::violation(
                Invariant::I6,
                format_args!("a buffer is twice in the page pool of ifq {}", ifq.number),
            ),
            Tracepoint::ExitStuck(ctx) => {
                let mut id = 0;
                while let Some((found, ifq)) = ctx.zcrx_ctxs.find(id) {
                    id = found + 1;
                    let closed = ifq.if_rxq.observe() == NO_RXQ;
                    if ifq.proxy.is_none() && closed && user_holds_any(&ifq) {
                        P::violation(
                            Invariant::I6,
                            format_args!(
                                "ring {}: the kernel never takes back what user space holds",
                                ctx.number
                            ),
                        );
                    }
                }
            }
            _ => {}
        }
    }

    /// Each buffer that user space has returned stands in the refill ring. Only for a test whose producers
    /// all claim to hold the lock, and that does not write to the ring otherwise.
    fn before_close(&self, run: &ModelRun<P>) {
        if run.test.steps().any(|step| step.op.breaks_refill_rules()) {
            return;
        }
        let rings = run.regions.iter().flatten().filter_map(|region| region.rq.as_ref());
        for ring in rings {
            let (returned, entries) = (ring.returned.load_in_step(), ring.tail.load_in_step());
            if returned != entries {
                P::violation(
                    Invariant::I6,
                    format_args!("user space returned {returned} buffers; the ring has {entries}"),
                );
            }
        }
    }

    fn after_close(&self, deferred: &Deferred<P>, _: &ModelRun<P>) {
        if let Some((free, held, all)) = deferred.lost_buffers() {
            P::violation(
                Invariant::I6,
                format_args!("area freed with {free} of {all} buffers free and {held} held"),
            );
        }
    }
}
