//! Events of an ifq (7.2): its page pool found no buffer, data was copied (`io_uring/zcrx.c`).

use crate::errno::EINVAL;
use crate::fault::FaultPoint;
use crate::io_uring::cq::Cqe;
use crate::io_uring::ctx::{IoRingCtx, ctx_refs_put};
use crate::io_uring::tw::{TaskWork, io_req_local_work_add};
use crate::io_uring::uapi::ZCRX_EVENT_TYPE_LAST;
use crate::io_uring::zcrx::Ifq;
use crate::platform::{Label, PlainWord, Platform, Ptr, RawLock};

/// The part of `struct io_zcrx_ifq` that events need.
#[derive(Debug)]
pub struct Notif<P: Platform> {
    /// Protects `master_ctx` and `fired_notifs`.
    pub(super) ctx_lock: P::Lock,
    /// The ring that gets the events, held by a percpu ref; 0: none.
    master_ctx: P::Plain,
    /// The events that the ring asked for. Written before another thread uses the ifq.
    allowed_notif_mask: P::Plain,
    /// The events that were sent and not armed again.
    fired_notifs: P::Plain,
    /// `user_data` of the completions.
    notif_data: u64,
}

impl<P: Platform> Notif<P> {
    /// For the ifq with this number: no ring gets events.
    #[must_use]
    pub fn new(number: u32) -> Self {
        Notif {
            ctx_lock: P::lock("ctx_lock"),
            master_ctx: P::plain(Label::pointer("master_ctx", 0), 0),
            allowed_notif_mask: P::plain("allowed_notif_mask", 0),
            fired_notifs: P::plain("fired_notifs", 0),
            notif_data: notif_data(number),
        }
    }

    /// Asks for the events of a mask.
    pub fn allow(&self, type_mask: u32) {
        self.allowed_notif_mask.set(u64::from(type_mask));
    }

    /// `ifq->master_ctx` as a word. Under `ctx_lock`, or when no other thread can use the ifq.
    ///
    /// Linux: `io_uring/zcrx.c`, 7.2 to 7.3.
    pub(super) fn master_ctx(&self) -> u64 {
        self.master_ctx.get()
    }

    /// Sets `master_ctx`. Under `ctx_lock`.
    pub(super) fn set_master_ctx(&self, ctx: Option<&Ptr<P, IoRingCtx<P>>>) {
        self.master_ctx.set(ctx.map_or(0, Ptr::to_word));
    }
}

/// `notif->user_data` of the events of the ifq with this number; no step of a test has it.
///
/// Linux: `io_uring/zcrx.c`, 7.2 to 7.3.
#[must_use]
pub fn notif_data(number: u32) -> u64 {
    1 << 32 | u64::from(number)
}

/// Not in Linux: the number of the ifq whose events have this `user_data`.
#[must_use]
pub fn notif_number(user_data: u64) -> Option<u32> {
    (user_data >> 32 == 1).then_some(user_data as u32)
}

/// `zcrx_set_ring_ctx`: the ring gets the events.
///
/// Linux: `io_uring/zcrx.c`, 7.2 to 7.3.
pub async fn zcrx_set_ring_ctx<P: Platform>(ifq: &Ifq<P>, ctx: &Ptr<P, IoRingCtx<P>>) {
    let _guard = ifq.notif.ctx_lock.lock().await;
    if ifq.notif.master_ctx() != 0 {
        return;
    }
    ctx.refs.get().await;
    ifq.notif.set_master_ctx(Some(ctx));
}

/// `zcrx_send_notif`: sends an event to the ring, unless it was sent before and is not armed again.
///
/// Linux: `io_uring/zcrx.c`, 7.2 to 7.3.
pub async fn zcrx_send_notif<P: Platform>(ifq: &Ifq<P>, event_type: u32) {
    let notif = &ifq.notif;
    let type_mask = 1 << event_type;
    if notif.allowed_notif_mask.get() & type_mask == 0 {
        return;
    }
    let _func = P::func("zcrx_send_notif");
    let _guard = notif.ctx_lock.lock().await;
    let Some(ctx) = Ptr::<P, IoRingCtx<P>>::from_word(notif.master_ctx.get()) else { return };
    let fired = notif.fired_notifs.get();
    if fired & type_mask != 0 || P::fault(FaultPoint::NotifAlloc) {
        return;
    }
    notif.fired_notifs.set(fired | type_mask);
    ctx.refs.get().await;
    let work = TaskWork::Notif { event_type, user_data: notif.notif_data };
    io_req_local_work_add(&ctx, work).await;
}

/// `zcrx_notif_tw`: posts the event, also when the ring is dying. Under `uring_lock`.
///
/// # Divergence from Linux
/// - Simplified: the request that carries the event is part of the entry of the work list.
///
/// Linux: `io_uring/zcrx.c`, 7.2 to 7.3.
pub async fn zcrx_notif_tw<P: Platform>(ctx: &IoRingCtx<P>, event_type: u32, user_data: u64) {
    let _func = P::func("zcrx_notif_tw");
    // io_post_aux_cqe()
    let cqe = Cqe { user_data, res: i64::from(event_type), more: false, off: 0 };
    ctx.cq.post_final(cqe).await;
    ctx.cq.commit().await;
    ctx_refs_put(ctx).await;
}

/// `zcrx_arm_notif`: `ZCRX_CTRL_ARM_EVENT`. `resv`: the reserved fields of the operation.
///
/// # Errors
/// -EINVAL for an unknown event, reserved fields, and an event that was not sent.
///
/// Linux: `io_uring/zcrx.c`, 7.2 to 7.3.
pub async fn zcrx_arm_notif<P: Platform>(
    ifq: &Ifq<P>,
    event_type: u32,
    resv: u64,
) -> Result<(), i64> {
    let _func = P::func("zcrx_arm_notif");
    if event_type >= ZCRX_EVENT_TYPE_LAST {
        return Err(-EINVAL);
    }
    if resv != 0 {
        return Err(-EINVAL);
    }
    let _guard = ifq.notif.ctx_lock.lock().await;
    let type_mask = 1 << event_type;
    let fired = ifq.notif.fired_notifs.get();
    if fired & type_mask == 0 {
        return Err(-EINVAL);
    }
    ifq.notif.fired_notifs.set(fired & !type_mask);
    Ok(())
}
