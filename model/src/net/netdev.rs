//! A network device with receive queues (`net/core/netdev_rx_queue.c`).

use crate::errno::{EEXIST, ENOMEM, ERANGE};
use crate::fault::FaultPoint;
use crate::invariant::Invariant;
use crate::io_uring::zcrx::Ifq;
use crate::io_uring::zcrx::area::NiovRef;
use crate::net::page_pool::{
    PagePool, page_pool_alloc_netmem, page_pool_create, page_pool_destroy,
};
use crate::platform::{Kind, PlainWord, Platform, Ptr, RawLock};

/// `struct netdev_rx_queue`.
#[derive(Debug)]
pub struct Rxq<P: Platform> {
    /// `mp_params.mp_priv`, under the netdev lock.
    mp_priv: P::Plain,
    /// Serialises the softirq that polls the queue; held while the queue is stopped.
    napi: P::Lock,
    /// The queue's page pool with a memory provider; 0: ordinary pages. Under `napi`.
    pp: P::Plain,
}

/// `struct net_device`.
#[derive(Debug)]
pub struct Netdev<P: Platform> {
    /// `netdev_lock`.
    pub lock: P::Lock,
    queues: Vec<Rxq<P>>,
}

/// A device with header split on and no XDP program.
#[must_use]
pub fn netdev_alloc<P: Platform>(queues: u32) -> Ptr<P, Netdev<P>> {
    Ptr::alloc(Kind::Netdev, 0, || Netdev {
        lock: P::lock("netdev_lock"),
        queues: (0..queues)
            .map(|_| Rxq {
                mp_priv: P::plain("mp_priv", 0),
                napi: P::lock("napi"),
                pp: P::plain("rxq.pp", 0),
            })
            .collect(),
    })
}

/// `netif_mp_open_rxq`: binds the queue to the ifq and restarts it. Under the netdev lock.
///
/// # Errors
/// -ERANGE if there is no such queue, -EEXIST if it is bound already, -ENOMEM at the fault point.
pub async fn netif_mp_open_rxq<P: Platform>(
    netdev: &Netdev<P>,
    rxq_idx: u32,
    ifq: &Ptr<P, Ifq<P>>,
) -> Result<(), i64> {
    let _func = P::func("netif_mp_open_rxq");
    netdev.lock.assert_held();
    let rxq = netdev.queues.get(rxq_idx as usize).ok_or(-ERANGE)?;
    if rxq.mp_priv.get() != 0 {
        return Err(-EEXIST);
    }
    if P::fault(FaultPoint::MpOpenRxq) {
        return Err(-ENOMEM);
    }
    rxq.mp_priv.set(ifq.to_word());
    let pp = page_pool_create(ifq).await;
    let _napi = rxq.napi.lock().await;
    rxq.pp.set(pp.to_word());
    Ok(())
}

/// `netif_mp_close_rxq`: unbinds the queue and restarts it on ordinary pages; its page pool is
/// destroyed. Under the netdev lock.
pub async fn netif_mp_close_rxq<P: Platform>(
    netdev: &Netdev<P>,
    rxq_idx: u32,
    ifq: &Ptr<P, Ifq<P>>,
) {
    let _func = P::func("netif_mp_close_rxq");
    netdev.lock.assert_held();
    let Some(rxq) = netdev.queues.get(rxq_idx as usize) else { return };
    if rxq.mp_priv.get() != ifq.to_word() {
        P::violation(Invariant::I5, format_args!("closing a queue that another ifq is bound to"));
        return;
    }
    rxq.mp_priv.set(0);
    let pp = {
        let _napi = rxq.napi.lock().await;
        let pp = Ptr::<P, PagePool<P>>::from_word(rxq.pp.get());
        rxq.pp.set(0);
        pp
    };
    if let Some(pp) = pp {
        page_pool_destroy(&pp).await;
    }
}

/// The softirq takes a buffer for one packet of a queue. `None`: the page pool is empty and the
/// packet is dropped. `Some(None)`: the queue has ordinary pages.
pub async fn napi_receive<P: Platform>(
    netdev: &Netdev<P>,
    queue: u32,
) -> Option<Option<NiovRef<P>>> {
    let _func = P::func("napi_poll");
    let rxq = netdev.queues.get(queue as usize)?;
    let _napi = rxq.napi.lock().await;
    match Ptr::<P, PagePool<P>>::from_word(rxq.pp.get()) {
        None => Some(None),
        Some(pp) => page_pool_alloc_netmem(&pp).await.map(Some),
    }
}

impl<P: Platform> Netdev<P> {
    /// The queues that are bound. Only while nothing else runs.
    #[must_use]
    pub fn bound(&self) -> Vec<usize> {
        (0..self.queues.len()).filter(|i| self.queues[*i].mp_priv.get() != 0).collect()
    }
}
