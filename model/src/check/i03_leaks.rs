//! I3: once everything is closed nothing is left, and a ring that exits can end.

use super::interface::{Check, Deferred};
use crate::invariant::Invariant;
use crate::io_uring::ctx::IoRingCtx;
use crate::platform::{Kind, PlainWord, Platform};
use crate::run_state::{ModelRun, Region};
use crate::trace::Tracepoint;

/// Objects, pins and references.
pub(super) struct Leaks;

fn leak<P: Platform>(what: std::fmt::Arguments<'_>) {
    P::violation(Invariant::I3, what);
}

/// Whether a ring that waits in `io_ring_exit_work` has references that no object can put any more.
///
/// Of the references on the ring and on its ifqs a page pool holds one, a request one, and a proxy at most
/// two. A ring that waits although no proxy and no page pool is left waits for ever. Where rings share the ifq
/// itself, each other ring may hold the ring that registered it.
fn has_leaked_reference<P: Platform>(ctx: &IoRingCtx<P>) -> bool {
    if ctx.observe_shares_ifqs() && P::live(Kind::Ctx) > 1 {
        return false;
    }
    let (proxies, pools) = (P::live(Kind::Proxy) as u64, P::live(Kind::PagePool) as u64);
    if proxies + pools == 0 {
        return true;
    }
    let mut refs = ctx.refs.observe_count();
    let mut id = 0;
    while let Some((found, ifq)) = ctx.zcrx_ctxs.find(id) {
        id = found + 1;
        if ifq.proxy.is_none() {
            // One reference is the ring's own.
            refs += ifq.refs.observe().saturating_sub(1);
        }
    }
    refs > 2 * proxies + pools + ctx.nr_req_allocated.observe()
}

impl<P: Platform> Check<P> for Leaks {
    fn event(&self, _: &Deferred<P>, event: &Tracepoint<'_, P>) {
        match event {
            Tracepoint::AreaFree(area) if area.observe_mapped() => {
                leak::<P>(format_args!("area freed while mapped for the device"));
            }
            Tracepoint::ExitStuck(ctx) if has_leaked_reference(ctx) => leak::<P>(format_args!(
                "ring {} never ends: references are left that no object holds",
                ctx.number
            )),
            _ => {}
        }
    }

    fn after_close(&self, _: &Deferred<P>, run: &ModelRun<P>) {
        const KINDS: [Kind; 7] = [
            Kind::Ctx,
            Kind::Ifq,
            Kind::Proxy,
            Kind::Area,
            Kind::Req,
            Kind::PagePool,
            Kind::Sock,
        ];
        for kind in KINDS {
            let left = P::live(kind);
            if left != 0 {
                leak::<P>(format_args!("{left} {} left when everything is closed", kind.name()));
            }
        }
        if run.kernel.files.live() != 0 {
            leak::<P>(format_args!("a file is left when everything is closed"));
        }
        let reserved = run.kernel.files.observe_reserved();
        if reserved != 0 {
            leak::<P>(format_args!("reserved descriptors that lead to no file: {reserved}"));
        }
        let pins =
            |r: &Region<P>| r.area.pins.count() + r.rq.as_ref().map_or(0, |rq| rq.pins.count());
        if run.regions.iter().flatten().any(|r| pins(r) != 0) {
            leak::<P>(format_args!("memory is still pinned when everything is closed"));
        }
        if let Some(netdev) = &run.kernel.netdev {
            if !netdev.observe_bound().is_empty() {
                leak::<P>(format_args!("a device queue is still bound when everything is closed"));
            }
            if netdev.observe_held() {
                leak::<P>(format_args!("the device is still held when everything is closed"));
            }
        }
    }
}
