//! I4: a teardown does not depend on a poll, and user space does not decide how long others wait.
//! Deadlocks are found by the engines.

use super::interface::{Check, Deferred};
use crate::invariant::Invariant;
use crate::io_uring::ctx::IoRingCtx;
use crate::io_uring::zcrx::NO_RXQ;
use crate::platform::{PlainWord, Platform};
use crate::trace::Tracepoint;

/// Polls and page faults.
pub(super) struct Progress;

/// The queue of an ifq that only this exiting ring holds. Its exit worker has had a turn already, so the
/// queue should be closed.
fn forgotten_queue<P: Platform>(ctx: &IoRingCtx<P>) -> Option<u64> {
    let mut id = 0;
    while let Some((found, ifq)) = ctx.zcrx_ctxs.find(id) {
        id = found + 1;
        let queue = ifq.if_rxq.observe();
        // Where rings share the ifq itself, a ring that has put its reference marks the id.
        let own = u64::from(!(ctx.observe_shares_ifqs() && ctx.zcrx_ctxs.get_mark(found)));
        if ifq.proxy.is_none() && queue != NO_RXQ && ifq.refs.observe() <= own {
            return Some(queue);
        }
    }
    None
}

impl<P: Platform> Check<P> for Progress {
    fn event(&self, _: &Deferred<P>, event: &Tracepoint<'_, P>) {
        match event {
            Tracepoint::ExitPoll(ctx) => {
                if let Some(queue) = forgotten_queue(ctx) {
                    P::violation(
                        Invariant::I4,
                        format_args!(
                            "ring {}: the last proxy is gone and no thread woke the exit worker; \
                             only its poll closes queue {queue}",
                            ctx.number
                        ),
                    );
                }
            }
            Tracepoint::PageFaultServed { blocked } if *blocked != 0 => P::violation(
                Invariant::I4,
                format_args!(
                    "another task's system call waits for a lock that is held over a page fault, \
                     for as long as user space likes"
                ),
            ),
            _ => {}
        }
    }
}
