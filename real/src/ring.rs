//! One ring of the running kernel, as zcrx needs it: `DEFER_TASKRUN`, `SINGLE_ISSUER`, `CQE32`.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use crate::abi::{self, AreaReg, IfqReg, RegionDesc, ZcrxCtrl};
use crate::sys::{self, SharedMem};

/// Entries of the submission queue.
const SQ_ENTRIES: u32 = 64;
/// Entries of the completion queue.
const CQ_ENTRIES: u32 = 1024;

/// A ring. It belongs to the thread that made it: the kernel answers `-EEXIST` to any other.
/// Dropping it unmaps it and closes its descriptor.
pub struct Ring {
    uring: IoUring<squeue::Entry, cqueue::Entry32>,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("fd", &self.fd()).finish()
    }
}

/// What a successful registration says.
#[derive(Clone, Copy, Debug)]
pub struct Registered {
    /// The ifq's number in its ring.
    pub id: u32,
    /// Entries of the refill ring.
    pub entries: u32,
    /// Where the refill ring's parts are in its region.
    pub offsets: abi::Offsets,
}

/// One completion.
#[derive(Clone, Copy, Debug)]
pub struct Cqe {
    /// What the request was submitted with.
    pub user_data: u64,
    /// Bytes or -errno.
    pub res: i32,
    /// Whether the request goes on.
    pub more: bool,
    /// `struct io_uring_zcrx_cqe::off`.
    pub off: u64,
}

impl Cqe {
    /// Whether the completion hands a buffer to user space.
    #[must_use]
    pub fn has_buffer(&self) -> bool {
        self.more && self.res > 0
    }
}

impl Ring {
    /// Makes a ring that the calling thread owns.
    ///
    /// # Errors
    ///
    /// Those of `io_uring_setup(2)` and `mmap(2)`.
    pub fn new() -> io::Result<Self> {
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(CQ_ENTRIES)
            .dontfork()
            .build(SQ_ENTRIES)?;
        Ok(Ring { uring })
    }

    /// The descriptor.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.uring.as_raw_fd()
    }

    /// `IORING_REGISTER_ZCRX_IFQ` with `ZCRX_REG_NODEV`: `area` for the data, `region` for a refill
    /// ring of `entries`.
    ///
    /// # Errors
    ///
    /// -errno.
    pub fn register_nodev(
        &self,
        area: &SharedMem,
        region: &SharedMem,
        entries: u32,
    ) -> Result<Registered, i64> {
        let mut area_reg =
            AreaReg { addr: area.addr(), len: area.len() as u64, ..AreaReg::default() };
        let mut region_desc = RegionDesc {
            user_addr: region.addr(),
            size: region.len() as u64,
            flags: abi::IORING_MEM_REGION_TYPE_USER,
            ..RegionDesc::default()
        };
        let mut reg = IfqReg {
            rq_entries: entries,
            flags: abi::ZCRX_REG_NODEV,
            area_ptr: sys::address(&mut area_reg),
            region_ptr: sys::address(&mut region_desc),
            ..IfqReg::default()
        };
        self.register(&mut reg)
    }

    /// `IORING_REGISTER_ZCRX_IFQ` with `ZCRX_REG_IMPORT`. Entries are not told to an importer.
    ///
    /// # Errors
    ///
    /// -errno.
    pub fn import(&self, fd: RawFd) -> Result<Registered, i64> {
        let mut reg =
            IfqReg { if_idx: fd as u32, flags: abi::ZCRX_REG_IMPORT, ..IfqReg::default() };
        self.register(&mut reg)
    }

    fn register(&self, reg: &mut IfqReg) -> Result<Registered, i64> {
        match sys::io_uring_register(self.fd(), abi::IORING_REGISTER_ZCRX_IFQ, reg, 1) {
            ret if ret < 0 => Err(ret),
            _ => Ok(Registered { id: reg.zcrx_id, entries: reg.rq_entries, offsets: reg.offsets }),
        }
    }

    /// `ZCRX_CTRL_FLUSH_RQ`: 0 or -errno.
    #[must_use]
    pub fn flush_rq(&self, id: u32) -> i64 {
        let mut ctrl = ZcrxCtrl { zcrx_id: id, op: abi::ZCRX_CTRL_FLUSH_RQ, ..ZcrxCtrl::default() };
        sys::io_uring_register(self.fd(), abi::IORING_REGISTER_ZCRX_CTRL, &mut ctrl, 0)
    }

    /// `ZCRX_CTRL_EXPORT`: the number of the new descriptor, which is the caller's to close.
    ///
    /// # Errors
    ///
    /// -errno.
    pub fn export(&self, id: u32) -> Result<RawFd, i64> {
        let mut ctrl = ZcrxCtrl { zcrx_id: id, op: abi::ZCRX_CTRL_EXPORT, ..ZcrxCtrl::default() };
        match sys::io_uring_register(self.fd(), abi::IORING_REGISTER_ZCRX_CTRL, &mut ctrl, 0) {
            ret if ret < 0 => Err(ret),
            _ => Ok(ctrl.arg[0] as RawFd),
        }
    }

    /// Submits a multishot `IORING_OP_RECV_ZC`: 0 or -errno of the submission.
    pub fn recv_zc(&mut self, ifq: u32, socket: RawFd, len: u32, user_data: u64) -> i64 {
        // The crate adds IORING_RECV_MULTISHOT by itself.
        let entry = opcode::RecvZc::new(Fd(socket), len).ifq(ifq).build().user_data(user_data);
        // SAFETY: the request refers to no memory of ours; the area outlives the ring's run.
        if unsafe { self.uring.submission().push(&entry) }.is_err() {
            return -i64::from(libc::EBUSY);
        }
        match self.uring.submit() {
            Ok(_) => 0,
            Err(error) => -i64::from(error.raw_os_error().unwrap_or(libc::EIO)),
        }
    }

    /// Takes the next completion, waiting at most `timeout` for one. `Ok(None)`: none came.
    ///
    /// # Errors
    ///
    /// -errno of `io_uring_enter(2)`.
    pub fn wait(&mut self, timeout: Duration) -> Result<Option<Cqe>, i64> {
        if let Some(cqe) = self.next_cqe() {
            return Ok(Some(cqe));
        }
        let timespec = Timespec::from(timeout);
        let args = SubmitArgs::new().timespec(&timespec);
        match self.uring.submitter().submit_with_args(1, &args) {
            Ok(_) => {}
            Err(error) => match error.raw_os_error().unwrap_or(libc::EIO) {
                libc::ETIME | libc::EINTR => {}
                errno => return Err(-i64::from(errno)),
            },
        }
        Ok(self.next_cqe())
    }

    fn next_cqe(&mut self) -> Option<Cqe> {
        let entry = self.uring.completion().next()?;
        Some(Cqe {
            user_data: entry.user_data(),
            res: entry.result(),
            more: cqueue::more(entry.flags()),
            off: entry.big_cqe()[0],
        })
    }
}
