//! The memory of one ifq in user space: its areas and its refill ring.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use ifq_model::platform::{AtomicWord, Order, Rmw};
use ifq_model::test::{RingId, RqWord};
use ifq_model::user::refill::RefillRing;

use super::{page_frames, payload};
use crate::abi::marker::{Marker, ProducerAccess};
use crate::abi::syscall::{self, PAGE, SharedMem};
use crate::abi::uapi::{self, AREA_OFFSET_MASK, Offsets};

/// The areas and the refill ring of an ifq. All rings that share the ifq share this.
#[derive(Debug)]
pub(super) struct IfqMem {
    areas: Mutex<Vec<Arc<Area>>>,
    /// Memory of user space for the refill ring; unused if the kernel allocates the region.
    pub(super) region: SharedMem,
    /// If the kernel allocates the region: the rings that can map it, each with the id of the ifq there.
    pub(super) kernel_region: Option<Mutex<Vec<(RingId, u32)>>>,
    /// Entries of the refill ring, a power of two.
    pub(super) entries: u32,
    /// The offsets that the kernel chose; unset before the registration.
    pub(super) offsets: OnceLock<Offsets>,
    /// The lock of user space around the producer side, for rings that share the refill ring.
    pub(super) lock: Mutex<()>,
}

/// The largest ring that gets memory; no kernel accepts more entries.
const MAX_BACKED_ENTRIES: u32 = ifq_model::io_uring::uapi::IO_RQ_MAX_ENTRIES;
/// The offsets used before the registration, because a test may write into the ring anyway.
const UNREGISTERED: Offsets = Offsets { head: 0, tail: 4, rqes: 64, resv2: 0, resv: [0; 2] };

impl IfqMem {
    /// Memory for an area of `buffers` pages and a refill ring of `entries`. `kernel_region`: the
    /// kernel allocates the region.
    pub(super) fn new(
        buffers: u32,
        entries: u32,
        kernel_region: bool,
    ) -> io::Result<(Self, Arc<Area>)> {
        IfqMem::with_area(Area::new(buffers, true)?, entries, kernel_region)
    }

    /// The same with an area whose neighbouring pages are not contiguous in physical memory.
    ///
    /// # Errors
    ///
    /// A message for the user.
    pub(super) fn without_contiguous_pages(
        buffers: u32,
        entries: u32,
        kernel_region: bool,
    ) -> Result<(Self, Arc<Area>), String> {
        let area = Area::without_contiguous_pages(buffers)?;
        IfqMem::with_area(area, entries, kernel_region)
            .map_err(|error| format!("memory for an ifq: {error}"))
    }

    fn with_area(area: Area, entries: u32, kernel_region: bool) -> io::Result<(Self, Arc<Area>)> {
        let entries = entries.clamp(1, MAX_BACKED_ENTRIES).next_power_of_two();
        // The header is at most one page on every architecture.
        let region = PAGE + entries as usize * size_of::<uapi::Rqe>();
        let area = Arc::new(area);
        let mem = IfqMem {
            areas: Mutex::new(vec![Arc::clone(&area)]),
            region: SharedMem::new(region)?,
            kernel_region: kernel_region.then(Mutex::default),
            entries,
            offsets: OnceLock::new(),
            lock: Mutex::new(()),
        };
        Ok((mem, area))
    }

    fn areas(&self) -> MutexGuard<'_, Vec<Arc<Area>>> {
        self.areas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a ring has registered or imported the ifq under this id.
    pub(super) fn add_ring(&self, ring: RingId, id: u32) {
        if let Some(rings) = &self.kernel_region {
            rings.lock().unwrap_or_else(PoisonError::into_inner).push((ring, id));
        }
    }

    /// The rings that can map the region, each with the id of the ifq. None: it is memory of user space.
    pub(super) fn mapped_by(&self) -> Vec<(RingId, u32)> {
        let rings = self.kernel_region.iter();
        rings.flat_map(|r| r.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }

    /// Adds an area before the kernel is asked to add it.
    pub(super) fn add_area(&self, buffers: u32) -> io::Result<Arc<Area>> {
        let area = Arc::new(Area::new(buffers, false)?);
        self.areas().push(Arc::clone(&area));
        Ok(area)
    }

    /// Removes an area that the kernel refused.
    pub(super) fn drop_area(&self, area: &Arc<Area>) {
        self.areas().retain(|other| !Arc::ptr_eq(other, area));
    }

    /// The areas that an offset may refer to, each with the bytes at the offset.
    pub(super) fn read(&self, off: u64, len: usize) -> Vec<(Arc<Area>, Vec<u8>)> {
        let (token, at) = (off & !AREA_OFFSET_MASK, (off & AREA_OFFSET_MASK) as usize);
        let areas = self.areas();
        let named = areas.iter().filter(|area| area.token() == Some(token));
        named.filter_map(|area| Some((Arc::clone(area), area.read(at, len)?))).collect()
    }

    /// Writes stale content, as if an earlier ring had used the memory: one unread entry for buffer 0.
    pub(super) fn make_stale(&self) {
        let ring = self.refill_ring(&self.region);
        ring.tail.store_in_step(1);
        self.region.atomic_u64(ring.rqes).store(0, Ordering::Relaxed);
    }

    /// The producer side of the refill ring, in this memory.
    pub(super) fn refill_ring<'m>(&'m self, region: &'m SharedMem) -> MappedRing<'m> {
        let offsets = *self.offsets.get().unwrap_or(&UNREGISTERED);
        MappedRing {
            head: MappedWord::new(region.atomic_u32(offsets.head as usize)),
            tail: MappedWord::new(region.atomic_u32(offsets.tail as usize)),
            rqes: offsets.rqes as usize,
            region,
            entries: self.entries,
            announced: None,
        }
    }
}

/// The memory of an area, followed by its description for the kernel. The kernel writes the area token
/// into the description before it writes packets into the area.
#[derive(Debug)]
pub(super) struct Area {
    mem: SharedMem,
    len: usize,
    first: bool,
}

/// Offset of `rq_area_token` in [`uapi::AreaReg`].
const TOKEN: usize = std::mem::offset_of!(uapi::AreaReg, rq_area_token);

impl Area {
    /// An area of `buffers` pages. `first`: it belongs to the registration.
    fn new(buffers: u32, first: bool) -> io::Result<Self> {
        let len = buffers as usize * PAGE;
        Ok(Area { mem: SharedMem::new(len + PAGE)?, len, first })
    }

    /// The area of a registration, whose neighbouring pages are not contiguous in physical memory.
    fn without_contiguous_pages(buffers: u32) -> Result<Self, String> {
        let len = buffers as usize * PAGE;
        Ok(Area { mem: page_frames::without_contiguous_pages(len + PAGE)?, len, first: true })
    }

    /// A valid `struct io_uring_zcrx_area_reg`.
    pub(super) fn reg(&self) -> uapi::AreaReg {
        uapi::AreaReg { addr: self.mem.addr(), len: self.len as u64, ..uapi::AreaReg::default() }
    }

    /// Writes the description after the area. Returns its address.
    pub(super) fn describe(&self, reg: &uapi::AreaReg) -> u64 {
        let flags = u64::from(reg.flags) | u64::from(reg.dmabuf_fd) << 32;
        let words = [reg.addr, reg.len, reg.rq_area_token, flags, reg.resv2[0], reg.resv2[1]];
        for (i, word) in words.iter().enumerate() {
            self.mem.atomic_u64(self.len + 8 * i).store(*word, Ordering::Relaxed);
        }
        self.mem.addr() + self.len as u64
    }

    /// The area token, the upper bits of offsets into this area. `None`: the kernel has not written it.
    fn token(&self) -> Option<u64> {
        let token = self.mem.atomic_u64(self.len + TOKEN).load(Ordering::Acquire);
        // Only the token of the first area is 0.
        (self.first || token != 0).then_some(token)
    }

    fn read(&self, at: usize, len: usize) -> Option<Vec<u8>> {
        if at.checked_add(len)? > self.len { None } else { self.mem.read(at, len) }
    }
}

/// A word that is shared with the kernel. Its futures complete at the first poll.
#[derive(Clone, Copy, Debug)]
pub(super) struct MappedWord<'m> {
    word: &'m AtomicU32,
    /// The thread that tells the controller before each access, and the accesses: a load and a store.
    announced: Option<(u64, [ProducerAccess; 2])>,
}

impl<'m> MappedWord<'m> {
    fn new(word: &'m AtomicU32) -> Self {
        MappedWord { word, announced: None }
    }

    fn announce(&self, store: bool) {
        if let Some((thread, accesses)) = self.announced {
            syscall::mark(Marker::Producer(thread, accesses[usize::from(store)]));
        }
    }
}

/// The C11 ordering of a kernel ordering. The producer needs nothing stronger than `SeqCst`.
fn ordering(order: Order, weakest: Ordering) -> Ordering {
    match order {
        Order::Relaxed => Ordering::Relaxed,
        Order::Acquire | Order::Release => weakest,
        Order::Full => Ordering::SeqCst,
    }
}

impl AtomicWord for MappedWord<'_> {
    async fn load(&self, order: Order) -> u64 {
        self.announce(false);
        u64::from(self.word.load(ordering(order, Ordering::Acquire)))
    }

    async fn store(&self, value: u64, order: Order) {
        self.announce(true);
        self.word.store(value as u32, ordering(order, Ordering::Release));
    }

    async fn rmw(&self, op: Rmw, order: Order) -> u64 {
        let apply = |value: u32| op.apply(u64::from(value)).map(|new| new as u32);
        let success = match order {
            Order::Relaxed => Ordering::Relaxed,
            Order::Acquire | Order::Release => Ordering::AcqRel,
            Order::Full => Ordering::SeqCst,
        };
        let (Ok(found) | Err(found)) = self.word.fetch_update(success, Ordering::Acquire, apply);
        u64::from(found)
    }

    fn load_in_step(&self) -> u64 {
        u64::from(self.word.load(Ordering::Acquire))
    }

    fn store_in_step(&self, value: u64) {
        self.word.store(value as u32, Ordering::Release);
    }
}

/// The refill ring in the memory that the kernel has pinned.
#[derive(Debug)]
pub(super) struct MappedRing<'m> {
    head: MappedWord<'m>,
    tail: MappedWord<'m>,
    rqes: usize,
    region: &'m SharedMem,
    entries: u32,
    /// The thread that tells the controller before it writes an entry.
    announced: Option<u64>,
}

impl MappedRing<'_> {
    /// The same ring, whose accesses the calling thread announces to the controller.
    pub(super) fn announced(mut self, thread: u64) -> Self {
        use ProducerAccess::{LoadHead, LoadTail, StoreTail};
        self.announced = Some(thread);
        self.head.announced = Some((thread, [LoadHead, LoadHead]));
        self.tail.announced = Some((thread, [LoadTail, StoreTail]));
        self
    }

    /// Writes a word without any check. A word past the last entry is not written.
    pub(super) fn scribble(&self, word: RqWord, value: u64) {
        let entry = |index: u32| self.rqes + index as usize * size_of::<uapi::Rqe>();
        match word {
            RqWord::Head => self.head.store_in_step(value),
            RqWord::Tail => self.tail.store_in_step(value),
            RqWord::Off(index) | RqWord::Pad(index) if index >= self.entries => {}
            RqWord::Off(index) => {
                self.region.atomic_u64(entry(index)).store(value, Ordering::Relaxed);
            }
            RqWord::Pad(index) => {
                let pad = entry(index) + std::mem::offset_of!(uapi::Rqe, pad);
                self.region.atomic_u32(pad).store(value as u32, Ordering::Relaxed);
            }
        }
    }
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
        self.entries
    }

    async fn write(&self, index: u32, off: u64) {
        if let Some(thread) = self.announced {
            syscall::mark(Marker::Producer(thread, ProducerAccess::StoreEntry));
        }
        // Length and padding are not written: the kernel does not read the length.
        let rqe = self.rqes + index as usize * size_of::<uapi::Rqe>();
        self.region.atomic_u64(rqe).store(off, Ordering::Relaxed);
    }
}

/// Polls a future once. The futures of [`MappedWord`] complete at the first poll.
pub(super) fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::pin!(future).poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

/// A buffer of a completion, with the bytes that it must contain until it is returned.
#[derive(Debug)]
pub(super) struct HeldBuffer {
    pub(super) area: Arc<Area>,
    pub(super) off: u64,
    pub(super) len: u32,
    pub(super) socket: u8,
    pub(super) position: u64,
    returned: AtomicBool,
}

impl HeldBuffer {
    pub(super) fn new(area: Arc<Area>, off: u64, len: u32, socket: u8, position: u64) -> Self {
        HeldBuffer { area, off, len, socket, position, returned: AtomicBool::new(false) }
    }

    /// Whether the buffer still contains its bytes.
    pub(super) fn intact(&self) -> bool {
        let at = (self.off & AREA_OFFSET_MASK) as usize;
        self.area
            .read(at, self.len as usize)
            .is_some_and(|bytes| bytes == payload::bytes(self.socket, self.position, bytes.len()))
    }

    /// Whether the buffer is returned for the first time. Later the kernel may overwrite it.
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
        poll_once(refill_push(&mem.refill_ring(&mem.region), off)).unwrap()
    }

    #[test]
    fn the_ring_stores_entries_in_order_until_it_is_full() {
        let (mem, _) = IfqMem::new(1, 3, false).unwrap();
        for i in 0..4 {
            assert_eq!(push(&mem, 0x1000 * i), Ok(()));
        }
        assert_eq!(push(&mem, 0x9000), Err(-EAGAIN));
        assert_eq!(mem.region.atomic_u32(4).load(Ordering::Relaxed), 4);
        assert_eq!(mem.region.atomic_u64(64 + 3 * 16).load(Ordering::Relaxed), 0x3000);
        mem.region.atomic_u32(0).store(1, Ordering::Relaxed);
        assert_eq!(push(&mem, 0x9000), Ok(()), "the kernel consumed one");
        assert_eq!(mem.region.atomic_u64(64).load(Ordering::Relaxed), 0x9000);
    }

    #[test]
    fn the_indices_of_the_ring_wrap_around_at_the_offsets_of_the_kernel() {
        let (mem, _) = IfqMem::new(1, 2, false).unwrap();
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
    fn a_mapped_word_is_updated_atomically_and_has_32_bits() {
        let word = AtomicU32::new(u32::MAX);
        let mapped = MappedWord::new(&word);
        assert_eq!(poll_once(mapped.rmw(Rmw::Add(2), Order::Full)), Some(u64::from(u32::MAX)));
        assert_eq!(mapped.load_in_step(), 1);
        let failed = Rmw::CmpXchg { old: 9, new: 8 };
        assert_eq!(poll_once(mapped.rmw(failed, Order::Relaxed)), Some(1));
        assert_eq!(mapped.load_in_step(), 1);
        mapped.store_in_step(7);
        assert_eq!(poll_once(mapped.load(Order::Acquire)), Some(7));
    }

    #[test]
    fn a_held_buffer_is_intact_until_a_byte_of_it_changes() {
        let area = Arc::new(Area::new(2, true).unwrap());
        let held = HeldBuffer::new(Arc::clone(&area), PAGE as u64, 8, 0, 16);
        assert!(!held.intact());
        let word = u64::from_ne_bytes(payload::bytes(0, 16, 8).try_into().unwrap());
        area.mem.atomic_u64(PAGE).store(word, Ordering::Relaxed);
        assert!(held.intact());
        area.mem.atomic_u64(PAGE).store(word ^ 1, Ordering::Relaxed);
        assert!(!held.intact());
        assert!(held.first_return());
        assert!(!held.first_return());
    }

    #[test]
    fn an_offset_refers_to_the_area_with_its_token() {
        let (mem, first) = IfqMem::new(1, 1, false).unwrap();
        let second = mem.add_area(2).unwrap();
        let second_off = 1 << uapi::IORING_ZCRX_AREA_SHIFT | PAGE as u64;
        assert_eq!(mem.read(0, PAGE).len(), 1);
        assert!(mem.read(second_off, 1).is_empty(), "no token yet");
        second.describe(&uapi::AreaReg { rq_area_token: 1 << 48, ..second.reg() });
        let found = mem.read(second_off, PAGE);
        assert!(found.len() == 1 && Arc::ptr_eq(&found[0].0, &second));
        assert!(mem.read(second_off, PAGE + 1).is_empty(), "past its end");
        mem.drop_area(&second);
        assert!(mem.read(second_off, 1).is_empty());
        assert!(Arc::ptr_eq(&mem.read(0, 1)[0].0, &first));
        assert!(mem.read(PAGE as u64, 1).is_empty(), "the description is not part of the area");
    }

    #[test]
    fn scribbling_writes_the_word_it_names_and_nothing_past_the_last_entry() {
        let (mem, _) = IfqMem::new(1, 2, false).unwrap();
        let ring = mem.refill_ring(&mem.region);
        for (word, value) in [
            (RqWord::Head, 1),
            (RqWord::Tail, 1 << 32 | 2),
            (RqWord::Off(1), u64::MAX),
            (RqWord::Pad(0), 3),
            (RqWord::Off(2), 4),
            (RqWord::Pad(2), 5),
        ] {
            ring.scribble(word, value);
        }
        let word = |at: usize| mem.region.atomic_u64(at).load(Ordering::Relaxed);
        assert_eq!((word(0), word(64), word(72)), (1 | 2 << 32, 0, 3 << 32));
        assert_eq!((word(80), word(88), word(96), word(104)), (u64::MAX, 0, 0, 0));
    }
}
