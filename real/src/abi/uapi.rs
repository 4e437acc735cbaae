//! The UAPI that the `io-uring` crate does not have: zcrx, memory regions and queries. Read from `include/uapi/linux/io_uring/{zcrx,query}.h` and `include/uapi/linux/io_uring.h`
//! of 7.3; the tests pin every size and offset.

/// `IORING_REGISTER_ZCRX_IFQ` (6.15).
pub const IORING_REGISTER_ZCRX_IFQ: u32 = 32;
/// `IORING_REGISTER_QUERY` (6.18). Needs no ring.
pub const IORING_REGISTER_QUERY: u32 = 35;
/// `IORING_REGISTER_ZCRX_CTRL` (6.19).
pub const IORING_REGISTER_ZCRX_CTRL: u32 = 36;

/// `IORING_MEM_REGION_TYPE_USER`: the region is memory of user space.
pub const IORING_MEM_REGION_TYPE_USER: u32 = 1;

/// `IORING_ZCRX_IFQ_REG_CLONE` of the proposal: `if_idx` is a ring, and `if_rxq` an id of it.
pub const IORING_ZCRX_IFQ_REG_CLONE: u32 = 1;
/// `ZCRX_REG_IMPORT`: `if_idx` is a descriptor made by [`ZCRX_CTRL_EXPORT`].
pub const ZCRX_REG_IMPORT: u32 = 1;
/// `ZCRX_REG_NODEV`: no network device, everything is copied.
pub const ZCRX_REG_NODEV: u32 = 2;

/// `ZCRX_CTRL_FLUSH_RQ`.
pub const ZCRX_CTRL_FLUSH_RQ: u32 = 0;
/// `ZCRX_CTRL_EXPORT`.
pub const ZCRX_CTRL_EXPORT: u32 = 1;
/// `ZCRX_CTRL_ARM_EVENT` (7.2).
pub const ZCRX_CTRL_ARM_EVENT: u32 = 2;
/// `ZCRX_CTRL_ADD_AREA` (7.3).
pub const ZCRX_CTRL_ADD_AREA: u32 = 3;

/// Number of `ZCRX_EVENT_*`; the first number that is none.
pub const ZCRX_EVENT_TYPES: u32 = 2;

/// `IORING_OFF_SQ_RING`: where the queues of a ring are mapped.
pub const IORING_OFF_SQ_RING: u64 = 0;
/// `IORING_MAP_OFF_ZCRX_REGION` (`io_uring/memmap.h`): where the refill ring of an ifq is mapped,
/// its id shifted by [`IORING_OFF_ZCRX_SHIFT`].
pub const IORING_MAP_OFF_ZCRX_REGION: u64 = 0x3000_0000;
/// `IORING_OFF_ZCRX_SHIFT` (`io_uring/memmap.h`).
pub const IORING_OFF_ZCRX_SHIFT: u32 = 16;

/// Names of the `ZCRX_REG_*` flags by bit.
pub const REGISTER_FLAGS: [&str; 2] = ["IMPORT", "NODEV"];
/// Names of the `IORING_ZCRX_AREA_*` flags by bit.
pub const AREA_FLAGS: [&str; 1] = ["DMABUF"];
/// Names of the `ZCRX_FEATURE_*` flags by bit.
pub const FEATURES: [&str; 2] = ["RX_PAGE_SIZE", "EVENT"];
/// Names of the `ZCRX_CTRL_*` operations by number.
pub const CTRL_OPS: [&str; 4] = ["FLUSH_RQ", "EXPORT", "ARM_EVENT", "ADD_AREA"];
/// Names of the `ZCRX_EVENT_*` types by bit.
pub const EVENTS: [&str; 2] = ["ALLOC_FAIL", "COPY"];

/// The bit from which on an offset holds the area's number.
pub const IORING_ZCRX_AREA_SHIFT: u32 = 48;
/// The part of an offset that lies inside its area.
pub const AREA_OFFSET_MASK: u64 = (1 << IORING_ZCRX_AREA_SHIFT) - 1;

/// `struct io_uring_region_desc`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct RegionDesc {
    /// Address of the memory, with [`IORING_MEM_REGION_TYPE_USER`].
    pub user_addr: u64,
    /// Bytes, whole pages.
    pub size: u64,
    /// `IORING_MEM_REGION_*`.
    pub flags: u32,
    /// Zero.
    pub id: u32,
    /// Where to map a region that the kernel allocated; out.
    pub mmap_offset: u64,
    /// Zero.
    pub resv: [u64; 4],
}

/// `struct io_uring_zcrx_rqe`: one returned buffer in the refill ring.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Rqe {
    /// Offset of a byte of the buffer, with its area's number.
    pub off: u64,
    /// Bytes; the kernel does not read it.
    pub len: u32,
    /// Zero.
    pub pad: u32,
}

/// `struct io_uring_zcrx_offsets`: where the parts of the refill ring are in its region.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Offsets {
    /// The consumer's index, `u32`.
    pub head: u32,
    /// The producer's index, `u32`.
    pub tail: u32,
    /// The first [`Rqe`].
    pub rqes: u32,
    /// Zero.
    pub resv2: u32,
    /// Zero.
    pub resv: [u64; 2],
}

/// `struct io_uring_zcrx_area_reg`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct AreaReg {
    /// Address.
    pub addr: u64,
    /// Bytes, whole pages.
    pub len: u64,
    /// The area's number, shifted; out.
    pub rq_area_token: u64,
    /// `IORING_ZCRX_AREA_*`.
    pub flags: u32,
    /// With `IORING_ZCRX_AREA_DMABUF`.
    pub dmabuf_fd: u32,
    /// Zero.
    pub resv2: [u64; 2],
}

/// `struct io_uring_zcrx_ifq_reg`, the argument of [`IORING_REGISTER_ZCRX_IFQ`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct IfqReg {
    /// Network device; with [`ZCRX_REG_IMPORT`] the descriptor.
    pub if_idx: u32,
    /// Receive queue.
    pub if_rxq: u32,
    /// Entries of the refill ring; out: rounded up.
    pub rq_entries: u32,
    /// `ZCRX_REG_*`.
    pub flags: u32,
    /// Address of an [`AreaReg`].
    pub area_ptr: u64,
    /// Address of a [`RegionDesc`].
    pub region_ptr: u64,
    /// Out.
    pub offsets: Offsets,
    /// The ifq's number in its ring; out.
    pub zcrx_id: u32,
    /// Bytes of a buffer, 0: one page; out.
    pub rx_buf_len: u32,
    /// Address of an event descriptor, or 0.
    pub event_desc: u64,
    /// Zero.
    pub resv: [u64; 2],
}

/// `struct zcrx_event_desc` (7.2).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct EventDesc {
    /// `user_data` of the event completions.
    pub user_data: u64,
    /// One bit for each requested `ZCRX_EVENT_*`.
    pub type_mask: u32,
    /// `ZCRX_EVENT_DESC_FLAG_*`.
    pub flags: u32,
    /// Where in the region the statistics go, in bytes; with its flag.
    pub stats_offset: u64,
    /// Zero.
    pub resv2: [u64; 9],
}

/// `struct zcrx_ctrl`, the argument of [`IORING_REGISTER_ZCRX_CTRL`], with its union as words.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct ZcrxCtrl {
    /// The ifq's number in its ring.
    pub zcrx_id: u32,
    /// `ZCRX_CTRL_*`.
    pub op: u32,
    /// Zero.
    pub resv: [u64; 2],
    /// What the operation needs; [`ZCRX_CTRL_EXPORT`] puts the descriptor into the first word.
    pub arg: [u32; 12],
}

/// `IO_URING_QUERY_OPCODES`.
pub const IO_URING_QUERY_OPCODES: u32 = 0;
/// `IO_URING_QUERY_ZCRX`.
pub const IO_URING_QUERY_ZCRX: u32 = 1;
/// `IO_URING_QUERY_ZCRX_EVENT`.
pub const IO_URING_QUERY_ZCRX_EVENT: u32 = 3;

/// `IORING_SETUP_CQSIZE`.
pub const IORING_SETUP_CQSIZE: u32 = 1 << 3;
/// `IORING_SETUP_CLAMP`.
pub const IORING_SETUP_CLAMP: u32 = 1 << 4;
/// `IORING_SETUP_R_DISABLED`.
pub const IORING_SETUP_R_DISABLED: u32 = 1 << 6;
/// `IORING_SETUP_SUBMIT_ALL`.
pub const IORING_SETUP_SUBMIT_ALL: u32 = 1 << 7;
/// `IORING_SETUP_SINGLE_ISSUER`.
pub const IORING_SETUP_SINGLE_ISSUER: u32 = 1 << 12;
/// `IORING_SETUP_DEFER_TASKRUN`.
pub const IORING_SETUP_DEFER_TASKRUN: u32 = 1 << 13;
/// `IORING_SETUP_CQE_MIXED`.
pub const IORING_SETUP_CQE_MIXED: u32 = 1 << 18;
/// `IORING_CQE_F_SKIP`: an entry to skip.
pub const IORING_CQE_F_SKIP: u32 = 1 << 5;
/// `IORING_CQE_F_32`: a completion of 32 bytes.
pub const IORING_CQE_F_32: u32 = 1 << 15;

/// `IORING_REGISTER_ENABLE_RINGS`.
pub const IORING_REGISTER_ENABLE_RINGS: u32 = 12;
/// `IORING_REGISTER_SYNC_CANCEL`.
pub const IORING_REGISTER_SYNC_CANCEL: u32 = 24;
/// `IORING_ASYNC_CANCEL_ALL`.
pub const IORING_ASYNC_CANCEL_ALL: u32 = 1 << 0;
/// `IORING_ASYNC_CANCEL_FD`.
pub const IORING_ASYNC_CANCEL_FD: u32 = 1 << 1;
/// `IORING_ASYNC_CANCEL_ANY`.
pub const IORING_ASYNC_CANCEL_ANY: u32 = 1 << 2;

/// `struct io_uring_sync_cancel_reg`.
#[repr(C)]
#[derive(Clone, Debug)]
pub struct SyncCancelReg {
    /// `user_data` of the request.
    pub addr: u64,
    /// The file of the requests, with `IORING_ASYNC_CANCEL_FD`.
    pub fd: i32,
    /// `IORING_ASYNC_CANCEL_*`.
    pub flags: u32,
    /// `timeout`; -1, -1: none.
    pub timeout: [i64; 2],
    /// `opcode`.
    pub opcode: u8,
    /// Zero.
    pub pad: [u8; 7],
    /// Zero.
    pub pad2: [u64; 3],
}

impl Default for SyncCancelReg {
    fn default() -> Self {
        SyncCancelReg {
            addr: 0,
            fd: -1,
            flags: 0,
            timeout: [-1; 2],
            opcode: 0,
            pad: [0; 7],
            pad2: [0; 3],
        }
    }
}

/// `struct io_uring_query_hdr`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct QueryHdr {
    /// Address of the next header, or 0.
    pub next_entry: u64,
    /// Address of the answer.
    pub query_data: u64,
    /// `IO_URING_QUERY_*`.
    pub query_op: u32,
    /// Bytes of the answer; out: bytes that the kernel knows.
    pub size: u32,
    /// 0 or -errno; out.
    pub result: i32,
    /// Zero.
    pub resv: [u32; 3],
}

/// `struct io_uring_query_opcode`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct QueryOpcodes {
    /// Number of `IORING_OP_*`.
    pub nr_request_opcodes: u32,
    /// Number of `IORING_REGISTER_*`.
    pub nr_register_opcodes: u32,
    /// `IORING_FEAT_*`.
    pub feature_flags: u64,
    /// `IORING_SETUP_*`.
    pub ring_setup_flags: u64,
    /// `IORING_ENTER_*`.
    pub enter_flags: u64,
    /// `IOSQE_*`.
    pub sqe_flags: u64,
    /// Number of `IO_URING_QUERY_*`.
    pub nr_query_opcodes: u32,
    /// Zero.
    pub pad: u32,
}

/// `struct io_uring_query_zcrx`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct QueryZcrx {
    /// `ZCRX_REG_*`.
    pub register_flags: u64,
    /// `IORING_ZCRX_AREA_*`.
    pub area_flags: u64,
    /// Number of `ZCRX_CTRL_*`.
    pub nr_ctrl_opcodes: u32,
    /// `ZCRX_FEATURE_*`.
    pub features: u32,
    /// Bytes of the refill ring's header.
    pub rq_hdr_size: u32,
    /// Alignment of what follows the header, in bytes.
    pub rq_hdr_alignment: u32,
    /// Zero.
    pub resv2: u64,
}

/// `struct io_uring_query_zcrx_event`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct QueryZcrxEvent {
    /// One bit for each `ZCRX_EVENT_*`.
    pub event_flags: u32,
    /// Bytes of `struct zcrx_stats`.
    pub stats_size: u32,
    /// Its alignment in bytes.
    pub stats_off_alignment: u32,
    /// Zero.
    pub resv1: u32,
    /// Zero.
    pub resv2: [u64; 4],
}

/// Offset of `tcpi_state` in `struct tcp_info` (`include/uapi/linux/tcp.h`), a `u8`.
pub const TCP_INFO_STATE: usize = 0;
/// Offset of `tcpi_bytes_received`, a `u64`: every byte that reached the receive queue.
pub const TCP_INFO_BYTES_RECEIVED: usize = 128;
/// `IORING_RECVSEND_POLL_FIRST`: a request polls before it receives.
pub const IORING_RECVSEND_POLL_FIRST: u16 = 1;
/// Offset of `tcpi_unacked`, a `u32`: segments that are sent and not acknowledged.
pub const TCP_INFO_UNACKED: usize = 24;
/// `TCP_FIN_WAIT2`: the end of the stream is acknowledged.
pub const TCP_FIN_WAIT2: u8 = 5;
/// `IORING_ZCRX_AREA_DMABUF`: the area is a dma-buf.
pub const IORING_ZCRX_AREA_DMABUF: u32 = 1;
/// `TCP_CLOSE`: the connection was reset.
pub const TCP_CLOSE: u8 = 7;
/// `TCP_CLOSE_WAIT`: the peer has ended its stream.
pub const TCP_CLOSE_WAIT: u8 = 8;

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;

    #[test]
    fn registration_arguments_have_the_kernels_layout() {
        assert_eq!(size_of::<RegionDesc>(), 64);
        assert_eq!(offset_of!(RegionDesc, flags), 16);
        assert_eq!(offset_of!(RegionDesc, id), 20);
        assert_eq!(offset_of!(RegionDesc, mmap_offset), 24);
        assert_eq!(offset_of!(RegionDesc, resv), 32);

        assert_eq!(size_of::<EventDesc>(), 96);
        assert_eq!(offset_of!(EventDesc, flags), 12);
        assert_eq!(offset_of!(EventDesc, stats_offset), 16);
        assert_eq!(offset_of!(EventDesc, resv2), 24);

        assert_eq!(size_of::<AreaReg>(), 48);
        assert_eq!(offset_of!(AreaReg, len), 8);
        assert_eq!(offset_of!(AreaReg, rq_area_token), 16);
        assert_eq!(offset_of!(AreaReg, flags), 24);
        assert_eq!(offset_of!(AreaReg, dmabuf_fd), 28);
        assert_eq!(offset_of!(AreaReg, resv2), 32);

        assert_eq!(size_of::<IfqReg>(), 96);
        assert_eq!(offset_of!(IfqReg, if_rxq), 4);
        assert_eq!(offset_of!(IfqReg, rq_entries), 8);
        assert_eq!(offset_of!(IfqReg, flags), 12);
        assert_eq!(offset_of!(IfqReg, area_ptr), 16);
        assert_eq!(offset_of!(IfqReg, region_ptr), 24);
        assert_eq!(offset_of!(IfqReg, offsets), 32);
        assert_eq!(offset_of!(IfqReg, zcrx_id), 64);
        assert_eq!(offset_of!(IfqReg, rx_buf_len), 68);
        assert_eq!(offset_of!(IfqReg, event_desc), 72);
        assert_eq!(offset_of!(IfqReg, resv), 80);
    }

    #[test]
    fn refill_ring_has_the_kernels_layout() {
        assert_eq!(size_of::<Rqe>(), 16);
        assert_eq!(offset_of!(Rqe, len), 8);
        assert_eq!(offset_of!(Rqe, pad), 12);
        assert_eq!(size_of::<Offsets>(), 32);
        assert_eq!(offset_of!(Offsets, tail), 4);
        assert_eq!(offset_of!(Offsets, rqes), 8);
        assert_eq!(offset_of!(Offsets, resv), 16);
    }

    #[test]
    fn control_argument_has_the_kernels_layout() {
        assert_eq!(size_of::<ZcrxCtrl>(), 72);
        assert_eq!(offset_of!(ZcrxCtrl, op), 4);
        assert_eq!(offset_of!(ZcrxCtrl, resv), 8);
        assert_eq!(offset_of!(ZcrxCtrl, arg), 24);
    }

    #[test]
    fn queries_have_the_kernels_layout() {
        assert_eq!(size_of::<QueryHdr>(), 40);
        assert_eq!(offset_of!(QueryHdr, query_op), 16);
        assert_eq!(offset_of!(QueryHdr, size), 20);
        assert_eq!(offset_of!(QueryHdr, result), 24);
        assert_eq!(offset_of!(QueryHdr, resv), 28);

        assert_eq!(size_of::<QueryOpcodes>(), 48);
        assert_eq!(offset_of!(QueryOpcodes, feature_flags), 8);
        assert_eq!(offset_of!(QueryOpcodes, nr_query_opcodes), 40);

        assert_eq!(size_of::<QueryZcrx>(), 40);
        assert_eq!(offset_of!(QueryZcrx, area_flags), 8);
        assert_eq!(offset_of!(QueryZcrx, nr_ctrl_opcodes), 16);
        assert_eq!(offset_of!(QueryZcrx, features), 20);
        assert_eq!(offset_of!(QueryZcrx, rq_hdr_size), 24);
        assert_eq!(offset_of!(QueryZcrx, rq_hdr_alignment), 28);

        assert_eq!(size_of::<QueryZcrxEvent>(), 48);
        assert_eq!(offset_of!(QueryZcrxEvent, stats_size), 4);
        assert_eq!(offset_of!(QueryZcrxEvent, stats_off_alignment), 8);
        assert_eq!(offset_of!(QueryZcrxEvent, resv2), 16);
    }
}
