//! I5: a device queue is closed as soon as no user can receive.

use super::interface::{Check, Deferred};
use crate::invariant::Invariant;
use crate::io_uring::ctx::IoRingCtx;
use crate::io_uring::zcrx::{Ifq, NO_RXQ};
use crate::platform::{PlainWord, Platform, Ptr};
use crate::trace::Tracepoint;

/// Queues of rings that exit.
pub(super) struct Queues;

/// An ifq with an open queue whose only users are ids of this exiting ring that are not terminated.
fn open_queue<P: Platform>(ctx: &IoRingCtx<P>) -> Option<Ptr<P, Ifq<P>>> {
    let mut users: Vec<(Ptr<P, Ifq<P>>, u64)> = Vec::new();
    let mut id = 0;
    while let Some((found, ifq)) = ctx.zcrx_ctxs.find(id) {
        id = found + 1;
        if ctx.zcrx_ctxs.get_mark(found) {
            continue;
        }
        match users.iter_mut().find(|(other, _)| other.to_word() == ifq.to_word()) {
            Some((_, count)) => *count += 1,
            None => users.push((ifq, 1)),
        }
    }
    let open = |ifq: &Ifq<P>| ifq.if_rxq.observe() != NO_RXQ;
    let stuck = users.into_iter().find(|(ifq, own)| open(ifq) && ifq.user_refs.observe() == *own);
    stuck.map(|(ifq, _)| ifq)
}

impl<P: Platform> Check<P> for Queues {
    fn event(&self, _: &Deferred<P>, event: &Tracepoint<'_, P>) {
        let Tracepoint::ExitWait(ctx) = event else { return };
        let in_flight = ctx.nr_req_allocated.observe();
        if in_flight == 0 {
            return;
        }
        if let Some(ifq) = open_queue(ctx) {
            P::violation(
                Invariant::I5,
                format_args!(
                    "ring {} was the last user of queue {}, which stays bound until {in_flight} \
                     requests are gone",
                    ctx.number,
                    ifq.if_rxq.observe()
                ),
            );
        }
    }
}
