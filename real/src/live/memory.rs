//! The memory of one ifq in user space: its area and its refill ring.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use ifq_model::platform::{AtomicWord, Order, Rmw};
use ifq_model::user::refill::RefillRing;

use crate::abi::{self, Offsets};
use crate::pattern;
use crate::sys::{PAGE, SharedMem};

/// Area and refill ring. Whoever shares the ifq shares this.
#[derive(Debug)]
pub(super) struct IfqMem {
    pub(super) area: SharedMem,
    pub(super) region: SharedMem,
    /// Entries of the refill ring, a power of two.
    pub(super) entries: u32,
    /// Where the kernel has put the ring's parts; unset as long as it has not registered it.
    pub(super) offsets: OnceLock<Offsets>,
    /// What the rings that share the refill ring hold while they produce.
    pub(super) lock: Mutex<()>,
}

/// More entries than any kernel accepts need no memory behind them.
const MAX_BACKED_ENTRIES: u32 = 1 << 17;
/// The layout of a ring that no kernel has registered: user space can still write into it.
const UNREGISTERED: Offsets = Offsets { head: 0, tail: 4, rqes: 64, resv2: 0, resv: [0; 2] };

impl IfqMem {
    /// Memory for an area of `buffers` pages and a refill ring of `entries`.
    pub(super) fn new(buffers: u32, entries: u32) -> io::Result<Self> {
        let entries = entries.clamp(1, MAX_BACKED_ENTRIES).next_power_of_two();
        // The header is at most one page on every architecture.
        let region = PAGE + entries as usize * size_of::<abi::Rqe>();
        Ok(IfqMem {
            area: SharedMem::new(buffers as usize * PAGE)?,
            region: SharedMem::new(region)?,
            entries,
            offsets: OnceLock::new(),
            lock: Mutex::new(()),
        })
    }

    /// The producer's side of the refill ring.
    pub(super) fn refill_ring(&self) -> MappedRing<'_> {
        let offsets = *self.offsets.get().unwrap_or(&UNREGISTERED);
        MappedRing {
            head: MappedWord(self.region.atomic_u32(offsets.head as usize)),
            tail: MappedWord(self.region.atomic_u32(offsets.tail as usize)),
            rqes: offsets.rqes as usize,
            mem: self,
        }
    }
}

/// A word that is shared with the kernel. Its futures are ready at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct MappedWord<'m>(&'m AtomicU32);

/// C11 has no stronger order than `SeqCst`; no producer's code asks for more.
fn ordering(order: Order, weakest: Ordering) -> Ordering {
    match order {
        Order::Relaxed => Ordering::Relaxed,
        Order::Acquire | Order::Release => weakest,
        Order::Full => Ordering::SeqCst,
    }
}

impl AtomicWord for MappedWord<'_> {
    async fn load(&self, order: Order) -> u64 {
        u64::from(self.0.load(ordering(order, Ordering::Acquire)))
    }

    async fn store(&self, value: u64, order: Order) {
        self.0.store(value as u32, ordering(order, Ordering::Release));
    }

    async fn rmw(&self, op: Rmw, order: Order) -> u64 {
        let apply = |value: u32| op.apply(u64::from(value)).map(|new| new as u32);
        let success = match order {
            Order::Relaxed => Ordering::Relaxed,
            Order::Acquire | Order::Release => Ordering::AcqRel,
            Order::Full => Ordering::SeqCst,
        };
        let (Ok(found) | Err(found)) = self.0.fetch_update(success, Ordering::Acquire, apply);
        u64::from(found)
    }

    fn peek(&self) -> u64 {
        u64::from(self.0.load(Ordering::Acquire))
    }

    fn poke(&self, value: u64) {
        self.0.store(value as u32, Ordering::Release);
    }
}

/// The refill ring in the memory that the kernel has pinned.
#[derive(Debug)]
pub(super) struct MappedRing<'m> {
    head: MappedWord<'m>,
    tail: MappedWord<'m>,
    rqes: usize,
    mem: &'m IfqMem,
}

impl<'m> RefillRing for MappedRing<'m> {
    type Word = MappedWord<'m>;

    fn head(&self) -> &MappedWord<'m> {
        &self.head
    }

    fn tail(&self) -> &MappedWord<'m> {
        &self.tail
    }

    fn entries(&self) -> u32 {
        self.mem.entries
    }

    async fn write(&self, index: u32, off: u64) {
        let rqe = self.rqes + index as usize * size_of::<abi::Rqe>();
        self.mem.region.atomic_u64(rqe).store(off, Ordering::Relaxed);
        // Length and padding: the kernel reads no length.
        self.mem.region.atomic_u64(rqe + 8).store(0, Ordering::Relaxed);
    }
}

/// Drives a future that is ready at once, which those of [`MappedWord`] are.
pub(super) fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

/// A buffer that a completion handed to us, with what it must hold until it is given back.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) mem: std::sync::Arc<IfqMem>,
    pub(super) off: u64,
    pub(super) len: u32,
    pub(super) socket: u8,
    pub(super) position: u64,
    returned: AtomicBool,
}

impl Held {
    pub(super) fn new(
        mem: std::sync::Arc<IfqMem>,
        off: u64,
        len: u32,
        socket: u8,
        position: u64,
    ) -> Self {
        Held { mem, off, len, socket, position, returned: AtomicBool::new(false) }
    }

    /// Whether the buffer still holds its bytes.
    pub(super) fn intact(&self) -> bool {
        let at = (self.off & abi::AREA_OFFSET_MASK) as usize;
        self.mem
            .area
            .read(at, self.len as usize)
            .is_some_and(|bytes| bytes == pattern::bytes(self.socket, self.position, bytes.len()))
    }

    /// Whether this is the first time that the buffer is given back; later its bytes are not ours.
    pub(super) fn first_return(&self) -> bool {
        !self.returned.swap(true, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use ifq_model::errno::EAGAIN;
    use ifq_model::user::refill::refill_push;

    use super::*;

    fn push(mem: &IfqMem, off: u64) -> Result<(), i64> {
        at_once(refill_push(&mem.refill_ring(), off)).unwrap()
    }

    #[test]
    fn the_ring_takes_its_entries_in_order_and_then_is_full() {
        let mem = IfqMem::new(1, 3).unwrap();
        for i in 0..4 {
            assert_eq!(push(&mem, 0x1000 * i), Ok(()));
        }
        assert_eq!(push(&mem, 0x9000), Err(-EAGAIN));
        assert_eq!(mem.region.atomic_u32(4).load(Ordering::Relaxed), 4);
        assert_eq!(mem.region.atomic_u64(64 + 3 * 16).load(Ordering::Relaxed), 0x3000);
        mem.region.atomic_u32(0).store(1, Ordering::Relaxed);
        assert_eq!(push(&mem, 0x9000), Ok(()), "the kernel took one");
        assert_eq!(mem.region.atomic_u64(64).load(Ordering::Relaxed), 0x9000);
    }

    #[test]
    fn the_indices_of_the_ring_wrap_around_where_the_kernel_put_them() {
        let mem = IfqMem::new(1, 2).unwrap();
        mem.offsets.set(Offsets { head: 8, tail: 16, rqes: 128, ..Offsets::default() }).unwrap();
        mem.region.atomic_u32(8).store(u32::MAX, Ordering::Relaxed);
        mem.region.atomic_u32(16).store(u32::MAX, Ordering::Relaxed);
        assert_eq!(push(&mem, 0x1000), Ok(()));
        assert_eq!(push(&mem, 0x2000), Ok(()));
        assert_eq!(push(&mem, 0x3000), Err(-EAGAIN));
        assert_eq!(mem.region.atomic_u32(16).load(Ordering::Relaxed), 1);
        assert_eq!(mem.region.atomic_u64(128).load(Ordering::Relaxed), 0x2000);
        assert_eq!(mem.region.atomic_u64(128 + 16).load(Ordering::Relaxed), 0x1000);
    }

    #[test]
    fn a_mapped_word_changes_in_one_step_and_keeps_to_32_bits() {
        let word = AtomicU32::new(u32::MAX);
        let mapped = MappedWord(&word);
        assert_eq!(at_once(mapped.rmw(Rmw::Add(2), Order::Full)), Some(u64::from(u32::MAX)));
        assert_eq!(mapped.peek(), 1);
        let failed = Rmw::CmpXchg { old: 9, new: 8 };
        assert_eq!(at_once(mapped.rmw(failed, Order::Relaxed)), Some(1));
        assert_eq!(mapped.peek(), 1);
        mapped.poke(7);
        assert_eq!(at_once(mapped.load(Order::Acquire)), Some(7));
    }

    #[test]
    fn a_held_buffer_is_intact_until_a_byte_of_it_changes() {
        let mem = std::sync::Arc::new(IfqMem::new(2, 1).unwrap());
        let held = Held::new(std::sync::Arc::clone(&mem), PAGE as u64, 8, 0, 16);
        assert!(!held.intact());
        let word = u64::from_ne_bytes(pattern::bytes(0, 16, 8).try_into().unwrap());
        mem.area.atomic_u64(PAGE).store(word, Ordering::Relaxed);
        assert!(held.intact());
        mem.area.atomic_u64(PAGE).store(word ^ 1, Ordering::Relaxed);
        assert!(!held.intact());
        assert!(held.first_return());
        assert!(!held.first_return());
    }
}
