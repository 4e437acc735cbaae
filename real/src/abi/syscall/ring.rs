//! One ring of the running kernel, as zcrx needs it: `DEFER_TASKRUN`, `SINGLE_ISSUER`, `CQE32`, or
//! without one of them.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use crate::abi::syscall::{self, SharedMem, fail_nth};
use crate::abi::uapi::{self, AreaReg, IfqReg, RegionDesc, SyncCancelReg, ZcrxCtrl};

/// Entries of the submission queue.
const SQ_ENTRIES: u32 = 4;
/// Entries of the completion queue: as many as the model has, so that both overflow alike.
const CQ_ENTRIES: u32 = ifq_model::io_uring::cq::CQ_ENTRIES as u32;

/// How a ring is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// `IORING_SETUP_DEFER_TASKRUN`.
    pub defer_taskrun: bool,
    /// `IORING_SETUP_CQE32`.
    pub cqe32: bool,
    /// `IORING_SETUP_CQE_MIXED`.
    pub cqe_mixed: bool,
    /// `IORING_SETUP_CLAMP`.
    pub clamp: bool,
    /// `IORING_SETUP_R_DISABLED`.
    pub disabled: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Setup { defer_taskrun: true, cqe32: true, cqe_mixed: false, clamp: false, disabled: false }
    }
}

/// A ring. It belongs to the thread that made it, or that enabled it: the kernel answers `-EEXIST` to any
/// other.
/// Dropping it unmaps it and closes its descriptor.
pub struct Ring {
    uring: Uring,
    fd: RingFd,
    /// The thread that made it, unless another one may have enabled it.
    owner: Option<i32>,
}

/// The descriptor of an open ring, for the calls that need nothing but it. Several threads may make them at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingFd(RawFd);

impl RingFd {
    /// The number.
    #[must_use]
    pub fn number(self) -> RawFd {
        self.0
    }

    /// `IORING_REGISTER_ZCRX_IFQ` with `ZCRX_REG_NODEV`: `area` for the data, `region` for a refill
    /// ring of `entries`.
    ///
    /// # Errors
    ///
    /// -errno.
    pub fn register_nodev(
        self,
        area: &SharedMem,
        region: &SharedMem,
        entries: u32,
    ) -> Result<Registered, i64> {
        let nodev = IfqReg { flags: uapi::ZCRX_REG_NODEV, ..IfqReg::default() };
        self.register_memory(area, region, IfqReg { rq_entries: entries, ..nodev })
    }

    /// `IORING_REGISTER_ZCRX_IFQ` of a queue of an interface, as [`RingFd::register_nodev`].
    ///
    /// # Errors
    ///
    /// -errno.
    pub fn register_queue(
        self,
        area: &SharedMem,
        region: &SharedMem,
        entries: u32,
        (if_idx, if_rxq): (u32, u32),
    ) -> Result<Registered, i64> {
        let queue = IfqReg { if_idx, if_rxq, ..IfqReg::default() };
        self.register_memory(area, region, IfqReg { rq_entries: entries, ..queue })
    }

    /// Registers an ifq whose area and refill ring are in memory of user space.
    fn register_memory(
        self,
        area: &SharedMem,
        region: &SharedMem,
        reg: IfqReg,
    ) -> Result<Registered, i64> {
        let mut area_reg =
            AreaReg { addr: area.addr(), len: area.len() as u64, ..AreaReg::default() };
        let mut region_desc = RegionDesc {
            user_addr: region.addr(),
            size: region.len() as u64,
            flags: uapi::IORING_MEM_REGION_TYPE_USER,
            ..RegionDesc::default()
        };
        let (area_ptr, region_ptr) =
            (syscall::address(&mut area_reg), syscall::address(&mut region_desc));
        self.register(Some(&mut IfqReg { area_ptr, region_ptr, ..reg }))
    }

    /// `IORING_REGISTER_ZCRX_IFQ` with `ZCRX_REG_IMPORT`. The kernel does not report the number of entries to an importer.
    ///
    /// # Errors
    ///
    /// -errno.
    pub fn import(self, fd: RawFd) -> Result<Registered, i64> {
        let mut reg =
            IfqReg { if_idx: fd as u32, flags: uapi::ZCRX_REG_IMPORT, ..IfqReg::default() };
        self.register(Some(&mut reg))
    }

    /// `IORING_REGISTER_ZCRX_IFQ` with this argument; `None`: one that cannot be read.
    ///
    /// # Errors
    ///
    /// -errno.
    pub fn register(self, reg: Option<&mut IfqReg>) -> Result<Registered, i64> {
        const OP: u32 = uapi::IORING_REGISTER_ZCRX_IFQ;
        let Some(reg) = reg else {
            let ret = syscall::io_uring_register_nowhere(self.0, OP, 1);
            return Err(if ret < 0 { ret } else { -ifq_model::errno::EBADMSG });
        };
        match syscall::io_uring_register(self.0, OP, reg, 1) {
            ret if ret < 0 => Err(ret),
            _ => Ok(Registered { id: reg.zcrx_id, entries: reg.rq_entries, offsets: reg.offsets }),
        }
    }

    /// `IORING_REGISTER_ZCRX_CTRL` with this argument; `None`: one that cannot be read. 0 or -errno.
    #[must_use]
    pub fn ctrl(self, ctrl: Option<&mut ZcrxCtrl>, nr_args: u32) -> i64 {
        const OP: u32 = uapi::IORING_REGISTER_ZCRX_CTRL;
        match ctrl {
            Some(ctrl) => syscall::io_uring_register(self.0, OP, ctrl, nr_args),
            None => syscall::io_uring_register_nowhere(self.0, OP, nr_args),
        }
    }

    /// `ZCRX_CTRL_EXPORT`: the number of the new descriptor, which is the caller's to close.
    ///
    /// # Errors
    ///
    /// -errno.
    pub fn export(self, id: u32) -> Result<RawFd, i64> {
        let mut ctrl = ZcrxCtrl { zcrx_id: id, op: uapi::ZCRX_CTRL_EXPORT, ..ZcrxCtrl::default() };
        match self.ctrl(Some(&mut ctrl), 0) {
            ret if ret < 0 => Err(ret),
            _ => Ok(ctrl.arg[0] as RawFd),
        }
    }

    /// Maps the refill ring's region of an ifq, `len` bytes.
    ///
    /// # Errors
    ///
    /// Those of `mmap(2)`.
    pub fn map_region(self, id: u32, len: usize) -> io::Result<SharedMem> {
        let offset = u64::from(id) << uapi::IORING_OFF_ZCRX_SHIFT;
        SharedMem::of_ring(self.0, uapi::IORING_MAP_OFF_ZCRX_REGION + offset, len)
    }

    /// `IORING_REGISTER_SYNC_CANCEL`: its result, or -errno.
    #[must_use]
    pub fn cancel(self, cancel: &SyncCancelReg) -> i64 {
        syscall::io_uring_register(
            self.0,
            uapi::IORING_REGISTER_SYNC_CANCEL,
            &mut cancel.clone(),
            1,
        )
    }

    /// `IORING_REGISTER_ENABLE_RINGS`: 0 or -errno.
    #[must_use]
    pub fn enable(self) -> i64 {
        syscall::io_uring_register_nothing(self.0, uapi::IORING_REGISTER_ENABLE_RINGS)
    }
}

/// By the size of its completions.
enum Uring {
    Cqe32(IoUring<squeue::Entry, cqueue::Entry32>),
    Cqe16(IoUring<squeue::Entry, cqueue::Entry>),
}

impl std::ops::Deref for Ring {
    type Target = RingFd;

    fn deref(&self) -> &RingFd {
        &self.fd
    }
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
    pub offsets: uapi::Offsets,
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
    /// `struct io_uring_zcrx_cqe::off`; 0 in a ring without `CQE32`.
    pub off: u64,
}

impl Cqe {
    /// Whether the completion hands a buffer to user space.
    #[must_use]
    pub fn has_buffer(&self) -> bool {
        self.more && self.res > 0
    }
}

/// A multishot `IORING_OP_RECV_ZC`, or one that departs from it.
#[derive(Clone, Copy, Debug)]
pub struct RecvZc {
    /// The ifq's number in the ring.
    pub ifq: u32,
    /// Where from.
    pub socket: RawFd,
    /// Bytes after which the request ends; 0: no limit.
    pub len: u32,
    /// Comes back in each completion.
    pub user_data: u64,
    /// `ioprio` has `IORING_RECV_MULTISHOT`.
    pub multishot: bool,
    /// `ioprio` has `IORING_RECVSEND_POLL_FIRST`.
    pub poll_first: bool,
    /// `msg_flags`.
    pub msg_flags: u32,
    /// `addr`.
    pub addr: u64,
}

impl RecvZc {
    fn entry(&self) -> squeue::Entry {
        // The crate adds IORING_RECV_MULTISHOT by itself.
        let entry = opcode::RecvZc::new(Fd(self.socket), self.len).ifq(self.ifq).build();
        let mut sqe = Sqe(entry.user_data(self.user_data));
        let words = sqe.words();
        if !self.multishot {
            // `ioprio`, the upper half of the first word's lower half.
            words[0] &= !0xffff_0000;
        }
        if self.poll_first {
            words[0] |= u64::from(uapi::IORING_RECVSEND_POLL_FIRST) << 16;
        }
        words[2] = self.addr;
        // `len` below, `msg_flags` above.
        words[3] = u64::from(self.len) | u64::from(self.msg_flags) << 32;
        sqe.0
    }
}

/// `struct io_uring_sqe`, where the crate has no setter for a field.
struct Sqe(squeue::Entry);

impl Sqe {
    fn words(&mut self) -> &mut [u64; 8] {
        const { assert!(size_of::<squeue::Entry>() == 64 && align_of::<squeue::Entry>() == 8) }
        // SAFETY: `repr(C)`, 64 bytes without padding, aligned as words are, integers only.
        unsafe { &mut *std::ptr::from_mut(&mut self.0).cast::<[u64; 8]>() }
    }
}

impl Ring {
    /// Makes a ring that the calling thread owns.
    ///
    /// # Errors
    ///
    /// Those of `io_uring_setup(2)` and `mmap(2)`.
    pub fn new(setup: Setup) -> io::Result<Self> {
        let uring = if setup.cqe32 {
            Uring::Cqe32(build(IoUring::builder(), setup)?)
        } else if setup.cqe_mixed {
            Uring::Cqe16(build_mixed(setup)?)
        } else {
            Uring::Cqe16(build(IoUring::builder(), setup)?)
        };
        let owner = (!setup.disabled).then(syscall::thread_id);
        let fd = RingFd(match &uring {
            Uring::Cqe32(uring) => uring.as_raw_fd(),
            Uring::Cqe16(uring) => uring.as_raw_fd(),
        });
        Ok(Ring { uring, fd, owner })
    }

    /// The descriptor.
    #[must_use]
    pub fn fd(&self) -> RingFd {
        self.fd
    }

    /// Submits a receive: 0 or -errno of the submission.
    ///
    /// What the kernel refuses to submit would stay in the submission queue. So a thread that may not
    /// submit asks with an empty queue first, and gets the same answer.
    pub fn recv_zc(&mut self, recv: &RecvZc) -> i64 {
        let asks = self.owner != Some(syscall::thread_id());
        match &mut self.uring {
            Uring::Cqe32(uring) => submit(uring, &recv.entry(), asks),
            Uring::Cqe16(uring) => submit(uring, &recv.entry(), asks),
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
        let waited = match &self.uring {
            Uring::Cqe32(uring) => enter_and_wait(uring, timeout),
            Uring::Cqe16(uring) => enter_and_wait(uring, timeout),
        };
        if let Err(error) = waited {
            match error.raw_os_error().unwrap_or(libc::EIO) {
                libc::ETIME | libc::EINTR => {}
                errno => return Err(-i64::from(errno)),
            }
        }
        Ok(self.next_cqe())
    }

    fn next_cqe(&mut self) -> Option<Cqe> {
        let (user_data, res, flags, off) = match &mut self.uring {
            Uring::Cqe32(uring) => {
                let entry = uring.completion().next()?;
                (entry.user_data(), entry.result(), entry.flags(), entry.big_cqe()[0])
            }
            Uring::Cqe16(uring) => {
                let mut queue = uring.completion();
                let entry = queue.by_ref().find(|e| e.flags() & uapi::IORING_CQE_F_SKIP == 0)?;
                // The second half of a completion of 32 bytes has the offset in the place of `user_data`.
                let large = entry.flags() & uapi::IORING_CQE_F_32 != 0;
                let off = if large { queue.next()?.user_data() } else { 0 };
                (entry.user_data(), entry.result(), entry.flags(), off)
            }
        };
        Some(Cqe { user_data, res, more: cqueue::more(flags), off })
    }
}

fn build<C: cqueue::EntryMarker>(
    mut builder: io_uring::Builder<squeue::Entry, C>,
    setup: Setup,
) -> io::Result<IoUring<squeue::Entry, C>> {
    builder.setup_single_issuer().setup_submit_all().setup_cqsize(CQ_ENTRIES).dontfork();
    if setup.defer_taskrun {
        builder.setup_defer_taskrun();
    }
    if setup.clamp {
        builder.setup_clamp();
    }
    if setup.disabled {
        builder.setup_r_disabled();
    }
    builder.build(SQ_ENTRIES)
}

/// A ring with `IORING_SETUP_CQE_MIXED`, which the crate does not know. Its completions are read as entries of
/// 16 bytes.
fn build_mixed(setup: Setup) -> io::Result<IoUring<squeue::Entry, cqueue::Entry>> {
    let mut flags = uapi::IORING_SETUP_CQE_MIXED
        | uapi::IORING_SETUP_SINGLE_ISSUER
        | uapi::IORING_SETUP_SUBMIT_ALL
        | uapi::IORING_SETUP_CQSIZE;
    for (wanted, flag) in [
        (setup.defer_taskrun, uapi::IORING_SETUP_DEFER_TASKRUN),
        (setup.clamp, uapi::IORING_SETUP_CLAMP),
        (setup.disabled, uapi::IORING_SETUP_R_DISABLED),
    ] {
        flags |= if wanted { flag } else { 0 };
    }
    // `struct io_uring_params`: `cq_entries` is its second word, `flags` its third.
    let mut params = [0u32; 30];
    (params[1], params[2]) = (CQ_ENTRIES, flags);
    const { assert!(size_of::<io_uring::Parameters>() == 30 * size_of::<u32>()) }
    // SAFETY: the kernel reads and writes `params` only.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, SQ_ENTRIES, params.as_mut_ptr()) };
    let fd = RawFd::try_from(fd).map_err(|_| io::ErrorKind::InvalidData)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `Parameters` is a transparent wrapper of `struct io_uring_params`, integers only, and the kernel
    // has filled it for this descriptor, which has no other owner.
    unsafe {
        let params = std::mem::transmute_copy::<[u32; 30], io_uring::Parameters>(&params);
        IoUring::from_fd(fd, params)
    }
}

/// Only submits: the crate's own `submit` would also run what is due once completions overflow. `asks`:
/// submits an empty queue first.
fn submit<C: cqueue::EntryMarker>(
    uring: &mut IoUring<squeue::Entry, C>,
    entry: &squeue::Entry,
    asks: bool,
) -> i64 {
    if asks {
        let refused = enter(uring);
        if refused < 0 {
            return refused;
        }
    }
    // SAFETY: the request refers to no memory of ours; the area outlives the ring's run.
    if unsafe { uring.submission().push(entry) }.is_err() {
        return -i64::from(libc::EBUSY);
    }
    enter(uring)
}

/// `io_uring_enter(2)` for one entry: 0 or -errno.
fn enter<C: cqueue::EntryMarker>(uring: &IoUring<squeue::Entry, C>) -> i64 {
    fail_nth::call(|| {
        // SAFETY: no argument is passed.
        match unsafe { uring.submitter().enter::<libc::sigset_t>(1, 0, 0, None) } {
            Ok(_) => 0,
            Err(error) => -i64::from(error.raw_os_error().unwrap_or(libc::EIO)),
        }
    })
}

fn enter_and_wait<C: cqueue::EntryMarker>(
    uring: &IoUring<squeue::Entry, C>,
    timeout: Duration,
) -> io::Result<usize> {
    let timespec = Timespec::from(timeout);
    fail_nth::call(|| uring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&timespec)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receive_has_each_field_where_the_kernel_reads_it() {
        let plain = RecvZc {
            ifq: 7,
            socket: 5,
            len: 100,
            user_data: 9,
            multishot: true,
            poll_first: false,
            msg_flags: 0,
            addr: 0,
        };
        let words = |recv: &RecvZc| *Sqe(recv.entry()).words();
        let usual = words(&plain);
        assert_eq!(usual[0] >> 32, 5, "fd");
        assert_eq!(usual[0] >> 16 & 0xffff, 2, "ioprio: IORING_RECV_MULTISHOT");
        assert_eq!(
            (usual[2], usual[3], usual[4]),
            (0, 100, 9),
            "addr, len and msg_flags, user_data"
        );
        assert_eq!(usual[5] >> 32, 7, "zcrx_ifq_idx");
        let odd = words(&RecvZc { multishot: false, msg_flags: 3, addr: 64, ..plain });
        assert_eq!(odd[0], usual[0] & !0xffff_0000);
        assert_eq!((odd[2], odd[3]), (64, 100 | 3 << 32));
        assert_eq!(odd[4..], usual[4..]);
        let first = words(&RecvZc { poll_first: true, ..plain });
        assert_eq!(first[0], usual[0] | 1 << 16);
        assert_eq!(first[1..], usual[1..]);
    }
}
