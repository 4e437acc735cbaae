//! A network device with receive queues (`net/core/netdev_rx_queue.c`, `net/core/dev.c`).

use crate::bug::{Warning, warn_on_once};
use crate::errno::{EAGAIN, EEXIST, ENODEV, ENOMEM, ERANGE};
use crate::fault::FaultPoint;
use crate::io_uring::zcrx::Ifq;
use crate::io_uring::zcrx::memory_provider::io_pp_uninstall;
use crate::io_uring::zcrx::niov::{NiovRef, io_zcrx_return_niov};
use crate::kernel::{Kernel, WorkCounter};
use crate::net::layout::Layout;
use crate::net::page_pool::{
    PagePool, page_pool_alloc_netmem, page_pool_create, page_pool_destroy, page_pool_unref_and_test,
};
use crate::platform::{AtomicWord, Kind, Label, PlainWord, Platform, Ptr, RawLock};
use crate::trace::Tracepoint;

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
    /// `NETREG_REGISTERED`. Written under `rtnl` and the netdev lock, read under either.
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
/// # Divergence from Linux
/// - Left out: queues that a virtual device (netkit) leases from a physical one, from 7.2 on. The kernel goes
///   from the virtual queue to the physical one, takes the physical device's lock inside that of the virtual
///   one, and binds the physical queue; the end of the lease closes it as an unregistration of the device
///   does. Outcomes: -EBUSY of `register` on the physical device for a queue that is leased, and -EOPNOTSUPP
///   for a lease from a device without a parent. Nothing of `io_uring/zcrx.c` differs.
///
/// Linux: `net/core/netdev_rx_queue.c`, 7.1 to 7.3; `__net_mp_open_rxq`, 6.18 to 7.0.
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
    let ret = netdev_rx_queue_reconfig(netdev, rxq).await;
    if ret.is_err() {
        rxq.mp_priv.set(0);
    }
    ret
}

/// `netdev_rx_queue_reconfig`, before 7.1 `netdev_rx_queue_restart`: allocates the memory of the queue anew,
/// with a page pool if a provider is bound, stops the queue, starts it with the new memory and frees the
/// old. If the device is down, the new memory is freed at once. Under the netdev lock.
///
/// # Errors
/// -ENOMEM at the fault points; the queue then runs on with its old memory.
///
/// # Divergence from Linux
/// - Left out: the driver fails to stop or to start the queue.
///
/// Linux: `net/core/netdev_rx_queue.c`, 6.18 to 7.3.
async fn netdev_rx_queue_reconfig<P: Platform>(
    netdev: &Netdev<P>,
    rxq: &Rxq<P>,
) -> Result<(), i64> {
    // ndo_queue_mem_alloc()
    let new = match Ptr::<P, Ifq<P>>::from_word(rxq.mp_priv.get()) {
        Some(_) if P::fault(FaultPoint::PpInit) => return Err(-ENOMEM),
        Some(ifq) => Some(page_pool_create(&ifq).await),
        None if P::fault(FaultPoint::RxqRestart) => return Err(-ENOMEM),
        None => None,
    };
    let old = if netdev.up.get() == 0 {
        new
    } else {
        // ndo_queue_stop(), ndo_queue_start()
        let _napi = rxq.napi.lock().await;
        let old = Ptr::<P, PagePool<P>>::from_word(rxq.pp.get());
        rxq.pp.set(new.map_or(0, |pp| pp.to_word()));
        old
    };
    // ndo_queue_mem_free()
    if let Some(pp) = old {
        page_pool_destroy(&pp).await;
    }
    Ok(())
}

/// `netif_mp_close_rxq`: unbinds the queue, restarts it on ordinary pages and destroys its page pool. Under
/// the netdev lock. Does nothing if the device has unbound the queue already.
///
/// # Errors
/// -ENOMEM at the fault point; the queue then runs on with its page pool.
///
/// # Divergence from Linux
/// - Simplified: Linux returns nothing, and warns if the restart fails. The repair of
///   `unmap-after-failed-restart` needs the result.
///
/// Linux: `net/core/netdev_rx_queue.c`, 7.1 to 7.3; `net_mp_close_rxq`, 6.18 to 7.0.
pub async fn netif_mp_close_rxq<P: Platform>(
    kernel: &Kernel<P>,
    netdev: &Netdev<P>,
    rxq_idx: u32,
    ifq: &Ptr<P, Ifq<P>>,
) -> Result<(), i64> {
    let _func = P::func("netif_mp_close_rxq");
    netdev.lock.assert_held();
    let Some(rxq) = netdev.queues.get(rxq_idx as usize) else { return Ok(()) };
    if netdev.registered.get() == 0 && rxq.mp_priv.get() == 0 {
        return Ok(());
    }
    let foreign = rxq.mp_priv.get() != ifq.to_word();
    if warn_on_once(kernel, foreign, Warning::ForeignProvider) {
        return Ok(());
    }
    rxq.mp_priv.set(0);
    netdev_rx_queue_reconfig(netdev, rxq).await
}

impl<P: Platform> Rxq<P> {
    /// `ndo_stop` of the driver, for one queue: it accepts no more packets, and its page pool is destroyed.
    async fn stop(&self) {
        let pp = {
            let _napi = self.napi.lock().await;
            self.running.set(0);
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

/// `netif_close_many` for one device. Does nothing if it is down.
///
/// Linux: `net/core/dev.c`, 6.18 to 7.3.
pub async fn dev_close<P: Platform>(netdev: &Netdev<P>) {
    let _func = P::func("__dev_close_many");
    let _guard = netdev.lock.lock().await;
    if netdev.up.get() == 0 {
        return;
    }
    netdev.up.set(0);
    for rxq in &netdev.queues {
        rxq.stop().await;
    }
}

/// `netif_close` of a device that user space takes down. Its queues stay bound to their providers.
///
/// # Errors
/// -ENODEV if the device is unregistered.
///
/// Linux: `net/core/dev.c`, 6.18 to 7.3.
pub async fn netif_close<P: Platform>(netdev: &Netdev<P>) -> Result<(), i64> {
    let _rtnl = netdev.rtnl.lock().await;
    if netdev.registered.get() == 0 {
        return Err(-ENODEV);
    }
    dev_close(netdev).await;
    Ok(())
}

/// `netif_open` with `ndo_open` of the driver: each queue gets its memory, with a page pool if a provider is
/// bound. Does nothing if the device is up.
///
/// # Errors
/// -ENODEV if the device is unregistered, -ENOMEM at the fault point; the device then stays down.
///
/// Linux: `net/core/dev.c`, 6.18 to 7.3.
pub async fn netif_open<P: Platform>(netdev: &Netdev<P>) -> Result<(), i64> {
    let _func = P::func("__dev_open");
    let _rtnl = netdev.rtnl.lock().await;
    let _guard = netdev.lock.lock().await;
    if netdev.registered.get() == 0 {
        return Err(-ENODEV);
    }
    if netdev.up.get() != 0 {
        return Ok(());
    }
    for (i, rxq) in netdev.queues.iter().enumerate() {
        let pp = match Ptr::<P, Ifq<P>>::from_word(rxq.mp_priv.get()) {
            Some(_) if P::fault(FaultPoint::PpInit) => {
                for opened in &netdev.queues[..i] {
                    opened.stop().await;
                }
                return Err(-ENOMEM);
            }
            Some(ifq) => page_pool_create(&ifq).await.to_word(),
            None => 0,
        };
        let _napi = rxq.napi.lock().await;
        rxq.pp.set(pp);
        rxq.running.set(1);
    }
    netdev.up.set(1);
    Ok(())
}

/// `netdev_rx_queue_restart`, as drivers and netlink call it.
///
/// # Errors
/// -ENODEV if the device is unregistered, -ERANGE if there is no such queue, -ENOMEM at the fault points.
///
/// Linux: `net/core/netdev_rx_queue.c`, 6.18 to 7.3.
pub async fn netdev_rx_queue_restart<P: Platform>(
    netdev: &Netdev<P>,
    rxq_idx: u32,
) -> Result<(), i64> {
    let _func = P::func("netdev_rx_queue_restart");
    let _guard = netdev.lock.lock().await;
    if netdev.registered.get() == 0 {
        return Err(-ENODEV);
    }
    let rxq = netdev.queues.get(rxq_idx as usize).ok_or(-ERANGE)?;
    netdev_rx_queue_reconfig(netdev, rxq).await
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

/// `napi_poll`: the device writes one packet of a queue into a buffer of the page pool. `None`: the queue has
/// ordinary pages.
///
/// # Errors
/// -ENODEV if the device is down, -EAGAIN if the page pool is empty; the packet is dropped.
///
/// # Divergence from Linux
/// - Simplified: a driver allocates buffers before packets come and gives them to the device, which writes to
///   them until the queue stops. Here a buffer is allocated for a packet that is there.
/// - Left out: packets of a header only, buffers that NAPI recycles into the pool's cache directly.
///
/// Linux: `net/core/dev.c`, 6.18 to 7.3.
pub async fn napi_receive<P: Platform>(
    netdev: &Netdev<P>,
    queue: u32,
) -> Result<Option<NiovRef<P>>, i64> {
    napi_receive_packet(netdev, queue, Layout::Pages).await.map(|mut frags| frags.pop().flatten())
}

/// `napi_poll`: the device writes one packet into several buffers, or several packets into one
/// (`page_pool_fragment_netmem`). Returns the buffer of each fragment.
///
/// # Errors
/// As [`napi_receive`]. If a buffer is missing for a fragment, the driver frees those of the others.
///
/// # Divergence from Linux
/// - Simplified: a driver that puts packets into one buffer keeps references of its own until the buffer is
///   full. Here it knows the number of packets when it takes the buffer.
///
/// Linux: `net/core/dev.c`, 6.18 to 7.3.
pub async fn napi_receive_packet<P: Platform>(
    netdev: &Netdev<P>,
    queue: u32,
    layout: Layout,
) -> Result<Vec<Option<NiovRef<P>>>, i64> {
    let _func = P::func("napi_poll");
    let rxq = netdev.queues.get(queue as usize).ok_or(-ENODEV)?;
    let _napi = rxq.napi.lock().await;
    if rxq.running.get() == 0 {
        return Err(-ENODEV);
    }
    let (buffers, packets) = match layout {
        Layout::Pages => (1, 1),
        Layout::Frags(nr) => (nr, 1),
        Layout::Packets(nr) => (1, nr),
    };
    let Some(pp) = Ptr::<P, PagePool<P>>::from_word(rxq.pp.get()) else {
        return Ok(vec![None; (buffers * packets) as usize]);
    };
    let mut frags: Vec<Option<NiovRef<P>>> = Vec::with_capacity((buffers * packets) as usize);
    for _ in 0..buffers {
        let Some(niov) = page_pool_alloc_netmem(&pp).await else {
            napi_free_frags(&frags).await;
            return Err(-EAGAIN);
        };
        if packets > 1 {
            // page_pool_fragment_netmem()
            niov.pp_ref_count().store_in_step(u64::from(packets));
        }
        frags.extend(std::iter::repeat_n(Some(niov), packets as usize));
    }
    // The device writes when it has all buffers of the packet.
    for niov in frags.iter().flatten() {
        pp.ifq().kernel.trace(&Tracepoint::DmaWrite(niov));
    }
    Ok(frags)
}

/// `kfree_skb` of a packet: its fragments go back to their page pool (`skb_frag_unref`).
///
/// Linux: `net/core/skbuff.c`, 6.18 to 7.3.
pub async fn napi_free_frags<P: Platform>(frags: &[Option<NiovRef<P>>]) {
    for niov in frags.iter().flatten() {
        if page_pool_unref_and_test(niov).await {
            io_zcrx_return_niov(niov).await;
        }
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

    /// Not in Linux: whether a queue runs on the page pool of a provider that is not bound any more.
    pub async fn has_stray_page_pool(&self) -> bool {
        let _guard = self.lock.lock().await;
        for rxq in self.queues.iter().filter(|rxq| rxq.mp_priv.get() == 0) {
            let _napi = rxq.napi.lock().await;
            if rxq.pp.get() != 0 {
                return true;
            }
        }
        false
    }

    /// For checks: the queues that are bound. Only while nothing else runs.
    #[must_use]
    pub fn observe_bound(&self) -> Vec<usize> {
        (0..self.queues.len()).filter(|i| self.queues[*i].mp_priv.get() != 0).collect()
    }
}
