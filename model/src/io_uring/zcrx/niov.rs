//! Buffers: `struct net_iov`, its user references, the free list (`io_uring/zcrx.c`).

use crate::bug::{NiovName, Warning, warn_on_once};
use crate::io_uring::uapi::NIOV_SHIFT;
use crate::io_uring::zcrx::area::{Area, zcrx_area_id_to_token};
use crate::net::page_pool::{PagePool, page_pool_put_unrefed_netmem};
use crate::platform::label::BufferIndex;
use crate::platform::{AtomicWord, Label, Order, PlainWord, Platform, Ptr, RawLock, Rmw};
use crate::revision::Defect;
use crate::trace::Tracepoint;

/// Bits of the buffer's index in the word of a [`NiovRef`].
const NIOV_INDEX_BITS: u32 = 16;

/// Not in Linux: the label of a word that holds a [`NiovRef`]: the area's pointer lies above the
/// buffer's index.
#[must_use]
pub const fn niov_label(name: &'static str) -> Label {
    Label::pointer(name, NIOV_INDEX_BITS).names_buffer(BufferIndex {
        offset: 0,
        shift: 0,
        bits: NIOV_INDEX_BITS,
    })
}

/// `struct net_iov`, as much of it as a page pool needs.
#[derive(Debug)]
pub(super) struct Niov<P: Platform> {
    /// `desc.pp`.
    pp: P::Plain,
    /// `desc.pp_ref_count`.
    pp_ref_count: P::Atomic,
}

impl<P: Platform> Niov<P> {
    /// `net_iov_init`.
    ///
    /// Linux: `include/net/netmem.h`, 6.18 to 7.3.
    pub(super) fn new() -> Self {
        Niov {
            pp: P::plain(Label::pointer("desc.pp", 0).per_buffer(), 0),
            pp_ref_count: P::atomic(Label::plain("pp_ref_count").per_buffer(), 0),
        }
    }
}

/// `struct net_iov *`.
pub struct NiovRef<P: Platform> {
    /// `net_iov_owner`.
    pub area: Ptr<P, Area<P>>,
    /// `net_iov_idx`.
    pub idx: u32,
}

impl<P: Platform> Clone for NiovRef<P> {
    fn clone(&self) -> Self {
        NiovRef { area: self.area.clone(), idx: self.idx }
    }
}

impl<P: Platform> std::fmt::Debug for NiovRef<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", NiovName { area: self.area.area_id.observe() as u32, niov: self.idx })
    }
}

impl<P: Platform> NiovRef<P> {
    /// The pointer as a word; never zero.
    #[must_use]
    pub fn to_word(&self) -> u64 {
        self.area.to_word() << NIOV_INDEX_BITS | u64::from(self.idx)
    }

    /// The pointer that [`NiovRef::to_word`] made into `word`.
    #[must_use]
    pub fn from_word(word: u64) -> Option<Self> {
        let area = Ptr::from_word(word >> NIOV_INDEX_BITS)?;
        Some(NiovRef { area, idx: (word & ((1 << NIOV_INDEX_BITS) - 1)) as u32 })
    }

    /// Whether both point to the same niov.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.to_word() == other.to_word()
    }

    /// `desc.pp_ref_count`.
    ///
    /// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
    #[must_use]
    pub fn pp_ref_count(&self) -> &P::Atomic {
        &self.area.niovs[self.idx as usize].pp_ref_count
    }

    /// `desc.pp`.
    ///
    /// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
    #[must_use]
    pub fn pp(&self) -> &P::Plain {
        &self.area.niovs[self.idx as usize].pp
    }

    /// `io_get_user_counter`.
    ///
    /// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
    pub(super) fn user_counter(&self) -> &P::Atomic {
        &self.area.user_refs[self.idx as usize]
    }

    /// The device, or the kernel's copy, writes bytes of a stream into the buffer.
    pub fn fill(&self, sock: u32, seq: u64) {
        self.area.mem.write(self.idx, sock, seq);
    }

    /// `io_uring_zcrx_cqe::off` of the buffer's first byte: area token and offset.
    ///
    /// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
    #[must_use]
    pub fn offset(&self) -> u64 {
        zcrx_area_id_to_token(self.area.area_id.get() as u32) | u64::from(self.idx) << NIOV_SHIFT
    }
}

/// `io_zcrx_get_niov_uref`.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
pub async fn io_zcrx_get_niov_uref<P: Platform>(niov: &NiovRef<P>) {
    niov.user_counter().rmw_capped(Rmw::Add(1), Order::Relaxed, 0).await;
}

/// `io_zcrx_put_niov_uref`: the number of references put; 0 if user space holds fewer than `refs`.
///
/// Before the fix of `uref-race` it always puts one reference. With the fix of `refill-run` it puts what is
/// there.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
pub async fn io_zcrx_put_niov_uref<P: Platform>(niov: &NiovRef<P>, refs: u64) -> u64 {
    let kernel = &niov.area.ifq.kernel;
    let uref = niov.user_counter();
    let mut old = uref.load(Order::Relaxed).await;
    if !kernel.fixed(Defect::UrefRace) {
        if old == 0 {
            return 0;
        }
        let old = uref.rmw(Rmw::Sub(1), Order::Relaxed).await;
        kernel.trace(&Tracepoint::NiovUrefPut { niov, old, refs: 1 });
        return 1;
    }
    loop {
        let refs = if kernel.fixed(Defect::RefillRun) { refs.min(old) } else { refs };
        if old < refs || old == 0 {
            return 0;
        }
        let found = uref.rmw(Rmw::CmpXchg { old, new: old - refs }, Order::Full).await;
        if found == old {
            kernel.trace(&Tracepoint::NiovUrefPut { niov, old, refs });
            return refs;
        }
        old = found;
    }
}

/// `zcrx_get_free_niov`. Under `alloc_lock`.
///
/// # Divergence from Linux
/// - Simplified: the entry above the top of the list is cleared. The kernel never reads it before it
///   writes it, so states that differ only there have the same behaviour.
///
/// Linux: `io_uring/zcrx.c`, 7.1 to 7.3; `__io_zcrx_get_free_niov`, 6.18 to 7.0.
pub fn zcrx_get_free_niov<P: Platform>(area: &Ptr<P, Area<P>>) -> Option<NiovRef<P>> {
    area.ifq.alloc_lock.assert_held();
    let count = area.free_count.get().checked_sub(1)?;
    area.free_count.set(count);
    let slot = &area.freelist[count as usize];
    let idx = (slot.get() as u32).checked_sub(1)?;
    slot.set(0);
    Some(NiovRef { area: area.clone(), idx })
}

/// `io_zcrx_return_niov_freelist`.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
pub async fn io_zcrx_return_niov_freelist<P: Platform>(niov: &NiovRef<P>) {
    let area = &niov.area;
    let _guard = area.ifq.alloc_lock.lock().await;
    let count = area.free_count.get();
    let full = count >= u64::from(area.num_niovs());
    let warning = Warning::FreelistFull { area: area.area_id.observe() as u32, niov: niov.idx };
    if warn_on_once(&area.ifq.kernel, full, warning) {
        return;
    }
    area.freelist[count as usize].set(u64::from(niov.idx) + 1);
    area.free_count.set(count + 1);
}

/// `io_zcrx_return_niov`: the last reference is gone.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
pub async fn io_zcrx_return_niov<P: Platform>(niov: &NiovRef<P>) {
    match Ptr::<P, PagePool<P>>::from_word(niov.pp().get()) {
        None => io_zcrx_return_niov_freelist(niov).await,
        Some(pp) => page_pool_put_unrefed_netmem(&pp, niov).await,
    }
}
