//! Areas: memory for packets, cut into buffers (`io_uring/zcrx.c`).

use crate::capacity::exceeded;
use crate::errno::{EBADF, EFAULT, EINVAL, ENOMEM, EOPNOTSUPP, ERANGE};
use crate::fault::FaultPoint;
use crate::io_uring::uapi::{
    IORING_ZCRX_AREA_DMABUF, IORING_ZCRX_AREA_SHIFT, IoUringZcrxAreaReg, NIOV_SHIFT,
};
use crate::io_uring::zcrx::niov::Niov;
use crate::io_uring::zcrx::{Ifq, ZCRX_MAX_AREAS};
use crate::kernel::Kernel;
use crate::mm::{AreaMem, io_pin_pages};
use crate::platform::label::BufferIndex;
use crate::platform::{AtomicWord, Kind, Label, PlainWord, Platform, Ptr, RawLock};
use crate::revision::Defect;
use crate::trace::Tracepoint;
use crate::uaccess::{
    UserPtr, copy_from_user, copy_to_user, copy_to_user_nofault, fault_in_writeable,
};

const FREELIST: Label =
    Label::plain("freelist").names_buffer(BufferIndex { offset: 1, shift: 0, bits: 16 });

/// `struct io_zcrx_area`.
pub struct Area<P: Platform> {
    /// The ifq.
    pub ifq: Ptr<P, Ifq<P>>,
    /// `area_id`: a word, because it follows from what happened before the area was allocated.
    pub area_id: P::Plain,
    pub(super) niovs: Vec<Niov<P>>,
    /// By buffer: the references of user space.
    pub(super) user_refs: Vec<P::Atomic>,
    /// Length of `freelist`. Under `alloc_lock`.
    pub(super) free_count: P::Plain,
    /// Indices of the free buffers, plus one, so that zero names no buffer. Under `alloc_lock`.
    pub(super) freelist: Vec<P::Plain>,
    /// Whether the memory is mapped for the device. Under `pp_lock`.
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
    ///
    /// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
    #[must_use]
    pub fn num_niovs(&self) -> u32 {
        self.niovs.len() as u32
    }

    /// For checks: whether the memory is mapped for the device.
    #[must_use]
    pub fn observe_mapped(&self) -> bool {
        self.is_mapped.observe() != 0
    }

    /// For checks: the number of buffers in the free list.
    #[must_use]
    pub fn observe_free_count(&self) -> u64 {
        self.free_count.observe()
    }

    /// For checks: by buffer, how many references of user space the kernel counts.
    pub fn observe_user_refs(&self) -> impl Iterator<Item = u64> + '_ {
        self.user_refs.iter().map(AtomicWord::load_in_step)
    }

    /// For checks: by buffer, whether user space holds a reference.
    pub fn observe_held(&self) -> impl Iterator<Item = bool> + '_ {
        self.observe_user_refs().map(|refs| refs != 0)
    }
}

/// `zcrx_area_id_to_token`.
///
/// Linux: `io_uring/zcrx.c`, 7.3.
#[must_use]
pub fn zcrx_area_id_to_token(area_id: u32) -> u64 {
    u64::from(area_id) << IORING_ZCRX_AREA_SHIFT
}

/// The result of `io_import_area`, if it was called already: the fixes of `add-area-pin` and
/// `register-pin` call it before they take a lock that others need. As published, it is `None`, and
/// `__zcrx_create_area` calls it.
pub type Imported = Option<Result<(), i64>>;

/// `io_zcrx_create_area`.
///
/// # Errors
/// -EINVAL, -EFAULT, -EOPNOTSUPP, -ERANGE for an invalid structure; -ENOMEM at the fault points;
/// -EINVAL if there are too many areas.
///
/// # Divergence from Linux
/// - Simplified: takes `pp_lock` before 7.3, too. No other thread uses the ifq yet.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
pub async fn io_zcrx_create_area<P: Platform>(
    ifq: &Ptr<P, Ifq<P>>,
    area_reg: &IoUringZcrxAreaReg<P>,
    rx_buf_len: u32,
    imported: Imported,
) -> Result<(), i64> {
    let _guard = ifq.pp_lock.lock().await;
    __zcrx_create_area(ifq, area_reg, rx_buf_len, imported).await
}

/// `zcrx_ctrl_add_area`: `ZCRX_CTRL_ADD_AREA` (7.3).
///
/// # Errors
/// As [`io_zcrx_create_area`]; -EINVAL for reserved fields, -EFAULT if the device is gone or the
/// structure cannot be read or written.
///
/// Linux: `io_uring/zcrx.c`, 7.3.
pub async fn zcrx_ctrl_add_area<P: Platform>(
    ifq: &Ptr<P, Ifq<P>>,
    area_ptr: &UserPtr<IoUringZcrxAreaReg<P>>,
    resv: u64,
) -> Result<(), i64> {
    let _func = P::func("zcrx_ctrl_add_area");
    let kernel = &ifq.kernel;
    let area_reg = copy_from_user::<P, _>(area_ptr)?;
    if resv != 0 {
        return Err(-EINVAL);
    }
    if area_reg.rq_area_token != 0 {
        return Err(-EINVAL);
    }
    let mut imported = None;
    if kernel.fixed(Defect::AddAreaPin) {
        imported = Some(io_import_area(kernel, area_reg, ifq.dev.get() != 0).await);
    }
    if kernel.fixed(Defect::AddAreaLock) {
        fault_in_writeable(kernel).await;
    }
    let _guard = ifq.pp_lock.lock().await;
    if ifq.dev.get() != 0 && ifq.netdev.get() == 0 {
        io_release_area_mem(area_reg, imported);
        return Err(-EFAULT);
    }
    // The append cannot be rolled back safely, so the kernel writes the token first.
    let copied = if kernel.fixed(Defect::AddAreaLock) {
        copy_to_user_nofault::<P>()
    } else {
        copy_to_user(kernel).await
    };
    if let Err(errno) = copied {
        io_release_area_mem(area_reg, imported);
        return Err(errno);
    }
    area_reg.mem.set_token(zcrx_area_id_to_token(ifq.nr_areas() as u32));
    __zcrx_create_area(ifq, area_reg, 1 << NIOV_SHIFT, imported).await
}

/// `__zcrx_create_area`. Under `pp_lock`. Before 7.3 it is a part of `io_zcrx_create_area`.
///
/// # Divergence from Linux
/// - Left out: an `rx_buf_len` of more than a page never fits, because no two pages of user memory are
///   contiguous here.
///
/// Linux: `io_uring/zcrx.c`, 7.3.
#[allow(non_snake_case, reason = "the kernel's name")]
async fn __zcrx_create_area<P: Platform>(
    ifq: &Ptr<P, Ifq<P>>,
    area_reg: &IoUringZcrxAreaReg<P>,
    rx_buf_len: u32,
    imported: Imported,
) -> Result<(), i64> {
    let _func = P::func("__zcrx_create_area");
    ifq.pp_lock.assert_held();
    let has_dev = ifq.dev.get() != 0;
    let mut buf_size_shift = NIOV_SHIFT;
    let checked = 'checked: {
        if rx_buf_len != 0 {
            if !rx_buf_len.is_power_of_two() || rx_buf_len < 1 << NIOV_SHIFT {
                break 'checked Err(-EINVAL);
            }
            buf_size_shift = rx_buf_len.ilog2();
        }
        if !has_dev && buf_size_shift != NIOV_SHIFT {
            break 'checked Err(-EOPNOTSUPP);
        }
        // kzalloc_obj(*area)
        if P::fault(FaultPoint::AreaAlloc) {
            break 'checked Err(-ENOMEM);
        }
        Ok(())
    };
    if let Err(errno) = checked {
        io_release_area_mem(area_reg, imported);
        return Err(errno);
    }
    match imported {
        Some(imported) => imported?,
        None => io_import_area(&ifq.kernel, area_reg, has_dev).await?,
    }
    // From 7.1 on the area is mapped here, before by the first page pool.
    let is_mapped = has_dev && ifq.kernel.variant.revision.has_nodev();
    let area = alloc_area(ifq, &area_reg.mem, is_mapped);
    let ret = if has_dev && buf_size_shift > NIOV_SHIFT {
        Err(-ERANGE)
    } else if P::fault(FaultPoint::AreaAlloc) {
        // kvmalloc_objs(area->nia.niovs[0])
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
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
pub(super) async fn io_import_area<P: Platform>(
    kernel: &Kernel<P>,
    area_reg: &IoUringZcrxAreaReg<P>,
    has_dev: bool,
) -> Result<(), i64> {
    let dmabuf = area_reg.flags & IORING_ZCRX_AREA_DMABUF != 0;
    if area_reg.flags & !IORING_ZCRX_AREA_DMABUF != 0
        || area_reg.rq_area_token != 0
        || area_reg.resv != 0
    {
        return Err(-EINVAL);
    }
    // io_validate_user_buf_range()
    if area_reg.mem.buffers() == 0 {
        return Err(-EFAULT);
    }
    if area_reg.addr.is_some_and(|offset| offset != 0) {
        return Err(-EINVAL);
    }
    if dmabuf {
        return Err(io_import_dmabuf(area_reg, has_dev));
    }
    if area_reg.dmabuf_fd != 0 {
        return Err(-EINVAL);
    }
    if area_reg.addr.is_none() {
        return Err(-EFAULT);
    }
    // io_pin_pages(), io_account_mem()
    if P::fault(FaultPoint::AreaImport) {
        return Err(-ENOMEM);
    }
    io_pin_pages(kernel, &area_reg.mem.pins).await;
    Ok(())
}

/// `io_import_dmabuf` of a descriptor that is no dma-buf.
///
/// # Divergence from Linux
/// - Left out: dma-bufs. Outcomes: the errors of a dma-buf that cannot be attached or has another size, and
///   areas whose bytes the kernel cannot read.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
fn io_import_dmabuf<P: Platform>(area_reg: &IoUringZcrxAreaReg<P>, has_dev: bool) -> i64 {
    if !has_dev || area_reg.addr.is_some() {
        return -EINVAL;
    }
    // dma_buf_get()
    -EBADF
}

/// `io_release_area_mem`, of memory that no area has yet.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
pub(super) fn io_release_area_mem<P: Platform>(
    area_reg: &IoUringZcrxAreaReg<P>,
    imported: Imported,
) {
    if imported == Some(Ok(())) {
        area_reg.mem.pins.unpin();
    }
}

/// Not in Linux as a function: the allocations of `__zcrx_create_area`, an area whose buffers are
/// all in the free list.
fn alloc_area<P: Platform>(
    ifq: &Ptr<P, Ifq<P>>,
    mem: &Ptr<P, AreaMem<P>>,
    is_mapped: bool,
) -> Ptr<P, Area<P>> {
    let nr = mem.buffers();
    let area_id = ifq.nr_areas() as u32;
    let user_refs = Label::plain("niov.user_refs").per_buffer();
    Ptr::alloc(Kind::Area, ifq.number + 1000 * area_id, || Area {
        ifq: ifq.clone(),
        area_id: P::plain("area_id", u64::from(area_id)),
        niovs: (0..nr).map(|_| Niov::new()).collect(),
        user_refs: (0..nr).map(|_| P::atomic(user_refs, 0)).collect(),
        free_count: P::plain("free_count", u64::from(nr)),
        freelist: (0..nr).map(|i| P::plain(FREELIST, u64::from(i) + 1)).collect(),
        is_mapped: P::plain("is_mapped", u64::from(is_mapped)),
        mem: mem.clone(),
    })
}

/// `io_zcrx_append_area`. Before 7.3 the ifq has one area. Under `pp_lock`.
///
/// # Divergence from Linux
/// - Left out: `kern_readable`, because there are no dma-buf areas.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
async fn io_zcrx_append_area<P: Platform>(ifq: &Ifq<P>, area: &Ptr<P, Area<P>>) -> Result<(), i64> {
    let nr = ifq.nr_areas();
    if nr + 1 > ZCRX_MAX_AREAS {
        return Err(-EINVAL);
    }
    let Some(slot) = ifq.areas.get(nr) else { exceeded("an area") };
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

/// `io_zcrx_map_area` (6.18 to 7.0), called by the first page pool.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.0.
pub(super) async fn io_zcrx_map_area<P: Platform>(ifq: &Ifq<P>) {
    let _guard = ifq.pp_lock.lock().await;
    for area in ifq.areas() {
        area.is_mapped.set(1);
    }
}

/// `__io_zcrx_unmap_area`.
///
/// Before 7.3 it is a part of `io_zcrx_unmap_area`.
///
/// Linux: `io_uring/zcrx.c`, 7.3.
#[allow(non_snake_case, reason = "the kernel's name")]
fn __io_zcrx_unmap_area<P: Platform>(area: &Area<P>) {
    area.ifq.pp_lock.assert_held();
    area.is_mapped.set(0);
}

/// `io_zcrx_unmap_areas`, before 7.3 `io_zcrx_unmap_area`. Under `pp_lock`.
///
/// Linux: `io_uring/zcrx.c`, 7.3.
pub fn io_zcrx_unmap_areas<P: Platform>(ifq: &Ifq<P>) {
    ifq.pp_lock.assert_held();
    for area in ifq.areas() {
        __io_zcrx_unmap_area(&area);
    }
}

/// `io_zcrx_free_area`.
///
/// Linux: `io_uring/zcrx.c`, 6.18 to 7.3.
pub fn io_zcrx_free_area<P: Platform>(area: &Ptr<P, Area<P>>) {
    area.ifq.kernel.trace(&Tracepoint::AreaFree(&**area));
    area.mem.pins.unpin();
    area.free();
}
