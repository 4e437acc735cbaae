//! A TCP connection's receive side (`net/ipv4/tcp.c`).

mod file;
mod receive_queue;

use crate::capacity::{SockCapacity, exceeded};
use crate::errno::{ECONNRESET, EPIPE};
use crate::io_uring::poll::io_poll_wake;
use crate::io_uring::submit::Req;
use crate::kernel::Kernel;
use crate::net::layout::Layout;
use crate::net::netdev::{napi_free_frags, napi_receive, napi_receive_empty, napi_receive_packet};
use crate::platform::{AtomicWord, Kind, Label, Order, PlainWord, Platform, Ptr, RawLock};
use crate::prim::refcount::Refcount;

use receive_queue::{NewFrag, Slot, tcp_queue_rcv};

pub use file::{sock_close_fd, sock_end, sock_fget, sock_fput, sock_free_closed};
pub use receive_queue::{Frag, Skb};

/// `POLLIN`.
pub const POLLIN: u64 = 1;
/// `POLLERR`.
pub const POLLERR: u64 = 8;
/// `POLLRDHUP`.
pub const POLLRDHUP: u64 = 2;
/// Bytes in a page, and in a niov.
pub const PAGE_SIZE: u32 = 4096;

/// `sk_shutdown & RCV_SHUTDOWN`.
const SHUTDOWN: u64 = 1 << 40;
/// `SOCK_DONE`: a FIN came.
const DONE: u64 = 1 << 41;
/// `sk_err`: ECONNRESET.
const SK_ERR: u64 = 1 << 42;
/// `TCP_CLOSE`: a reset came.
const CLOSED: u64 = 1 << 43;
/// The bits that are no number of bytes.
const FLAGS: u64 = SHUTDOWN | DONE | SK_ERR | CLOSED;
/// `struct sock` of the near end, and the peer's position.
pub struct Sock<P: Platform> {
    /// Number of the connection in the test.
    pub number: u32,
    /// References to the socket's file.
    pub f_count: Refcount<P>,
    /// 1 while the descriptor of the file is open. `None`: no step closes it.
    fd: Option<P::Atomic>,
    /// The device queue its packets arrive on.
    pub queue: Option<u32>,
    /// `lock_sock`; the softirq takes the same lock. In Linux the softirq puts packets on the backlog
    /// instead of waiting, and the holder processes the backlog before it releases the lock.
    pub sk_lock: P::Lock,
    slots: Vec<Slot<P>>,
    head: P::Plain,
    tail: P::Plain,
    /// Bytes of the first fragment that have been read.
    offset: P::Plain,
    /// Bytes that can be read, and whether the peer has ended: `rcv_nxt`, `copied_seq`,
    /// `sk_shutdown`, `sk_flags`, `sk_err`, `sk_state` in one word.
    readable: P::Atomic,
    /// `sk_wq`.
    pub wq_lock: P::Lock,
    /// Requests on the wait queue, oldest first. Under `wq_lock`.
    waiters: Vec<P::Plain>,
    nr_waiters: P::Plain,
    /// Number of bytes that the peer has sent.
    write_seq: P::Plain,
}

impl<P: Platform> std::fmt::Debug for Sock<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sock").field("number", &self.number).finish_non_exhaustive()
    }
}

/// Not in Linux: makes a connected socket with one reference.
#[must_use]
pub fn sock_alloc<P: Platform>(
    number: u32,
    queue: Option<u32>,
    capacity: SockCapacity,
) -> Ptr<P, Sock<P>> {
    Ptr::alloc(Kind::Sock, number, || Sock {
        number,
        f_count: Refcount::new("f_count", 1),
        fd: capacity.closes.then(|| P::atomic("sock_fd", 1)),
        queue,
        sk_lock: P::lock("sk_lock"),
        slots: Slot::all(queue, capacity),
        head: P::plain("rcvq.head", 0),
        tail: P::plain("rcvq.tail", 0),
        offset: P::plain("copied_seq", 0),
        readable: P::atomic("readable", 0),
        wq_lock: P::lock("sk_wq"),
        waiters: (0..capacity.waiters).map(|_| P::plain(Label::pointer("waiter", 0), 0)).collect(),
        nr_waiters: P::plain("nr_waiters", 0),
        write_seq: P::plain("write_seq", 0),
    })
}

impl<P: Platform> Sock<P> {
    /// `sk_shutdown & RCV_SHUTDOWN`. Under `sk_lock`.
    ///
    /// Linux: `net/ipv4/tcp.c`, 6.18 to 7.3.
    #[must_use]
    pub fn shut_down(&self) -> bool {
        self.readable.load_in_step() & SHUTDOWN != 0
    }

    /// `sock_flag(sk, SOCK_DONE)`. Under `sk_lock`.
    ///
    /// Linux: `include/net/sock.h`, 6.18 to 7.3.
    #[must_use]
    pub fn done(&self) -> bool {
        self.readable.load_in_step() & DONE != 0
    }

    /// `sk->sk_err`. Under `sk_lock`.
    ///
    /// Linux: `include/net/sock.h`, 6.18 to 7.3.
    #[must_use]
    pub fn has_error(&self) -> bool {
        self.readable.load_in_step() & SK_ERR != 0
    }

    /// `sock_error`: the error as -errno, once. Under `sk_lock`.
    ///
    /// Linux: `include/net/sock.h`, 6.18 to 7.3.
    pub fn sock_error(&self) -> i64 {
        let readable = self.readable.load_in_step();
        self.readable.store_in_step(readable & !SK_ERR);
        if readable & SK_ERR == 0 { 0 } else { -ECONNRESET }
    }

    /// For checks: whether bytes wait.
    #[must_use]
    pub fn observe_data(&self) -> bool {
        self.readable.load_in_step() & !FLAGS != 0
    }

    /// For checks: whether an error waits.
    #[must_use]
    pub fn observe_error(&self) -> bool {
        self.readable.load_in_step() & SK_ERR != 0
    }

    /// `sk_data_ready`: wakes the requests on the wait queue, the newest first.
    ///
    /// Linux: `net/core/sock.c`, 6.18 to 7.3.
    async fn data_ready(&self, mask: u64) {
        let _guard = self.wq_lock.lock().await;
        let waiters = &self.waiters[..self.nr_waiters.get() as usize];
        for slot in waiters.iter().rev() {
            if let Some(req) = Ptr::<P, Req<P>>::from_word(slot.get()) {
                io_poll_wake(&req, mask).await;
            }
        }
    }

    /// `add_wait_queue`. The kernel adds at the head of the list.
    ///
    /// Linux: `kernel/sched/wait.c`, 6.18 to 7.3.
    pub async fn add_wait_queue(&self, req: &Ptr<P, Req<P>>) {
        let _guard = self.wq_lock.lock().await;
        let nr = self.nr_waiters.get();
        let Some(slot) = self.waiters.get(nr as usize) else {
            exceeded("a request on a wait queue")
        };
        slot.set(req.to_word());
        self.nr_waiters.set(nr + 1);
    }

    /// `remove_wait_queue`; does nothing if the request is not on the queue.
    ///
    /// Linux: `kernel/sched/wait.c`, 6.18 to 7.3.
    pub async fn remove_wait_queue(&self, req: &Ptr<P, Req<P>>) {
        let _guard = self.wq_lock.lock().await;
        let nr = self.nr_waiters.get() as usize;
        let word = req.to_word();
        let Some(at) = self.waiters[..nr].iter().position(|slot| slot.get() == word) else {
            return;
        };
        for next in at + 1..nr {
            self.waiters[next - 1].set(self.waiters[next].get());
        }
        self.waiters[nr - 1].set(0);
        self.nr_waiters.set(nr as u64 - 1);
    }
}

/// `tcp_poll`.
///
/// Linux: `net/ipv4/tcp.c`, 6.18 to 7.3.
pub async fn tcp_poll<P: Platform>(sock: &Sock<P>) -> u64 {
    let readable = sock.readable.load(Order::Acquire).await;
    let shutdown = if readable & SHUTDOWN == 0 { 0 } else { POLLIN | POLLRDHUP };
    let data = if readable & !FLAGS == 0 { 0 } else { POLLIN };
    shutdown | data
}

/// `tcp_rcv_established`: `len` bytes of the peer arrive, over loopback in one segment of ordinary
/// pages, or through the device queue in niovs, as `layout` says.
///
/// # Errors
/// -EPIPE after a shutdown or a reset, -EAGAIN if the queue's page pool has no buffer, -ENODEV if the device is
/// gone.
///
/// # Divergence from Linux
/// - Left out: segmentation, backlog, windows, the size of the receive buffer.
///
/// Linux: `net/ipv4/tcp_input.c`, 6.18 to 7.3.
pub async fn tcp_rcv_established<P: Platform>(
    kernel: &Kernel<P>,
    sock: &Ptr<P, Sock<P>>,
    len: u32,
    layout: Layout,
) -> Result<(), i64> {
    let _func = P::func("tcp_rcv_established");
    // The peer cannot send after its own shutdown: nothing reaches the device.
    if sock.readable.load(Order::Relaxed).await & SHUTDOWN != 0 {
        return Err(-EPIPE);
    }
    let mut left = len;
    while left > 0 && layout.is_pages() {
        let (received, chunk) = match (sock.queue, &kernel.netdev) {
            // The device cuts at pages, also when no ifq is bound to the queue.
            (Some(queue), Some(netdev)) => {
                (napi_receive(netdev, queue).await?, left.min(PAGE_SIZE))
            }
            _ => (None, left),
        };
        tcp_data_queue(sock, &[vec![(chunk, 0, received)]]).await?;
        left -= chunk;
    }
    if let (false, Some(queue), Some(netdev)) = (layout.is_pages(), sock.queue, &kernel.netdev) {
        let niovs = napi_receive_packet(netdev, queue, layout).await?;
        let mut off = 0;
        let frags = layout.parts(len, PAGE_SIZE).zip(niovs).map(|(part, niov)| {
            let frag = (part, off, niov);
            off += if matches!(layout, Layout::Packets(_)) { part } else { 0 };
            frag
        });
        let packets: Vec<_> = match layout {
            Layout::Packets(_) => frags.map(|frag| vec![frag]).collect(),
            _ => vec![frags.collect()],
        };
        tcp_data_queue(sock, &packets).await?;
    }
    Ok(())
}

/// `tcp_data_queue` for packets that NAPI hands up together, each with its fragments.
///
/// # Errors
/// -EPIPE if the connection has ended: the packets are freed.
///
/// Linux: `net/ipv4/tcp_input.c`, 6.18 to 7.3.
async fn tcp_data_queue<P: Platform>(
    sock: &Sock<P>,
    packets: &[Vec<NewFrag<P>>],
) -> Result<(), i64> {
    let _guard = sock.sk_lock.lock().await;
    if sock.shut_down() {
        for (.., niov) in packets.iter().flatten() {
            napi_free_frags(std::slice::from_ref(niov)).await;
        }
        return Err(-EPIPE);
    }
    for packet in packets {
        tcp_queue_rcv(sock, packet);
        sock.data_ready(POLLIN).await;
    }
    Ok(())
}

/// `tcp_fin`: the peer's FIN arrives, over loopback or through the device queue.
///
/// # Errors
/// -EPIPE after a reset, -ENODEV if the device is gone.
///
/// Linux: `net/ipv4/tcp_input.c`, 6.18 to 7.3.
pub async fn tcp_fin<P: Platform>(kernel: &Kernel<P>, sock: &Ptr<P, Sock<P>>) -> Result<(), i64> {
    let _func = P::func("tcp_fin");
    // The peer has closed its socket: nothing reaches the device.
    if sock.readable.load_in_step() & CLOSED != 0 {
        return Err(-EPIPE);
    }
    if let (Some(queue), Some(netdev)) = (sock.queue, &kernel.netdev) {
        napi_receive_empty(netdev, queue).await?;
    }
    let _guard = sock.sk_lock.lock().await;
    sock.readable.store_in_step(sock.readable.load_in_step() | SHUTDOWN | DONE);
    sock.data_ready(POLLIN | POLLRDHUP).await;
    Ok(())
}

/// `tcp_reset`: the peer's reset arrives, over loopback or through the device queue. The receive queue
/// stays. After a FIN the error is EPIPE, which no receiver sees, because `SOCK_DONE` is set.
///
/// # Errors
/// -EPIPE after an earlier reset, -ENODEV if the device is gone.
///
/// Linux: `net/ipv4/tcp_input.c`, 6.18 to 7.3.
pub async fn tcp_reset<P: Platform>(kernel: &Kernel<P>, sock: &Ptr<P, Sock<P>>) -> Result<(), i64> {
    let _func = P::func("tcp_reset");
    // The peer has closed its socket: nothing reaches the device.
    if sock.readable.load_in_step() & CLOSED != 0 {
        return Err(-EPIPE);
    }
    if let (Some(queue), Some(netdev)) = (sock.queue, &kernel.netdev) {
        napi_receive_empty(netdev, queue).await?;
    }
    let _guard = sock.sk_lock.lock().await;
    let error = if sock.done() { 0 } else { SK_ERR };
    sock.readable.store_in_step(sock.readable.load_in_step() | SHUTDOWN | CLOSED | error);
    // tcp_done(): sk_state_change()
    sock.data_ready(0).await;
    // sk_error_report()
    sock.data_ready(POLLERR).await;
    Ok(())
}
