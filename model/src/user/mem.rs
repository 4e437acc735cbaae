//! Memory of user space that the kernel pins.

use crate::invariant::Invariant;
use crate::io_uring::zcrx::area::area_offset;
use crate::io_uring::zcrx::register::IO_RQ_MAX_ENTRIES;
use crate::platform::{AtomicWord, Kind, Label, Order, PlainWord, Platform, Ptr};
use crate::test::RqWord;

/// How often the kernel has pinned a piece of memory.
#[derive(Debug)]
pub struct Pins<P: Platform>(P::Atomic);

impl<P: Platform> Pins<P> {
    fn new() -> Self {
        Pins(P::atomic("pins", 0))
    }

    /// `pin_user_pages`. One ifq at a time pins the memory of a test.
    pub fn pin(&self) {
        self.0.store_in_step(self.0.load_in_step() + 1);
    }

    /// `unpin_user_pages`.
    pub fn unpin(&self) {
        match self.0.load_in_step().checked_sub(1) {
            Some(left) => self.0.store_in_step(left),
            None => P::violation(Invariant::I2, format_args!("memory unpinned that is not pinned")),
        }
    }

    /// How often it is pinned.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load_in_step()
    }
}

/// The memory of an area. Of a buffer's bytes only their place in a stream is kept.
pub struct AreaMem<P: Platform> {
    /// `io_pin_pages`.
    pub pins: Pins<P>,
    /// `rq_area_token` as the kernel wrote it into the structure that names the memory, plus one; 0:
    /// it did not.
    token: P::Atomic,
    pages: Vec<(P::Plain, P::Plain)>,
}

impl<P: Platform> std::fmt::Debug for AreaMem<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AreaMem").field("pages", &self.pages.len()).finish_non_exhaustive()
    }
}

impl<P: Platform> AreaMem<P> {
    /// Memory for `buffers` buffers of one page.
    #[must_use]
    pub fn alloc(number: u32, buffers: u32) -> Ptr<P, Self> {
        Ptr::alloc(Kind::UserMem, number, || AreaMem {
            pins: Pins::new(),
            token: P::atomic("rq_area_token", 0),
            pages: (0..buffers)
                .map(|_| {
                    (
                        P::plain(Label::socket("page.stream").per_buffer(), 0),
                        P::plain(Label::plain("page.seq").per_buffer(), 0),
                    )
                })
                .collect(),
        })
    }

    /// Number of buffers.
    #[must_use]
    pub fn buffers(&self) -> u32 {
        self.pages.len() as u32
    }

    /// The kernel tells which offsets mean this memory.
    pub fn set_token(&self, token: u64) {
        self.token.store_in_step(token + 1);
    }

    /// Which offsets mean this memory, if the kernel has told.
    #[must_use]
    pub fn token(&self) -> Option<u64> {
        self.token.load_in_step().checked_sub(1)
    }

    /// Bytes of a stream from position `seq` on are written into a buffer.
    pub fn write(&self, idx: u32, stream: u32, seq: u64) {
        let (page_stream, page_seq) = &self.pages[idx as usize];
        page_stream.set(u64::from(stream) + 1);
        page_seq.set(seq);
    }

    /// Whose bytes are in a buffer: stream and position.
    #[must_use]
    pub fn read(&self, idx: u32) -> Option<(u32, u64)> {
        let (page_stream, page_seq) = self.pages.get(idx as usize)?;
        let stream = u32::try_from(page_stream.get()).ok()?.checked_sub(1)?;
        Some((stream, page_seq.get()))
    }
}

/// The memory of a refill ring: `struct zcrx_rq_hdr` and the entries.
///
/// Divergence from Linux: of an entry only `off` and `__pad` are kept.
#[derive(Debug)]
pub struct RqMem<P: Platform> {
    /// `io_create_region`.
    pub pins: Pins<P>,
    /// `head`: the kernel's.
    pub head: P::Atomic,
    /// `tail`: user space's.
    pub tail: P::Atomic,
    /// `off` of the entries.
    pub rqes: Vec<P::Atomic>,
    /// `__pad` of the entries.
    pub pads: Vec<P::Atomic>,
    /// User space's lock for several producers.
    pub producer_lock: P::Lock,
    /// Buffers that user space has given back; it must find as many entries published.
    pub given_back: P::Atomic,
}

impl<P: Platform> RqMem<P> {
    /// Memory for at least `entries` entries, or for as many as the kernel takes, with user space's
    /// lock.
    #[must_use]
    pub fn alloc(number: u32, entries: u32) -> Ptr<P, Self> {
        let entries = entries.clamp(1, IO_RQ_MAX_ENTRIES).next_power_of_two();
        Ptr::alloc(Kind::UserMem, number, || RqMem {
            pins: Pins::new(),
            head: P::atomic("rq.head", 0),
            tail: P::atomic("rq.tail", 0),
            rqes: (0..entries)
                .map(|_| P::atomic(Label::plain("rqe.off").names_buffer(area_offset(0)), 0))
                .collect(),
            pads: (0..entries).map(|_| P::atomic("rqe.__pad", 0)).collect(),
            producer_lock: P::lock("producer_lock"),
            given_back: P::atomic("given_back", 0),
        })
    }

    /// Writes a word, whatever the rules are; past the last entry nothing is written.
    pub async fn scribble(&self, word: RqWord, value: u64) {
        let (word, value) = match word {
            RqWord::Head => (Some(&self.head), value & u64::from(u32::MAX)),
            RqWord::Tail => (Some(&self.tail), value & u64::from(u32::MAX)),
            RqWord::Off(index) => (self.rqes.get(index as usize), value),
            RqWord::Pad(index) => (self.pads.get(index as usize), value & u64::from(u32::MAX)),
        };
        if let Some(word) = word {
            word.store(value, Order::Relaxed).await;
        }
    }

    /// An earlier ring in the same memory has left its indices, and an entry for buffer 0 that nobody
    /// has read.
    pub fn make_stale(&self) {
        self.tail.store_in_step(1);
        self.rqes[0].store_in_step(0);
    }

    /// The `memset` of the header in `io_allocate_rbuf_ring`: nobody else knows the ring yet.
    pub fn clear(&self) {
        self.head.store_in_step(0);
        self.tail.store_in_step(0);
    }
}
