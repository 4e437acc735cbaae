//! Events that an ifq tells its ring about (7.2): a page pool without buffers, data that was copied.

use crate::errno::EINVAL;
use crate::fault::FaultPoint;
use crate::invariant::Invariant;
use crate::io_uring::cq::Cqe;
use crate::io_uring::ctx::{IoRingCtx, ctx_refs_put};
use crate::io_uring::tw::io_notif_local_work_add;
use crate::io_uring::zcrx::Ifq;
use crate::platform::{Label, PlainWord, Platform, Ptr, RawLock};
use crate::test::Event;
use crate::test::arg_modifier::{ArgModifier, ArgModifiers};
use crate::uaccess::copy_from_user;

/// `ZCRX_EVENT_TYPE_MASK`.
const ZCRX_EVENT_TYPE_MASK: u64 = 3;

/// The part of `struct io_zcrx_ifq` that events need.
#[derive(Debug)]
pub struct Notif<P: Platform> {
    /// Protects `master_ctx` and `fired_notifs`.
    ctx_lock: P::Lock,
    /// The ring that is told, held by a percpu ref; 0: none.
    master_ctx: P::Plain,
    /// The events that were asked for; written before anyone else knows the ifq.
    allowed_notif_mask: P::Plain,
    /// The events that were told and not armed again.
    fired_notifs: P::Plain,
    /// `user_data` of the completions.
    notif_data: u64,
}

impl<P: Platform> Notif<P> {
    /// For the ifq with this number: nothing is told to anyone.
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
    pub fn allow(&self, type_mask: u64) {
        self.allowed_notif_mask.set(type_mask);
    }

    /// Whether a ring is told. Only while nobody else can use the ifq.
    #[must_use]
    pub fn has_master(&self) -> bool {
        self.master_ctx.get() != 0
    }
}

/// `user_data` of the events of the ifq with this number; no step of a test has it.
#[must_use]
pub fn notif_data(number: u32) -> u64 {
    1 << 32 | u64::from(number)
}

/// The number of an event, `__ZCRX_EVENT_TYPE_LAST` for one that there is not.
fn event_type(event: Event) -> u32 {
    match event {
        Event::AllocFail => 0,
        Event::Copy => 1,
        Event::Unknown => 2,
    }
}

/// The checks of `struct zcrx_event_desc` in `io_register_zcrx`: the mask of events.
///
/// # Errors
/// -EFAULT if it cannot be read, -EINVAL for what is unknown or reserved.
pub fn check_event_desc<P: Platform>(modifiers: ArgModifiers) -> Result<u64, i64> {
    use ArgModifier::{EventFault, EventFlags, EventResv, EventStats, EventType, Events};
    let set = [Events, EventFault, EventFlags, EventResv, EventStats, EventType];
    if !set.iter().any(|modifier| modifiers.has(*modifier)) {
        return Ok(0);
    }
    copy_from_user::<P>(!modifiers.has(EventFault))?;
    if [EventType, EventFlags, EventStats, EventResv]
        .iter()
        .any(|modifier| modifiers.has(*modifier))
    {
        return Err(-EINVAL);
    }
    Ok(if modifiers.has(Events) { ZCRX_EVENT_TYPE_MASK } else { 0 })
}

/// `zcrx_set_ring_ctx`: the ring that is told. At the end of the registration.
pub async fn zcrx_set_ring_ctx<P: Platform>(ifq: &Ifq<P>, ctx: &Ptr<P, IoRingCtx<P>>) {
    let _guard = ifq.notif.ctx_lock.lock().await;
    if ifq.notif.has_master() {
        return;
    }
    ctx.refs.get().await;
    ifq.notif.master_ctx.set(ctx.to_word());
}

/// The part of `zcrx_unregister_user` before the count of users: the ring that leaves is not told
/// any more. `ctx`: `None` for users that are no rings.
pub async fn zcrx_drop_ring_ctx<P: Platform>(ifq: &Ifq<P>, ctx: Option<&Ptr<P, IoRingCtx<P>>>) {
    let _guard = ifq.notif.ctx_lock.lock().await;
    let master = ifq.notif.master_ctx.get();
    if let Some(ctx) = ctx
        && ctx.to_word() == master
    {
        ifq.notif.master_ctx.set(0);
        ctx_refs_put(ctx).await;
    }
}

/// `zcrx_send_notif`: tells the ring, unless it was told before and has not armed the event again.
pub async fn zcrx_send_notif<P: Platform>(ifq: &Ifq<P>, event: Event) {
    let notif = &ifq.notif;
    let type_mask = 1 << event_type(event);
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
    io_notif_local_work_add(&ctx, event_type(event), notif.notif_data).await;
}

/// `zcrx_notif_tw`: posts the event, also when the ring is going away. Under `uring_lock`.
///
/// Divergence from Linux: the request that carries the event is part of the work list's entry.
pub async fn zcrx_notif_tw<P: Platform>(ctx: &IoRingCtx<P>, event: u32, user_data: u64) {
    let _func = P::func("zcrx_notif_tw");
    // io_post_aux_cqe()
    let cqe = Cqe { user_data, res: i64::from(event), more: false, off: 0 };
    if ctx.cq.post_final(cqe).await.is_err() {
        P::violation(Invariant::I10, format_args!("an event is lost: overflow list full"));
    }
    ctx.cq.commit().await;
    ctx_refs_put(ctx).await;
}

/// `zcrx_arm_notif`: `ZCRX_CTRL_ARM_EVENT`.
///
/// # Errors
/// -EINVAL for an unknown event, reserved fields, and an event that was not told.
pub async fn zcrx_arm_notif<P: Platform>(
    ifq: &Ifq<P>,
    event: Event,
    modifiers: ArgModifiers,
) -> Result<(), i64> {
    let _func = P::func("zcrx_arm_notif");
    if event == Event::Unknown || modifiers.has(ArgModifier::OpResv) {
        return Err(-EINVAL);
    }
    let _guard = ifq.notif.ctx_lock.lock().await;
    let type_mask = 1 << event_type(event);
    let fired = ifq.notif.fired_notifs.get();
    if fired & type_mask == 0 {
        return Err(-EINVAL);
    }
    ifq.notif.fired_notifs.set(fired & !type_mask);
    Ok(())
}
