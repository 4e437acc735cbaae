//! I7: data reaches only the ring that asked, and a buffer that user space holds is not overwritten.

use super::interface::{Check, Completion};
use crate::invariant::Invariant;
use crate::platform::{PlainWord, Platform};
use crate::run_state::ModelRun;
use crate::test::VarId;

/// Contents of buffers.
pub(super) struct Data;

impl<P: Platform> Check<P> for Data {
    fn completion(&self, run: &ModelRun<P>, completion: &Completion<'_>) {
        let cqe = completion.cqe;
        let Some(Some(receive)) = run.receives.get(cqe.user_data as usize) else { return };
        if !cqe.more {
            return;
        }
        match completion.found {
            None => P::violation(
                Invariant::I7,
                format_args!("completion points to no bytes of a stream"),
            ),
            Some(found) if found.stream as usize != receive.socket => {
                P::violation(Invariant::I7, format_args!("bytes of another connection"));
            }
            Some(_) => {}
        }
    }

    fn returning(&self, run: &ModelRun<P>, cqe: VarId, now: Option<(u32, u64)>) {
        let buffer = &run.vars[usize::from(cqe)].buffer;
        let Some(request) = buffer.request_step() else { return };
        let Some(Some(receive)) = run.receives.get(request) else { return };
        if now != Some((receive.socket as u32, buffer.seq.get())) {
            P::violation(Invariant::I7, format_args!("a buffer was overwritten while held"));
        }
    }
}
