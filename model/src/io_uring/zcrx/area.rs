//! Areas, niovs and the free list.

use crate::errno::ENOMEM;
use crate::fault::FaultPoint;
use crate::invariant::Invariant;
use crate::io_uring::zcrx::Ifq;
use crate::net::page_pool::{PagePool, page_pool_put_unrefed_netmem};
use crate::platform::{AtomicWord, Kind, Order, PlainWord, Platform, Ptr, RawLock, Rmw};
use crate::user::mem::AreaMem;

/// `niov_shift`: a buffer is a page.
pub const NIOV_SHIFT: u32 = 12;
/// `IORING_ZCRX_AREA_SHIFT`.
pub const AREA_SHIFT: u32 = 48;

/// `struct net_iov`, as much as a page pool needs of it.
#[derive(Debug)]
struct Niov<P: Platform> {
    /// `desc.pp`.
    pp: P::Plain,
    /// `desc.pp_ref_count`.
    pp_ref_count: P::Atomic,
}

/// `struct io_zcrx_area`.
pub struct Area<P: Platform> {
    ifq: Ptr<P, Ifq<P>>,
    /// `area_id`.
    pub area_id: u32,
    niovs: Vec<Niov<P>>,
    user_refs: Vec<P::Atomic>,
    free_count: P::Plain,
    freelist: Vec<P::Plain>,
    is_mapped: P::Plain,
    /// The pinned memory.
    pub mem: Ptr<P, AreaMem<P>>,
}

impl<P: Platform> std::fmt::Debug for Area<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Area").field("niovs", &self.niovs.len()).finish_non_exhaustive()
    }
}

impl<P: Platform> Area<P> {
    /// `nia.num_niovs`.
    #[must_use]
    pub fn num_niovs(&self) -> u32 {
        self.niovs.len() as u32
    }
}

/// A pointer to one niov.
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
        write!(f, "niov{}", self.idx)
    }
}

impl<P: Platform> NiovRef<P> {
    /// The pointer as a word; never zero.
    #[must_use]
    pub fn to_word(&self) -> u64 {
        self.area.to_word() << 16 | u64::from(self.idx)
    }

    /// The pointer that [`NiovRef::to_word`] made into `word`.
    #[must_use]
    pub fn from_word(word: u64) -> Option<Self> {
        Some(NiovRef { area: Ptr::from_word(word >> 16)?, idx: (word & 0xffff) as u32 })
    }

    /// Whether both point to the same niov.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.to_word() == other.to_word()
    }

    /// `desc.pp_ref_count`.
    #[must_use]
    pub fn pp_ref_count(&self) -> &P::Atomic {
        &self.area.niovs[self.idx as usize].pp_ref_count
    }

    /// `desc.pp`.
    #[must_use]
    pub fn pp(&self) -> &P::Plain {
        &self.area.niovs[self.idx as usize].pp
    }

    fn user_counter(&self) -> &P::Atomic {
        &self.area.user_refs[self.idx as usize]
    }

    /// The device or the kernel writes bytes of a stream into the buffer.
    pub fn fill(&self, sock: u32, seq: u64) {
        self.area.mem.write(self.idx, sock, seq);
    }

    /// Where user space finds it: area token and offset.
    #[must_use]
    pub fn offset(&self) -> u64 {
        u64::from(self.area.area_id) << AREA_SHIFT | u64::from(self.idx) << NIOV_SHIFT
    }
}

/// `io_zcrx_get_niov_uref`.
pub async fn io_zcrx_get_niov_uref<P: Platform>(niov: &NiovRef<P>) {
    niov.user_counter().rmw(Rmw::Add(1), Order::Relaxed).await;
}

/// `io_zcrx_put_niov_uref`: `false` if user space did not hold so many.
pub async fn io_zcrx_put_niov_uref<P: Platform>(niov: &NiovRef<P>, refs: u64) -> bool {
    let counter = niov.user_counter();
    let mut old = counter.load(Order::Relaxed).await;
    loop {
        if old < refs {
            return false;
        }
        let found = counter.rmw(Rmw::CmpXchg { old, new: old - refs }, Order::Full).await;
        if found == old {
            return true;
        }
        old = found;
    }
}

/// `__zcrx_create_area` and `io_zcrx_append_area`. Under `pp_lock`.
///
/// # Errors
/// -ENOMEM at the fault point.
pub async fn io_zcrx_create_area<P: Platform>(
    ifq: &Ptr<P, Ifq<P>>,
    mem: &Ptr<P, AreaMem<P>>,
) -> Result<(), i64> {
    let _func = P::func("io_zcrx_create_area");
    let _guard = ifq.pp_lock.lock().await;
    if P::fault(FaultPoint::AreaAlloc) {
        return Err(-ENOMEM);
    }
    mem.pins.pin();
    let nr = mem.buffers();
    let area = Ptr::<P, _>::alloc(Kind::Area, ifq.number, || Area {
        ifq: ifq.clone(),
        area_id: 0,
        niovs: (0..nr)
            .map(|_| Niov {
                pp: P::plain("desc.pp", 0),
                pp_ref_count: P::atomic("pp_ref_count", 0),
            })
            .collect(),
        user_refs: (0..nr).map(|_| P::atomic("niov.user_refs", 0)).collect(),
        free_count: P::plain("free_count", u64::from(nr)),
        freelist: (0..nr).map(|i| P::plain("freelist", u64::from(i))).collect(),
        is_mapped: P::plain("is_mapped", ifq.netdev.get()),
        mem: mem.clone(),
    });
    let _rq = ifq.rq.lock.lock().await;
    let _alloc = ifq.alloc_lock.lock().await;
    ifq.area.set(area.to_word());
    Ok(())
}

/// `io_zcrx_unmap_areas`. Under `pp_lock`.
pub fn io_zcrx_unmap_areas<P: Platform>(ifq: &Ifq<P>) {
    ifq.pp_lock.assert_held();
    if let Some(area) = ifq.area() {
        area.is_mapped.set(0);
    }
}

/// `io_zcrx_free_area`.
pub fn io_zcrx_free_area<P: Platform>(area: &Ptr<P, Area<P>>) {
    if area.is_mapped.get() != 0 {
        P::violation(Invariant::I3, format_args!("area freed while mapped for the device"));
    }
    let (free, all) = (area.free_count.get(), u64::from(area.num_niovs()));
    if free != all {
        P::violation(
            Invariant::I6,
            format_args!("area freed with {free} of {all} buffers in the free list"),
        );
    }
    area.mem.pins.unpin();
    area.free();
}

/// `zcrx_get_free_niov`. Under `alloc_lock`.
pub fn zcrx_get_free_niov<P: Platform>(area: &Ptr<P, Area<P>>) -> Option<NiovRef<P>> {
    area.ifq.alloc_lock.assert_held();
    let count = area.free_count.get().checked_sub(1)?;
    area.free_count.set(count);
    let idx = area.freelist[count as usize].get() as u32;
    Some(NiovRef { area: area.clone(), idx })
}

/// `io_zcrx_return_niov_freelist`.
pub async fn io_zcrx_return_niov_freelist<P: Platform>(niov: &NiovRef<P>) {
    let area = &niov.area;
    let _guard = area.ifq.alloc_lock.lock().await;
    let count = area.free_count.get();
    if count >= u64::from(area.num_niovs()) {
        P::violation(Invariant::I6, format_args!("{niov:?} returned to a full free list"));
        return;
    }
    area.freelist[count as usize].set(u64::from(niov.idx));
    area.free_count.set(count + 1);
}

/// `io_zcrx_return_niov`: nobody holds it any more.
pub async fn io_zcrx_return_niov<P: Platform>(niov: &NiovRef<P>) {
    match Ptr::<P, PagePool<P>>::from_word(niov.pp().get()) {
        None => io_zcrx_return_niov_freelist(niov).await,
        Some(pp) => page_pool_put_unrefed_netmem(&pp, niov).await,
    }
}

/// `io_zcrx_scrub`: takes back what user space holds.
pub async fn io_zcrx_scrub<P: Platform>(ifq: &Ifq<P>) {
    let _func = P::func("io_zcrx_scrub");
    let _guard = ifq.pp_lock.lock().await;
    let Some(area) = ifq.area() else { return };
    for idx in 0..area.num_niovs() {
        let niov = NiovRef { area: area.clone(), idx };
        let counter = niov.user_counter();
        if counter.load(Order::Relaxed).await == 0 {
            continue;
        }
        let nr = counter.rmw(Rmw::Xchg(0), Order::Full).await;
        if nr != 0 && crate::net::page_pool::page_pool_unref_netmem(&niov, nr).await == 0 {
            io_zcrx_return_niov(&niov).await;
        }
    }
}
