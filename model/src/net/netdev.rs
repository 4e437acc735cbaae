//! A network device with receive queues (`net/core/netdev_rx_queue.c`, `net/core/dev.c`).

use crate::bug::{Warning, warn_on_once};
use crate::errno::{EAGAIN, EEXIST, ENODEV, ENOMEM, ERANGE};
use crate::fault::FaultPoint;
use crate::io_uring::zcrx::Ifq;
use crate::io_uring::zcrx::memory_provider::io_pp_uninstall;
use crate::io_uring::zcrx::niov::NiovRef;
use crate::kernel::{Kernel, WorkCounter};
use crate::net::page_pool::{
    PagePool, page_pool_alloc_netmem, page_pool_create, page_pool_destroy,
};
use crate::platform::{Kind, Label, PlainWord, Platform, Ptr, RawLock};

/// `struct netdev_rx_queue`.
#[derive(Debug)]
pub struct Rxq<P: Platform> {
    /// `mp_params.mp_priv`, under the netdev lock.
    mp_priv: P::Plain,
    /// Serialises the softirq that polls the queue; held while the queue is stopped.
    napi: P::Lock,
    /// Whether the queue accepts packets. Under `napi`.
    running: P::Plain,
    /// The queue's page pool with a memory provider; 0: ordinary pages. Under `napi`.
    pp: P::Plain,
}

/// `struct net_device`.
#[derive(Debug)]
pub struct Netdev<P: Platform> {
    /// `rtnl_mutex`.
    rtnl: P::Lock,
    /// `netdev_lock`.
    pub lock: P::Lock,
    /// `IFF_UP`. Under the netdev lock.
    up: P::Plain,
    /// `NETREG_REGISTERED`. Under the netdev lock.
    registered: P::Plain,
    /// References that are taken and not yet put.
    refs: WorkCounter<P>,
    queues: Vec<Rxq<P>>,
}

/// Not in Linux: makes a device with header split on and no XDP program.
#[must_use]
pub fn netdev_alloc<P: Platform>(queues: u32) -> Ptr<P, Netdev<P>> {
    Ptr::alloc(Kind::Netdev, 0, || Netdev {
        rtnl: P::lock("rtnl"),
        lock: P::lock("netdev_lock"),
        up: P::plain("up", 1),
        registered: P::plain("reg_state", 1),
        refs: WorkCounter::new(),
        queues: (0..queues)
            .map(|_| Rxq {
                mp_priv: P::plain(Label::pointer("mp_priv", 0), 0),
                napi: P::lock("napi"),
                running: P::plain("rxq.running", 1),
                pp: P::plain(Label::pointer("rxq.pp", 0), 0),
            })
            .collect(),
    })
}

/// The index of the device, `if_idx`.
pub const IFINDEX: u32 = 2;

/// `netdev_get_by_index_lock`: the device and its lock. `None` without a device of this index, or if the
/// device is being unregistered.
///
/// Linux: `net/core/dev.c`, 6.18 to 7.3.
pub async fn netdev_get_by_index_lock<P: Platform>(
    kernel: &Kernel<P>,
    if_idx: u32,
) -> Option<(&Netdev<P>, <P::Lock as RawLock>::Guard<'_>)> {
    let netdev = kernel.netdev.as_ref().filter(|_| if_idx == IFINDEX)?;
    let guard = netdev.lock.lock().await;
    (netdev.registered.get() != 0).then_some((&**netdev, guard))
}

/// `netif_mp_open_rxq`: binds the queue to the ifq and restarts it. Under the netdev lock. If the device is
/// down, the page pool is created as a test and destroyed at once.
///
/// # Errors
/// -ERANGE if there is no such queue, -EEXIST if it is bound already, -ENOMEM at the fault points.
///
/// Linux: `net/core/netdev_rx_queue.c`, 6.18 to 7.3.
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
    if P::fault(FaultPoint::PpInit) {
        rxq.mp_priv.set(0);
        return Err(-ENOMEM);
    }
    let pp = page_pool_create(ifq).await;
    if netdev.up.get() == 0 {
        page_pool_destroy(&pp).await;
        return Ok(());
    }
    let _napi = rxq.napi.lock().await;
    rxq.pp.set(pp.to_word());
    Ok(())
}

/// `netif_mp_close_rxq`: unbinds the queue, restarts it on ordinary pages and destroys its page pool. Under
/// the netdev lock. Does nothing if the device has unbound the queue already.
///
/// Linux: `net/core/netdev_rx_queue.c`, 6.18 to 7.3.
pub async fn netif_mp_close_rxq<P: Platform>(
    kernel: &Kernel<P>,
    netdev: &Netdev<P>,
    rxq_idx: u32,
    ifq: &Ptr<P, Ifq<P>>,
) {
    let _func = P::func("netif_mp_close_rxq");
    netdev.lock.assert_held();
    let Some(rxq) = netdev.queues.get(rxq_idx as usize) else { return };
    if netdev.registered.get() == 0 && rxq.mp_priv.get() == 0 {
        return;
    }
    let foreign = rxq.mp_priv.get() != ifq.to_word();
    if warn_on_once(kernel, foreign, Warning::ForeignProvider) {
        return;
    }
    rxq.mp_priv.set(0);
    rxq.stop(false).await;
}

impl<P: Platform> Rxq<P> {
    /// Detaches the page pool and destroys it. `down`: the queue accepts no more packets.
    async fn stop(&self, down: bool) {
        let pp = {
            let _napi = self.napi.lock().await;
            if down {
                self.running.set(0);
            }
            let pp = Ptr::<P, PagePool<P>>::from_word(self.pp.get());
            self.pp.set(0);
            pp
        };
        if let Some(pp) = pp {
            page_pool_destroy(&pp).await;
        }
    }
}

/// `unregister_netdevice` and `netdev_run_todo`: closes the device, unbinds its queues, and waits until all
/// references are gone. Does nothing the second time.
///
/// # Divergence from Linux
/// - Simplified: the device's memory stays; sockets lose their route, not their data.
///
/// Linux: `net/core/dev.c`, 6.18 to 7.3.
pub async fn unregister_netdevice<P: Platform>(netdev: &Netdev<P>) {
    let _func = P::func("unregister_netdevice_many");
    {
        let _rtnl = netdev.rtnl.lock().await;
        if netdev.registered.get() == 0 {
            return;
        }
        dev_close(netdev).await;
        {
            let _guard = netdev.lock.lock().await;
            netdev.registered.set(0);
        }
        // synchronize_net()
        let _guard = netdev.lock.lock().await;
        dev_memory_provider_uninstall(netdev).await;
    }
    // netdev_wait_allrefs_any()
    netdev.refs.flush().await;
}

/// `netif_close_many` for one device.
///
/// Linux: `net/core/dev.c`, 6.18 to 7.3.
async fn dev_close<P: Platform>(netdev: &Netdev<P>) {
    let _func = P::func("__dev_close_many");
    let _guard = netdev.lock.lock().await;
    netdev.up.set(0);
    for rxq in &netdev.queues {
        rxq.stop(true).await;
    }
}

/// `dev_memory_provider_uninstall`. Under the netdev lock.
///
/// Linux: `net/core/dev.c`, 6.18 to 7.3.
async fn dev_memory_provider_uninstall<P: Platform>(netdev: &Netdev<P>) {
    let _func = P::func("dev_memory_provider_uninstall");
    for rxq in &netdev.queues {
        if let Some(ifq) = Ptr::<P, Ifq<P>>::from_word(rxq.mp_priv.get()) {
            io_pp_uninstall(&ifq).await;
            rxq.mp_priv.set(0);
        }
    }
}

/// `napi_poll`: the softirq allocates a buffer for one packet of a queue. `None`: the queue has ordinary
/// pages.
///
/// # Errors
/// -ENODEV if the device is down, -EAGAIN if the page pool is empty; the packet is dropped.
///
/// Linux: `net/core/dev.c`, 6.18 to 7.3.
pub async fn napi_receive<P: Platform>(
    netdev: &Netdev<P>,
    queue: u32,
) -> Result<Option<NiovRef<P>>, i64> {
    let _func = P::func("napi_poll");
    let rxq = netdev.queues.get(queue as usize).ok_or(-ENODEV)?;
    let _napi = rxq.napi.lock().await;
    if rxq.running.get() == 0 {
        return Err(-ENODEV);
    }
    match Ptr::<P, PagePool<P>>::from_word(rxq.pp.get()) {
        None => Ok(None),
        Some(pp) => page_pool_alloc_netmem(&pp).await.map(Some).ok_or(-EAGAIN),
    }
}

/// `napi_poll` for a packet without data, which needs no buffer of the page pool.
///
/// # Errors
/// -ENODEV if the device is down.
///
/// Linux: `net/core/dev.c`, 6.18 to 7.3.
pub async fn napi_receive_empty<P: Platform>(netdev: &Netdev<P>, queue: u32) -> Result<(), i64> {
    let _func = P::func("napi_poll");
    let rxq = netdev.queues.get(queue as usize).ok_or(-ENODEV)?;
    let _napi = rxq.napi.lock().await;
    if rxq.running.get() == 0 { Err(-ENODEV) } else { Ok(()) }
}

impl<P: Platform> Netdev<P> {
    /// `netdev_hold`.
    ///
    /// Linux: `include/linux/netdevice.h`, 6.18 to 7.3.
    pub fn hold(&self) {
        self.refs.begin();
    }

    /// `netdev_put`.
    ///
    /// Linux: `include/linux/netdevice.h`, 6.18 to 7.3.
    pub fn put(&self) {
        self.refs.done();
    }

    /// For checks: whether a reference is left. Only while nothing else runs.
    #[must_use]
    pub fn observe_held(&self) -> bool {
        self.refs.pending()
    }

    /// For checks: the queues that are bound. Only while nothing else runs.
    #[must_use]
    pub fn observe_bound(&self) -> Vec<usize> {
        (0..self.queues.len()).filter(|i| self.queues[*i].mp_priv.get() != 0).collect()
    }
}
