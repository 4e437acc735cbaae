//! Areas, niovs and the free list.

use crate::errno::{EFAULT, EINVAL, ENOMEM, EOPNOTSUPP, ERANGE};
use crate::fault::FaultPoint;
use crate::invariant::Invariant;
use crate::io_uring::zcrx::Ifq;
use crate::net::page_pool::{PagePool, page_pool_put_unrefed_netmem, page_pool_unref_netmem};
use crate::platform::label::BufferIndex;
use crate::platform::{AtomicWord, Kind, Label, Order, PlainWord, Platform, Ptr, RawLock, Rmw};
use crate::revision::Defect;
use crate::test::arg_modifier::{ArgModifier, ArgModifiers};
use crate::uaccess::{copy_from_user, copy_to_user, copy_to_user_nofault, fault_in_writeable};
use crate::user::mem::AreaMem;

/// `niov_shift`: a buffer is a page.
pub const NIOV_SHIFT: u32 = 12;
/// `IORING_ZCRX_AREA_SHIFT`.
pub const AREA_SHIFT: u32 = 48;

const FREELIST: Label =
    Label::plain("freelist").names_buffer(BufferIndex { offset: 1, shift: 0, bits: 16 });

/// How an offset into an area, plus `offset`, names a buffer.
#[must_use]
pub const fn area_offset(offset: u64) -> BufferIndex {
    BufferIndex { offset, shift: NIOV_SHIFT, bits: 36 }
}

/// A word that holds a [`NiovRef`]: the area's pointer lies above the buffer's index.
#[must_use]
pub const fn niov_label(name: &'static str) -> Label {
    Label::pointer(name, NIOV_INDEX_BITS).names_buffer(BufferIndex {
        offset: 0,
        shift: 0,
        bits: NIOV_INDEX_BITS,
    })
}

/// Bits of the buffer's index in the word of a [`NiovRef`].
const NIOV_INDEX_BITS: u32 = 16;

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
    /// The ring that each buffer was handed to last, plus one; only with S3.
    handed_to: Vec<P::Atomic>,
    free_count: P::Plain,
    /// Indices, plus one: zero is no name of a buffer, so that all of them are alike.
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
        match self.area.area_id {
            0 => write!(f, "niov{}", self.idx),
            area_id => write!(f, "niov{area_id}.{}", self.idx),
        }
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

    /// Remembers whose completion tells of the buffer.
    pub fn handed_to(&self, ring: u32) {
        if let Some(word) = self.area.handed_to.get(self.idx as usize) {
            word.store_in_step(u64::from(ring) + 1);
        }
    }

    /// Where user space finds it: area token and offset.
    #[must_use]
    pub fn offset(&self) -> u64 {
        zcrx_area_id_to_token(self.area.area_id) | u64::from(self.idx) << NIOV_SHIFT
    }
}

/// `io_zcrx_get_niov_uref`.
pub async fn io_zcrx_get_niov_uref<P: Platform>(niov: &NiovRef<P>) {
    niov.user_counter().rmw_capped(Rmw::Add(1), Order::Relaxed, 0).await;
}

/// `io_zcrx_put_niov_uref`: `false` if user space did not hold so many.
pub async fn io_zcrx_put_niov_uref<P: Platform>(niov: &NiovRef<P>, refs: u64) -> bool {
    let counter = niov.user_counter();
    let mut old = counter.load(Order::Relaxed).await;
    if niov.area.ifq.kernel.has(Defect::UrefRace) {
        return old != 0 && dec_uref(niov).await;
    }
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

/// `atomic_dec` of what was found above zero before (6.18).
async fn dec_uref<P: Platform>(niov: &NiovRef<P>) -> bool {
    if niov.user_counter().rmw(Rmw::Sub(1), Order::Relaxed).await == 0 {
        P::violation(Invariant::I2, format_args!("user_refs of {niov:?} below zero"));
    }
    true
}

/// `struct io_uring_zcrx_area_reg` of a registration, or of [`zcrx_ctrl_add_area`].
#[derive(Clone, Debug)]
pub struct AreaReg<P: Platform> {
    /// `addr` and `len`; what the kernel writes into the structure goes here, too.
    pub mem: Ptr<P, AreaMem<P>>,
    /// What is unusual about it.
    pub modifiers: ArgModifiers,
}

/// `zcrx_area_id_to_token`.
fn zcrx_area_id_to_token(area_id: u32) -> u64 {
    u64::from(area_id) << AREA_SHIFT
}

/// Whether an area is mapped for the device when it is made (7.1 and later), and not by the page
/// pool.
pub(super) fn maps_at_creation<P: Platform>(ifq: &Ifq<P>) -> bool {
    ifq.kernel.variant.revision.has_nodev()
}

/// `io_zcrx_create_area`.
///
/// # Errors
/// -EINVAL, -EFAULT, -EOPNOTSUPP, -ERANGE for what the structure must not be; -ENOMEM at the fault
/// points; -EINVAL if there are too many areas.
pub async fn io_zcrx_create_area<P: Platform>(
    ifq: &Ptr<P, Ifq<P>>,
    reg: &AreaReg<P>,
) -> Result<(), i64> {
    // Before 7.3 without the lock: nobody else knows the ifq.
    let _guard = ifq.pp_lock.lock().await;
    __zcrx_create_area(ifq, reg).await
}

/// `zcrx_ctrl_add_area`: `ZCRX_CTRL_ADD_AREA`.
///
/// # Errors
/// As [`io_zcrx_create_area`]; -EINVAL for reserved fields, -EFAULT if the device is gone or the
/// structure cannot be read or written.
pub async fn zcrx_ctrl_add_area<P: Platform>(
    ifq: &Ptr<P, Ifq<P>>,
    reg: &AreaReg<P>,
) -> Result<(), i64> {
    let _func = P::func("zcrx_ctrl_add_area");
    copy_from_user::<P>(!reg.modifiers.has(ArgModifier::AreaFault))?;
    if reg.modifiers.has(ArgModifier::OpResv) || reg.modifiers.has(ArgModifier::AreaToken) {
        return Err(-EINVAL);
    }
    let waits_under_lock = ifq.kernel.has(Defect::AddAreaLock);
    if !waits_under_lock {
        fault_in_writeable(&ifq.kernel).await;
    }
    let _guard = ifq.pp_lock.lock().await;
    if ifq.dev.get() != 0 && ifq.netdev.get() == 0 {
        return Err(-EFAULT);
    }
    if waits_under_lock {
        copy_to_user(&ifq.kernel).await?;
    } else {
        copy_to_user_nofault::<P>()?;
    }
    reg.mem.set_token(zcrx_area_id_to_token(ifq.nr_areas() as u32));
    __zcrx_create_area(ifq, reg).await
}

/// Under `pp_lock`.
///
/// Divergence from Linux: an `rx_buf_len` of two pages fits no memory, because no two pages of user
/// space lie side by side.
#[allow(non_snake_case, reason = "the kernel's name")]
async fn __zcrx_create_area<P: Platform>(
    ifq: &Ptr<P, Ifq<P>>,
    reg: &AreaReg<P>,
) -> Result<(), i64> {
    let _func = P::func("__zcrx_create_area");
    ifq.pp_lock.assert_held();
    let has_dev = ifq.dev.get() != 0;
    if reg.modifiers.has(ArgModifier::RxBufLen) {
        return Err(-EINVAL);
    }
    let two_pages = reg.modifiers.has(ArgModifier::RxBufBig);
    if !has_dev && two_pages {
        return Err(-EOPNOTSUPP);
    }
    if P::fault(FaultPoint::AreaAlloc) {
        return Err(-ENOMEM);
    }
    io_import_area(reg)?;
    let area = alloc_area(ifq, &reg.mem, has_dev && maps_at_creation(ifq));
    let ret = if has_dev && two_pages {
        Err(-ERANGE)
    } else if P::fault(FaultPoint::AreaAlloc) {
        Err(-ENOMEM)
    } else {
        io_zcrx_append_area(ifq, &area).await
    };
    if ret.is_err() {
        __io_zcrx_unmap_area(&area);
        io_zcrx_free_area(&area);
    }
    ret
}

/// `io_import_area` and `io_import_umem`: pins the memory.
fn io_import_area<P: Platform>(reg: &AreaReg<P>) -> Result<(), i64> {
    let (mem, modifiers) = (&reg.mem, reg.modifiers);
    if modifiers.has(ArgModifier::AreaFlags)
        || modifiers.has(ArgModifier::AreaToken)
        || modifiers.has(ArgModifier::AreaResv)
    {
        return Err(-EINVAL);
    }
    // io_validate_user_buf_range()
    if mem.buffers() == 0 {
        return Err(-EFAULT);
    }
    // An address of zero is inside no page.
    let null = modifiers.has(ArgModifier::AreaNull);
    if modifiers.has(ArgModifier::AreaUnaligned) && !null
        || modifiers.has(ArgModifier::AreaDmabufFd)
    {
        return Err(-EINVAL);
    }
    if null {
        return Err(-EFAULT);
    }
    if P::fault(FaultPoint::AreaImport) {
        return Err(-ENOMEM);
    }
    mem.pins.pin();
    Ok(())
}

/// An area with all buffers in its free list.
fn alloc_area<P: Platform>(
    ifq: &Ptr<P, Ifq<P>>,
    mem: &Ptr<P, AreaMem<P>>,
    is_mapped: bool,
) -> Ptr<P, Area<P>> {
    let nr = mem.buffers();
    let area_id = ifq.nr_areas() as u32;
    let remembers = if ifq.kernel.has(Defect::S3) { nr } else { 0 };
    Ptr::alloc(Kind::Area, ifq.number + 1000 * area_id, || Area {
        ifq: ifq.clone(),
        area_id,
        niovs: (0..nr)
            .map(|_| Niov {
                pp: P::plain(Label::pointer("desc.pp", 0).per_buffer(), 0),
                pp_ref_count: P::atomic(Label::plain("pp_ref_count").per_buffer(), 0),
            })
            .collect(),
        user_refs: (0..nr)
            .map(|_| P::atomic(Label::plain("niov.user_refs").per_buffer(), 0))
            .collect(),
        handed_to: (0..remembers)
            .map(|_| P::atomic(Label::plain("niov.handed_to").per_buffer(), 0))
            .collect(),
        free_count: P::plain("free_count", u64::from(nr)),
        freelist: (0..nr).map(|i| P::plain(FREELIST, u64::from(i) + 1)).collect(),
        is_mapped: P::plain("is_mapped", u64::from(is_mapped)),
        mem: mem.clone(),
    })
}

/// `io_zcrx_append_area`. Under `pp_lock`.
///
/// Divergence from Linux: `ZCRX_MAX_AREAS` is 1024; here it is what a test may hold.
async fn io_zcrx_append_area<P: Platform>(ifq: &Ifq<P>, area: &Ptr<P, Area<P>>) -> Result<(), i64> {
    let nr = ifq.nr_areas();
    let slot = ifq.areas.get(nr).ok_or(-EINVAL)?;
    if !ifq.kernel.variant.revision.has_add_area() {
        slot.set(area.to_word());
        ifq.nr_areas.set(1);
        return Ok(());
    }
    if P::fault(FaultPoint::AreaAppend) {
        return Err(-ENOMEM);
    }
    let _rq = ifq.rq.lock.lock().await;
    let _alloc = ifq.alloc_lock.lock().await;
    slot.set(area.to_word());
    ifq.nr_areas.set(nr as u64 + 1);
    Ok(())
}

/// `io_zcrx_map_area` (6.18, 6.19): by the first page pool.
pub(super) async fn io_zcrx_map_area<P: Platform>(ifq: &Ifq<P>) {
    let _guard = ifq.pp_lock.lock().await;
    for area in ifq.areas() {
        area.is_mapped.set(1);
    }
}

/// `__io_zcrx_unmap_area`.
#[allow(non_snake_case, reason = "the kernel's name")]
fn __io_zcrx_unmap_area<P: Platform>(area: &Area<P>) {
    area.ifq.pp_lock.assert_held();
    area.is_mapped.set(0);
}

/// `io_zcrx_unmap_areas`. Under `pp_lock`.
pub fn io_zcrx_unmap_areas<P: Platform>(ifq: &Ifq<P>) {
    ifq.pp_lock.assert_held();
    for area in ifq.areas() {
        __io_zcrx_unmap_area(&area);
    }
}

/// `io_zcrx_free_area`.
pub fn io_zcrx_free_area<P: Platform>(area: &Ptr<P, Area<P>>) {
    if area.is_mapped.get() != 0 {
        P::violation(Invariant::I3, format_args!("area freed while mapped for the device"));
    }
    if !freed_too_early(area) {
        check_all_free(area);
    }
    area.mem.pins.unpin();
    area.free();
}

/// Whoever has a buffer of the area in its hands meets freed memory next, which says more: a page pool
/// that lives on (M3), a request of a ring that has dropped its references (P9).
fn freed_too_early<P: Platform>(area: &Area<P>) -> bool {
    let kernel = &area.ifq.kernel;
    kernel.has(Defect::M3) && P::live(Kind::PagePool) != 0
        || kernel.has(Defect::P9) && P::live(Kind::Req) != 0
}

/// What a ring that is gone got in copies may still be counted as held: nobody can give it back, and
/// it needs no page pool.
fn check_all_free<P: Platform>(area: &Area<P>) {
    let held = area.user_refs.iter().filter(|refs| refs.load_in_step() != 0).count() as u64;
    let (free, all) = (area.free_count.get(), u64::from(area.num_niovs()));
    if free + held != all {
        P::violation(
            Invariant::I6,
            format_args!("area freed with {free} of {all} buffers free and {held} held"),
        );
    }
}

/// `zcrx_get_free_niov`. Under `alloc_lock`.
///
/// Divergence from Linux: what is above the top of the list is cleared. Nobody reads it before it is
/// written, and states that differ in nothing else are the same.
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
pub async fn io_zcrx_return_niov_freelist<P: Platform>(niov: &NiovRef<P>) {
    let area = &niov.area;
    let _guard = area.ifq.alloc_lock.lock().await;
    let count = area.free_count.get();
    if count >= u64::from(area.num_niovs()) {
        P::violation(Invariant::I6, format_args!("{niov:?} returned to a full free list"));
        return;
    }
    area.freelist[count as usize].set(u64::from(niov.idx) + 1);
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
    // While no area can be added there is nothing to protect.
    let _guard = match ifq.kernel.variant.revision.has_add_area() {
        true => Some(ifq.pp_lock.lock().await),
        false => None,
    };
    for area in ifq.areas() {
        io_zcrx_scrub_area(&area).await;
    }
}

async fn io_zcrx_scrub_area<P: Platform>(area: &Ptr<P, Area<P>>) {
    for idx in 0..area.num_niovs() {
        let niov = NiovRef { area: area.clone(), idx };
        let counter = niov.user_counter();
        if counter.load(Order::Relaxed).await == 0 {
            continue;
        }
        let nr = counter.rmw(Rmw::Xchg(0), Order::Full).await;
        if nr != 0 && page_pool_unref_netmem(&niov, nr).await == 0 {
            io_zcrx_return_niov(&niov).await;
        }
    }
}

/// Whether user space holds a buffer of the ifq. Only while nothing else runs.
#[must_use]
pub fn user_holds_any<P: Platform>(ifq: &Ifq<P>) -> bool {
    ifq.areas().any(|area| area.user_refs.iter().any(|refs| refs.load_in_step() != 0))
}

/// S3: a packet or a copy finds no buffer. Whether a ring that is gone still holds one: user space
/// cannot give it back any more, and the kernel takes it back only with the last user. Under
/// `alloc_lock`.
pub fn report_lost_buffers<P: Platform>(ifq: &Ifq<P>) {
    if !ifq.kernel.has(Defect::S3) {
        return;
    }
    let open = ifq.kernel.files.open();
    for area in ifq.areas() {
        for (refs, ring) in area.user_refs.iter().zip(&area.handed_to) {
            // A ring's descriptor is its number.
            let gone =
                ring.load_in_step().checked_sub(1).filter(|ring| !open.contains(&(*ring as usize)));
            if let (Some(ring), true) = (gone, refs.load_in_step() != 0) {
                P::violation(
                    Invariant::I6,
                    format_args!("no buffer is left, and ring {ring}, which is gone, holds one"),
                );
                return;
            }
        }
    }
}
