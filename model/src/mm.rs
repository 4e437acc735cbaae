//! User memory that the kernel pins (`io_uring/memmap.c`, `mm/gup.c`): areas and refill rings.

use crate::invariant::Invariant;
use crate::io_uring::uapi::{IO_RQ_MAX_ENTRIES, area_offset};
use crate::kernel::Kernel;
use crate::platform::{AtomicWord, Kind, Label, PlainWord, Platform, Ptr};
use crate::uaccess::fault_in_writeable;

/// The number of pins of a piece of memory.
#[derive(Debug)]
pub struct Pins<P: Platform>(P::Atomic);

impl<P: Platform> Pins<P> {
    fn new() -> Self {
        Pins(P::atomic("pins", 0))
    }

    /// Counts a pin. One ifq at a time pins the memory of a test.
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

/// `io_pin_pages`: `pin_user_pages_fast` faults the pages in, so user space decides how long it takes.
///
/// # Divergence from Linux
/// - Left out: its errors, which are those of the fault points of its callers.
///
/// Linux: `io_uring/memmap.c`, 6.18 to 7.3.
pub async fn io_pin_pages<P: Platform>(kernel: &Kernel<P>, pins: &Pins<P>) {
    let _func = P::func("io_pin_pages");
    fault_in_writeable(kernel).await;
    pins.pin();
}

/// The memory of an area. Of a buffer's bytes only their place in a stream is kept.
pub struct AreaMem<P: Platform> {
    /// Counted by [`io_pin_pages`].
    pub pins: Pins<P>,
    /// `rq_area_token` plus one, as the kernel wrote it into the caller's structure; 0: not written.
    token: P::Atomic,
    pages: Vec<(P::Plain, P::Plain)>,
    /// By buffer: the ring that got it last, plus one. Only if the run checks starvation.
    handed_to: Vec<P::Atomic>,
    /// By buffer: completions that user space has got and not returned. Only if the test returns one twice.
    unreturned: Vec<P::Atomic>,
}

/// What the memory of an area records for checks. Each adds words for each buffer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Records {
    /// Which ring got each buffer.
    pub owners: bool,
    /// How many completions with each buffer user space has not returned.
    pub unreturned: bool,
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
        Self::alloc_with(number, buffers, Records::default())
    }

    /// As [`AreaMem::alloc`], with what the run's checks need.
    #[must_use]
    pub fn alloc_with(number: u32, buffers: u32, records: Records) -> Ptr<P, Self> {
        let words = |name, wanted| {
            let label = Label::plain(name).per_buffer();
            (0..if wanted { buffers } else { 0 }).map(|_| P::atomic(label, 0)).collect()
        };
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
            handed_to: words("niov.handed_to", records.owners),
            unreturned: words("niov.unreturned", records.unreturned),
        })
    }

    /// Records that a buffer was handed to a ring.
    pub fn hand_to(&self, idx: u32, ring: u32) {
        if let Some(word) = self.handed_to.get(idx as usize) {
            word.store_in_step(u64::from(ring) + 1);
        }
    }

    /// The ring that a buffer was handed to last, if the memory records it.
    #[must_use]
    pub fn handed_to(&self, idx: u32) -> Option<u32> {
        let ring = self.handed_to.get(idx as usize)?.load_in_step().checked_sub(1)?;
        Some(ring as u32)
    }

    /// User space gets a completion with a buffer.
    pub fn hand_out(&self, idx: u32) {
        if let Some(word) = self.unreturned.get(idx as usize) {
            word.store_in_step(word.load_in_step() + 1);
        }
    }

    /// User space has returned the buffer of a completion, for the first time and to its own ifq.
    pub fn take_back(&self, idx: u32) {
        if let Some(word) = self.unreturned.get(idx as usize) {
            word.store_in_step(word.load_in_step().saturating_sub(1));
        }
    }

    /// How many completions with a buffer user space has not returned, if the memory records it.
    #[must_use]
    pub fn unreturned(&self, idx: u32) -> Option<u64> {
        Some(self.unreturned.get(idx as usize)?.load_in_step())
    }

    /// Number of buffers.
    #[must_use]
    pub fn buffers(&self) -> u32 {
        self.pages.len() as u32
    }

    /// The kernel writes `rq_area_token` into the caller's structure.
    pub fn set_token(&self, token: u64) {
        self.token.store_in_step(token + 1);
    }

    /// `rq_area_token`, if the kernel has written it.
    #[must_use]
    pub fn token(&self) -> Option<u64> {
        self.token.load_in_step().checked_sub(1)
    }

    /// Writes bytes of a stream, from position `seq` on, into a buffer.
    pub fn write(&self, idx: u32, stream: u32, seq: u64) {
        let (page_stream, page_seq) = &self.pages[idx as usize];
        page_stream.set(u64::from(stream) + 1);
        page_seq.set(seq);
    }

    /// Stream and position of the bytes in a buffer.
    #[must_use]
    pub fn read(&self, idx: u32) -> Option<(u32, u64)> {
        let (page_stream, page_seq) = self.pages.get(idx as usize)?;
        let stream = u32::try_from(page_stream.get()).ok()?.checked_sub(1)?;
        Some((stream, page_seq.get()))
    }
}

/// The memory of a refill ring: `struct zcrx_rq_hdr` and the entries.
///
/// # Divergence from Linux
/// - Left out: all fields of an entry but `off` and `__pad`.
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
    /// User space's lock, for several producers.
    pub producer_lock: P::Lock,
    /// Number of buffers that user space has returned. As many entries must be published.
    pub returned: P::Atomic,
}

impl<P: Platform> RqMem<P> {
    /// Memory for at least `entries` entries, at most for as many as the kernel accepts.
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
            returned: P::atomic("returned", 0),
        })
    }

    /// The `memset` of the header in `io_allocate_rbuf_ring`. No other thread uses the ring yet.
    pub fn clear(&self) {
        self.head.store_in_step(0);
        self.tail.store_in_step(0);
    }
}
