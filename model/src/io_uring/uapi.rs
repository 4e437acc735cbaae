//! The user interface (`include/uapi/linux/io_uring.h`, `include/uapi/linux/io_uring/zcrx.h`).
//!
//! Structures have the kernel's fields. A pointer to memory of user space is a [`UserPtr`]; reserved
//! fields are one number each.

use crate::mm::{AreaMem, RqMem};
use crate::platform::label::BufferIndex;
use crate::platform::{Platform, Ptr};
use crate::uaccess::UserPtr;

/// `IO_RQ_MAX_ENTRIES` (`io_uring/zcrx.c`).
pub const IO_RQ_MAX_ENTRIES: u32 = 32768;
/// `niov_shift`: a buffer is a page.
pub const NIOV_SHIFT: u32 = 12;
/// `IORING_ZCRX_AREA_SHIFT`.
pub const IORING_ZCRX_AREA_SHIFT: u32 = 48;
/// `IORING_ZCRX_AREA_MASK`.
pub const IORING_ZCRX_AREA_MASK: u64 = !((1 << IORING_ZCRX_AREA_SHIFT) - 1);

/// `ZCRX_REG_IMPORT`.
pub const ZCRX_REG_IMPORT: u32 = 1;
/// `ZCRX_REG_NODEV` (7.1).
pub const ZCRX_REG_NODEV: u32 = 2;
/// `ZCRX_SUPPORTED_REG_FLAGS` (7.1).
pub const ZCRX_SUPPORTED_REG_FLAGS: u32 = ZCRX_REG_IMPORT | ZCRX_REG_NODEV;
/// `IORING_ZCRX_IFQ_REG_CLONE` (proposal).
pub const IORING_ZCRX_IFQ_REG_CLONE: u32 = 1;
/// `IORING_MEM_REGION_TYPE_USER`.
pub const IORING_MEM_REGION_TYPE_USER: u32 = 1;
/// `IORING_ZCRX_AREA_DMABUF`.
pub const IORING_ZCRX_AREA_DMABUF: u32 = 1;
/// `ZCRX_EVENT_ALLOC_FAIL` (7.2).
pub const ZCRX_EVENT_ALLOC_FAIL: u32 = 0;
/// `ZCRX_EVENT_COPY` (7.2).
pub const ZCRX_EVENT_COPY: u32 = 1;
/// `__ZCRX_EVENT_TYPE_LAST` (7.2).
pub const ZCRX_EVENT_TYPE_LAST: u32 = 2;
/// `ZCRX_EVENT_TYPE_MASK` (`io_uring/zcrx.c`, 7.2).
pub const ZCRX_EVENT_TYPE_MASK: u32 = (1 << ZCRX_EVENT_TYPE_LAST) - 1;
/// `ZCRX_EVENT_DESC_FLAG_STATS` (7.2).
pub const ZCRX_EVENT_DESC_FLAG_STATS: u32 = 1;
/// `IORING_RECVSEND_POLL_FIRST`.
pub const IORING_RECVSEND_POLL_FIRST: u16 = 1;
/// `IORING_RECV_MULTISHOT`.
pub const IORING_RECV_MULTISHOT: u16 = 2;

/// Not in Linux: how an offset into an area, plus `offset`, names a buffer.
#[must_use]
pub const fn area_offset(offset: u64) -> BufferIndex {
    BufferIndex { offset, shift: NIOV_SHIFT, bits: 36 }
}

/// `struct io_uring_zcrx_ifq_reg`.
#[derive(Clone, Debug)]
pub struct IoUringZcrxIfqReg<P: Platform> {
    /// Index of the interface; of an import or a clone: a descriptor.
    pub if_idx: u32,
    /// Receive queue; of a clone: the ifq's id in the source ring.
    pub if_rxq: u32,
    /// Entries of the refill ring.
    pub rq_entries: u32,
    /// `ZCRX_REG_*`.
    pub flags: u32,
    /// The area.
    pub area_ptr: UserPtr<IoUringZcrxAreaReg<P>>,
    /// The memory of the refill ring.
    pub region_ptr: UserPtr<IoUringRegionDesc<P>>,
    /// Size of a buffer; 0: a page (7.0).
    pub rx_buf_len: u32,
    /// Must be zero.
    pub zcrx_id: u32,
    /// Events that the ring asks for (7.2).
    pub event_desc: UserPtr<ZcrxEventDesc>,
    /// `__resv`.
    pub resv: u64,
    /// Not in the kernel: see [`crate::io_uring::zcrx::Ifq::number`].
    pub number: u32,
}

impl<P: Platform> IoUringZcrxIfqReg<P> {
    /// A structure of zeroes.
    #[must_use]
    pub fn zeroed(number: u32) -> Self {
        IoUringZcrxIfqReg {
            if_idx: 0,
            if_rxq: 0,
            rq_entries: 0,
            flags: 0,
            area_ptr: UserPtr::Null,
            region_ptr: UserPtr::Null,
            rx_buf_len: 0,
            zcrx_id: 0,
            event_desc: UserPtr::Null,
            resv: 0,
            number,
        }
    }
}

/// `struct io_uring_zcrx_area_reg`.
#[derive(Clone, Debug)]
pub struct IoUringZcrxAreaReg<P: Platform> {
    /// `addr`: bytes from the start of a page; `None`: zero.
    pub addr: Option<u32>,
    /// The memory that `addr` and `len` name.
    pub mem: Ptr<P, AreaMem<P>>,
    /// Written by the kernel; must be zero.
    pub rq_area_token: u64,
    /// `IORING_ZCRX_AREA_DMABUF`.
    pub flags: u32,
    /// Descriptor of a dma-buf.
    pub dmabuf_fd: u32,
    /// `__resv2`.
    pub resv: u64,
}

impl<P: Platform> IoUringZcrxAreaReg<P> {
    /// An area of this memory.
    #[must_use]
    pub fn of(mem: &Ptr<P, AreaMem<P>>) -> Self {
        let mem = mem.clone();
        IoUringZcrxAreaReg { addr: Some(0), mem, rq_area_token: 0, flags: 0, dmabuf_fd: 0, resv: 0 }
    }
}

/// `struct io_uring_region_desc`.
#[derive(Clone, Debug)]
pub struct IoUringRegionDesc<P: Platform> {
    /// The memory: of user space, or what the kernel allocates.
    pub mem: Ptr<P, RqMem<P>>,
    /// `size`, in entries of the refill ring that fit.
    pub size: u32,
    /// `IORING_MEM_REGION_TYPE_USER`, or 0: the kernel allocates the region.
    pub flags: u32,
}

impl<P: Platform> IoUringRegionDesc<P> {
    /// User memory, all of it.
    #[must_use]
    pub fn of(mem: &Ptr<P, RqMem<P>>) -> Self {
        let size = mem.rqes.len() as u32;
        IoUringRegionDesc { mem: mem.clone(), size, flags: IORING_MEM_REGION_TYPE_USER }
    }
}

/// `struct zcrx_event_desc` (7.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZcrxEventDesc {
    /// `user_data` of the completions.
    pub user_data: u64,
    /// One bit an event.
    pub type_mask: u32,
    /// `ZCRX_EVENT_DESC_FLAG_STATS`.
    pub flags: u32,
    /// Where the statistics are written.
    pub stats_offset: u32,
    /// `__resv2`.
    pub resv: u64,
}

/// `struct zcrx_ctrl`.
#[derive(Debug)]
pub struct ZcrxCtrl<'a, P: Platform> {
    /// The id.
    pub zcrx_id: u32,
    /// `op` and the operation's part.
    pub op: ZcrxCtrlOp<'a, P>,
    /// `__resv`.
    pub resv: u64,
    /// The reserved fields of the operation's part.
    pub op_resv: u64,
}

/// `enum zcrx_ctrl_op` and the operation's part of [`ZcrxCtrl`].
#[derive(Debug)]
pub enum ZcrxCtrlOp<'a, P: Platform> {
    /// `ZCRX_CTRL_FLUSH_RQ`.
    FlushRq,
    /// `ZCRX_CTRL_EXPORT`: the word for `zcrx_fd` plus one.
    Export(Option<&'a P::Atomic>),
    /// `ZCRX_CTRL_ARM_EVENT` with `event_type`.
    ArmEvent(u32),
    /// `ZCRX_CTRL_ADD_AREA` with `area_ptr`.
    AddArea(UserPtr<IoUringZcrxAreaReg<P>>),
}
