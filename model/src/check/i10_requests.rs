//! I10: each request completes exactly once, events come when they are armed, and no byte of a stream is
//! lost, doubled or out of order.

use super::interface::{Check, Completion, Deferred};
use crate::invariant::Invariant;
use crate::io_uring::poll::observe_idle_requests;
use crate::platform::{PlainWord, Platform};
use crate::run_state::ModelRun;
use crate::run_state::buffer::buffer_offset;
use crate::trace::Tracepoint;

/// Completions and streams.
pub(super) struct Requests;

fn violation<P: Platform>(what: std::fmt::Arguments<'_>) {
    P::violation(Invariant::I10, what);
}

impl<P: Platform> Check<P> for Requests {
    /// A wait gives up when nothing else can run: then no armed request may have unread bytes.
    fn event(&self, _: &Deferred<P>, event: &Tracepoint<'_, P>) {
        let Tracepoint::CqWaitTimeout(ctx) = event else { return };
        for req in observe_idle_requests(ctx) {
            if req.sock.observe_error() {
                violation::<P>(format_args!(
                    "ring {}: an error waits in sock{} and no thread will report it",
                    ctx.number, req.sock.number
                ));
            }
            if req.sock.observe_data() {
                violation::<P>(format_args!(
                    "ring {}: bytes wait in sock{} and no thread will read them",
                    ctx.number, req.sock.number
                ));
            }
        }
    }

    fn completion(&self, run: &ModelRun<P>, completion: &Completion<'_>) {
        let cqe = completion.cqe;
        if let Some(events) = run.events_of(completion.step.op.ring(), cqe.user_data) {
            let known = usize::try_from(cqe.res).ok().filter(|_| !cqe.more);
            match known.and_then(|event_type| events.count(event_type)) {
                None => violation::<P>(format_args!("an event with the number {}", cqe.res)),
                Some(false) => violation::<P>(format_args!("an event that was not armed again")),
                Some(true) => {}
            }
            return;
        }
        let Some(Some(receive)) = run.receives.get(cqe.user_data as usize) else {
            violation::<P>(format_args!("a completion that no step asked for"));
            return;
        };
        if receive.done.get() != 0 {
            violation::<P>(format_args!("a completion after the request's last one"));
        }
        if !cqe.more {
            return;
        }
        if let (true, Some(found)) = (receive.only_reader, completion.found) {
            let seq = found.seq + buffer_offset(cqe.off);
            let pos = &run.rx_pos[receive.socket];
            if seq != pos.get() {
                violation::<P>(format_args!(
                    "stream goes on at byte {seq} instead of {}",
                    pos.get()
                ));
            }
            pos.set(seq + cqe.res.cast_unsigned());
        }
    }
}
