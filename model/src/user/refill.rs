//! The producer of the refill ring: the code of an application.
//!
//! It is generic over the words of the ring. The model runs it on its own memory, and `ifq-real` on
//! the ring that it shares with a kernel.

use std::future::Future;

use crate::errno::EAGAIN;
use crate::mm::RqMem;
use crate::platform::{AtomicWord, Order, Platform};

/// A refill ring as its producer sees it.
pub trait RefillRing {
    /// The type of `head` and `tail`.
    type Word: AtomicWord;
    /// The kernel's index.
    fn head(&self) -> &Self::Word;
    /// The producer's index.
    fn tail(&self) -> &Self::Word;
    /// Number of entries, a power of two.
    fn entries(&self) -> u32;
    /// Writes an entry that is not published yet.
    fn write(&self, index: u32, off: u64) -> impl Future<Output = ()>;
}

/// Returns a buffer: writes an entry and publishes it.
///
/// Several producers need a lock around it, because a producer reads the tail and writes it back plus one.
///
/// # Errors
/// -EAGAIN if the ring is full.
pub async fn refill_push(ring: &impl RefillRing, off: u64) -> Result<(), i64> {
    let tail = ring.tail().load(Order::Relaxed).await as u32;
    // Pairs with the kernel's release of head: what it has consumed may be overwritten.
    let head = ring.head().load(Order::Acquire).await as u32;
    if tail.wrapping_sub(head) >= ring.entries() {
        return Err(-EAGAIN);
    }
    publish(ring, tail, off).await;
    Ok(())
}

/// Returns a buffer as a producer that does not look for room: in a full ring it overwrites the oldest
/// entry, which the kernel has not read.
pub async fn refill_push_unchecked(ring: &impl RefillRing, off: u64) {
    let tail = ring.tail().load(Order::Relaxed).await as u32;
    publish(ring, tail, off).await;
}

async fn publish(ring: &impl RefillRing, tail: u32, off: u64) {
    ring.write(tail & (ring.entries() - 1), off).await;
    ring.tail().store(u64::from(tail.wrapping_add(1)), Order::Release).await;
}

impl<P: Platform> RefillRing for RqMem<P> {
    type Word = P::Atomic;

    fn head(&self) -> &P::Atomic {
        &self.head
    }

    fn tail(&self) -> &P::Atomic {
        &self.tail
    }

    fn entries(&self) -> u32 {
        self.rqes.len() as u32
    }

    async fn write(&self, index: u32, off: u64) {
        self.rqes[index as usize].store(off, Order::Relaxed).await;
    }
}
