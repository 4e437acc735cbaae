//! I6: a buffer that user space has returned and does not hold any more is not counted as held.
//!
//! Only in runs of tests that return a completion twice. In all others each entry of the refill ring puts
//! one reference, or the area is missing buffers when it is freed.

use super::interface::{Check, Deferred};
use crate::invariant::Invariant;
use crate::io_uring::uapi::NIOV_SHIFT;
use crate::io_uring::zcrx::Ifq;
use crate::io_uring::zcrx::area::{Area, zcrx_area_id_to_token};
use crate::platform::{PlainWord, Platform};
use crate::run_state::ModelRun;
use crate::run_state::buffer::buffer_index;
use crate::test::VarId;
use crate::trace::Tracepoint;

/// Returned buffers.
pub(super) struct Returns;

/// A buffer that the kernel counts more often than user space holds it and the refill ring names it.
fn lost_buffer<P: Platform>(ifq: &Ifq<P>, area: &Area<P>) -> Option<u32> {
    let token = zcrx_area_id_to_token(area.area_id.observe() as u32);
    (0..).zip(area.observe_user_refs()).find_map(|(idx, refs)| {
        let unreturned = area.mem.unreturned(idx)?;
        let off = token | u64::from(idx) << NIOV_SHIFT;
        let unread = ifq.rq.observe_unread().filter(|entry| *entry == off).count() as u64;
        (refs > unreturned + unread).then_some(idx)
    })
}

impl<P: Platform> Check<P> for Returns {
    fn event(&self, _: &Deferred<P>, event: &Tracepoint<'_, P>) {
        match event {
            Tracepoint::NiovQueued { niov, .. } => niov.area.mem.hand_out(niov.idx),
            Tracepoint::RqConsumed(ifq) => {
                for area in ifq.observe_areas() {
                    if let Some(idx) = lost_buffer(ifq, &area) {
                        P::violation(
                            Invariant::I6,
                            format_args!(
                                "user space has returned niov{idx}, the kernel has read the entry and \
                                 still counts the buffer as held"
                            ),
                        );
                    }
                }
            }
            _ => {}
        }
    }

    fn returned(&self, run: &ModelRun<P>, cqe: VarId, ifq: VarId) {
        let buffer = &run.vars[usize::from(cqe)].buffer;
        let own = |area: &usize| run.index.areas(ifq).contains(area);
        let Some(area) = buffer.area_step().filter(own) else { return };
        let idx = buffer.off.get().checked_sub(1).and_then(buffer_index);
        if let (Some(region), Some(idx)) = (&run.regions[area], idx) {
            region.area.take_back(idx);
        }
    }
}
