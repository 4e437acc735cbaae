//! The packets that a socket has and no request has received (`sk_receive_queue`).

use super::Sock;
use crate::capacity::{SockCapacity, exceeded, slot};
use crate::io_uring::zcrx::niov::{NiovRef, io_zcrx_return_niov, niov_label};
use crate::net::page_pool::page_pool_unref_and_test;
use crate::platform::{AtomicWord, PlainWord, Platform};

/// `MAX_SKB_FRAGS`: fragments in a packet.
const MAX_SKB_FRAGS: usize = 17;

const FRAGMENT: &str = "a fragment in a receive queue";

/// One fragment in the receive queue.
#[derive(Clone, Debug)]
pub struct Frag<P: Platform> {
    /// Position in the stream of its first byte.
    pub seq: u64,
    /// Bytes.
    pub len: u32,
    /// `skb_frag_off`: where in the buffer the first byte lies.
    pub off: u32,
    /// The buffer with the bytes; `None`: ordinary pages.
    pub niov: Option<NiovRef<P>>,
}

/// `struct sk_buff` in the receive queue.
#[derive(Clone, Debug)]
pub struct Skb<P: Platform> {
    /// Its fragments, in order; at least one.
    pub frags: Vec<Frag<P>>,
    /// Where its first fragment lies in the queue.
    position: u64,
}

/// A fragment of a packet that arrives: its length, its offset in the buffer, the buffer.
pub(super) type NewFrag<P> = (u32, u32, Option<NiovRef<P>>);

impl<P: Platform> Skb<P> {
    /// `skb->len`.
    ///
    /// Linux: `include/linux/skbuff.h`, 6.18 to 7.3.
    #[must_use]
    pub fn skb_len(&self) -> u32 {
        self.frags.iter().map(|frag| frag.len).sum()
    }

    /// `skb_frags_readable`: whether its bytes lie in ordinary pages.
    ///
    /// Linux: `include/linux/skbuff.h`, 6.18 to 7.3.
    fn skb_frags_readable(&self) -> bool {
        self.frags.iter().all(|frag| frag.niov.is_none())
    }
}

/// A fragment in the memory of the socket.
#[derive(Debug)]
pub(super) struct Slot<P: Platform> {
    seq: P::Plain,
    len: P::Plain,
    niov: P::Plain,
    /// `skb_frag_off`, and the number of fragments of the packet that begins here, 0 in its other fragments.
    /// `None`: all packets have one fragment, at the start of its buffer.
    frag: Option<(P::Plain, P::Plain)>,
}

impl<P: Platform> Slot<P> {
    /// The memory for the receive queue of a socket.
    pub(super) fn all(queue: Option<u32>, capacity: SockCapacity) -> Vec<Self> {
        let joins = queue.is_some() && capacity.fragments > 1;
        let slot = |_| Slot {
            seq: P::plain("skb.seq", 0),
            len: P::plain("skb.len", 0),
            niov: P::plain(niov_label("skb.niov"), 0),
            frag: (capacity.layouts || joins)
                .then(|| (P::plain("skb.frag_off", 0), P::plain("skb.nr_frags", 0))),
        };
        (0..capacity.fragments).map(slot).collect()
    }
}

impl<P: Platform> Sock<P> {
    fn slot(&self, position: u64) -> &Slot<P> {
        slot(&self.slots, position, FRAGMENT)
    }

    /// The first packet and how many of its bytes have been read. Under `sk_lock`.
    #[must_use]
    pub fn first(&self) -> Option<(Skb<P>, u32)> {
        let head = self.head.get();
        (head != self.tail.get()).then(|| (self.skb(head), self.offset.get() as u32))
    }

    /// The packet whose first fragment lies here.
    fn skb(&self, position: u64) -> Skb<P> {
        let nr = self.slot(position).frag.as_ref().map_or(1, |(_, nr)| nr.get());
        let frag = |position| {
            let slot = self.slot(position);
            Frag {
                seq: slot.seq.get(),
                len: slot.len.get() as u32,
                off: slot.frag.as_ref().map_or(0, |(off, _)| off.get() as u32),
                niov: NiovRef::from_word(slot.niov.get()),
            }
        };
        Skb { frags: (position..position + nr).map(frag).collect(), position }
    }

    /// `skb_peek_tail`: the last packet.
    ///
    /// Linux: `include/linux/skbuff.h`, 6.18 to 7.3.
    fn skb_peek_tail(&self) -> Option<Skb<P>> {
        let (mut position, tail) = (self.head.get(), self.tail.get());
        while position != tail {
            let skb = self.skb(position);
            position += skb.frags.len() as u64;
            if position == tail {
                return Some(skb);
            }
        }
        None
    }

    /// Consumes `used` bytes of the first packet; `tcp_eat_recv_skb` after its last byte.
    pub async fn consume(&self, skb: &Skb<P>, offset: u32, used: u32) {
        self.readable.store_in_step(self.readable.load_in_step() - u64::from(used));
        if offset + used < skb.skb_len() {
            self.offset.set(u64::from(offset + used));
            return;
        }
        self.offset.set(0);
        self.head.set(self.head.get() + skb.frags.len() as u64);
        for niov in skb.frags.iter().filter_map(|frag| frag.niov.as_ref()) {
            if page_pool_unref_and_test(niov).await {
                io_zcrx_return_niov(niov).await;
            }
        }
    }

    /// Writes a packet behind the last one. The device has filled its buffers.
    fn write_skb(&self, packet: &[NewFrag<P>]) -> Skb<P> {
        let position = self.tail.get();
        let mut seq = self.write_seq.get();
        for (at, (len, off, niov)) in (position..).zip(packet) {
            if at - self.head.get() == self.slots.len() as u64 {
                exceeded(FRAGMENT);
            }
            let slot = self.slot(at);
            slot.seq.set(seq);
            slot.len.set(u64::from(*len));
            slot.niov.set(niov.as_ref().map_or(0, NiovRef::to_word));
            if let Some((frag_off, nr_frags)) = &slot.frag {
                frag_off.set(u64::from(*off));
                nr_frags.set(if at == position { packet.len() as u64 } else { 0 });
            }
            if let Some(niov) = niov
                && *off == 0
            {
                niov.fill(self.number, seq);
            }
            seq += u64::from(*len);
        }
        self.skb(position)
    }

    /// Makes the fragments of `from`, which lie behind those of `to`, its last ones.
    fn append_frags(&self, to: &Skb<P>, from: &Skb<P>) {
        for (skb, nr) in [(to, to.frags.len() + from.frags.len()), (from, 0)] {
            if let Some((_, nr_frags)) = &self.slot(skb.position).frag {
                nr_frags.set(nr as u64);
            }
        }
    }
}

/// `tcp_queue_rcv`: queues a packet, or joins it with the last one.
///
/// Linux: `net/ipv4/tcp_input.c`, 6.18 to 7.3.
pub(super) fn tcp_queue_rcv<P: Platform>(sock: &Sock<P>, packet: &[NewFrag<P>]) {
    let skb = sock.write_skb(packet);
    if let Some(tail) = sock.skb_peek_tail() {
        tcp_try_coalesce(sock, &tail, &skb);
    }
    sock.tail.set(sock.tail.get() + skb.frags.len() as u64);
    let len = u64::from(skb.skb_len());
    sock.write_seq.set(sock.write_seq.get() + len);
    sock.readable.store_in_step(sock.readable.load_in_step() + len);
}

/// `tcp_try_coalesce` with `skb_try_coalesce`: joins a packet with the unread one before it. The device gets the
/// buffers of both back when the last byte of `from` has been received.
///
/// # Divergence from Linux
/// - Left out: packets over loopback, which Linux joins if the peer knows that `to` has arrived (`skb_cloned`).
///   Outcomes: with more than 20 unread packets, how many completions one call of `io_zcrx_recv` makes.
///
/// Linux: `net/ipv4/tcp_input.c`, `net/core/skbuff.c`, 6.18 to 7.3.
fn tcp_try_coalesce<P: Platform>(sock: &Sock<P>, to: &Skb<P>, from: &Skb<P>) {
    if sock.queue.is_none() || to.skb_frags_readable() != from.skb_frags_readable() {
        return;
    }
    if to.frags.len() + from.frags.len() > MAX_SKB_FRAGS {
        return;
    }
    sock.append_frags(to, from);
}
