//! Scrubbing: the kernel takes back the buffers that user space holds (`io_uring/zcrx.c`).

use crate::io_uring::zcrx::Ifq;
use crate::io_uring::zcrx::area::Area;
use crate::io_uring::zcrx::niov::{NiovRef, io_zcrx_return_niov};
use crate::net::page_pool::page_pool_unref_netmem;
use crate::platform::{AtomicWord, Order, Platform, Ptr, RawLock, Rmw};

/// `io_zcrx_scrub`. Takes `pp_lock` from 7.3 on, where areas can be added.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
pub async fn io_zcrx_scrub<P: Platform>(ifq: &Ifq<P>) {
    let _func = P::func("io_zcrx_scrub");
    let _scope = P::scope();
    let _guard = match ifq.kernel.variant.revision.has_add_area() {
        true => Some(ifq.pp_lock.lock().await),
        false => None,
    };
    for area in ifq.areas() {
        io_zcrx_scrub_area(&area).await;
    }
}

/// `io_zcrx_scrub_area`.
///
/// Before 7.3 it is a part of `io_zcrx_scrub`.
///
/// Linux: `io_uring/zcrx.c`, 7.3.
async fn io_zcrx_scrub_area<P: Platform>(area: &Ptr<P, Area<P>>) {
    for idx in 0..area.num_niovs() {
        let _scope = P::scope();
        let niov = NiovRef { area: area.clone(), idx };
        let user_counter = niov.user_counter();
        if user_counter.load(Order::Relaxed).await == 0 {
            continue;
        }
        let nr = user_counter.rmw(Rmw::Xchg(0), Order::Full).await;
        if nr != 0 && page_pool_unref_netmem(&niov, nr).await == 0 {
            io_zcrx_return_niov(&niov).await;
        }
    }
}
