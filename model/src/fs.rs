//! Files and the file table of the one process (`fs/file.c`, `fs/file_table.c`).

use std::future::Future;
use std::pin::Pin;

use crate::capacity::exceeded;
use crate::errno::{EBADF, EMFILE};
use crate::fault::FaultPoint;
use crate::platform::{AtomicWord, Kind, Label, Order, Platform, Ptr, RawLock, Rmw, WaitWord};
use crate::prim::refcount::Refcount;

/// `f_op->release`: what the last `fput` does to the object in `private_data`.
///
/// A function pointer, as in the kernel: this file does not know what a file stands for.
pub type ReleaseFn = fn(private_data: u64) -> Pin<Box<dyn Future<Output = ()>>>;

/// `struct file`.
pub struct File<P: Platform> {
    f_count: Refcount<P>,
    /// `f_op->release`.
    release: ReleaseFn,
    /// `private_data`: a pointer to the object, as a word.
    private_data: u64,
}

impl<P: Platform> std::fmt::Debug for File<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File").field("private_data", &self.private_data).finish_non_exhaustive()
    }
}

impl<P: Platform> File<P> {
    /// The object in `private_data`, if it is a `T`. The kernel compares `f_op` first.
    #[must_use]
    pub fn private_data<T: 'static>(&self) -> Option<Ptr<P, T>> {
        Ptr::from_word(self.private_data)
    }
}

// An entry of the table: free, reserved, closed, or a pointer from bit 8 on.
const FREE: u64 = 0;
const RESERVED: u64 = 1;
const CLOSED: u64 = 2;
const PTR_SHIFT: u32 = 8;

/// `struct files_struct`.
///
/// # Divergence from Linux
/// - Simplified: the number of a closed descriptor is not used again, so a test that closes twice means the
///   same in every interleaving.
#[derive(Debug)]
pub struct Files<P: Platform> {
    file_lock: P::Lock,
    fds: Vec<P::Atomic>,
    /// Number of descriptors that are open before anything runs.
    taken: usize,
    /// Number of files that have references.
    nr_files: P::WaitQueue,
}

impl<P: Platform> Files<P> {
    /// A table of `size` descriptors, each made in an operation of its own
    /// (symmetry reduction needs that),
    /// of which the first are taken before anything runs.
    #[must_use]
    pub fn new(taken: usize, size: usize) -> Self {
        let fd = |_| {
            P::op_boundary();
            P::atomic(Label::pointer("fd", PTR_SHIFT), FREE)
        };
        Files {
            file_lock: P::lock("file_lock"),
            taken,
            nr_files: P::wait_queue("nr_files", 0),
            fds: (0..size).map(fd).collect(),
        }
    }

    /// `alloc_file`: a file with one reference.
    ///
    /// Linux: `fs/file_table.c`, 6.18 to 7.3.
    #[must_use]
    pub fn alloc<T: 'static>(
        &self,
        number: u32,
        release: ReleaseFn,
        private_data: &Ptr<P, T>,
    ) -> Ptr<P, File<P>> {
        self.nr_files.add_in_step(Rmw::Add(1));
        Ptr::alloc(Kind::File, number, || File {
            f_count: Refcount::new("f_count", 1),
            release,
            private_data: private_data.to_word(),
        })
    }

    /// Opens a descriptor before anything runs.
    pub fn install_first(&self, fd: usize, file: &Ptr<P, File<P>>) {
        self.fds[fd].store_in_step(file.to_word() << PTR_SHIFT);
    }

    /// For checks: the number of files that have references.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.nr_files.rmw_in_step(Rmw::Add(0))
    }

    /// `get_unused_fd_flags`: reserves the lowest free descriptor.
    ///
    /// # Errors
    /// -EMFILE at the fault point.
    ///
    /// # Divergence from Linux
    /// - Left out: `RLIMIT_NOFILE`. A test has fewer descriptors.
    ///
    /// Linux: `fs/file.c`, 6.18 to 7.3.
    pub async fn get_unused_fd(&self) -> Result<usize, i64> {
        if P::fault(FaultPoint::GetUnusedFd) {
            return Err(-EMFILE);
        }
        let _guard = self.file_lock.lock().await;
        for (fd, slot) in self.fds.iter().enumerate().skip(self.taken) {
            if slot.load_in_step() == FREE {
                slot.store_in_step(RESERVED);
                return Ok(fd);
            }
        }
        exceeded("a descriptor")
    }

    /// `put_unused_fd`.
    ///
    /// Linux: `fs/file.c`, 6.18 to 7.3.
    pub async fn put_unused_fd(&self, fd: usize) {
        let _guard = self.file_lock.lock().await;
        self.fds[fd].store_in_step(FREE);
    }

    /// `fd_install`: from here on other threads can use the number.
    ///
    /// Linux: `fs/file.c`, 6.18 to 7.3.
    pub async fn fd_install(&self, fd: usize, file: &Ptr<P, File<P>>) {
        self.fds[fd].store(file.to_word() << PTR_SHIFT, Order::Release).await;
    }

    /// `fget`.
    ///
    /// # Divergence from Linux
    /// - Simplified: the table entry is not read a second time, because the memory of files is never reused
    ///   here. It stays until the run ends, as it does in Linux for RCU readers.
    ///
    /// Linux: `fs/file.c`, 6.18 to 7.3.
    pub async fn fget(&self, fd: i64) -> Option<Ptr<P, File<P>>> {
        let slot = self.fds.get(usize::try_from(fd).ok()?)?;
        let file: Ptr<P, File<P>> = Ptr::from_word(slot.load(Order::Acquire).await >> PTR_SHIFT)?;
        file.f_count.inc_not_zero().await.then_some(file)
    }

    /// `close(2)`.
    ///
    /// # Errors
    /// -EBADF if the descriptor is not open.
    ///
    /// Linux: `fs/open.c`, 6.18 to 7.3.
    pub async fn close(&self, fd: i64) -> Result<(), i64> {
        let _func = P::func("close");
        let slot = usize::try_from(fd).ok().and_then(|fd| self.fds.get(fd)).ok_or(-EBADF)?;
        let file = {
            let _guard = self.file_lock.lock().await;
            let file: Option<Ptr<P, File<P>>> = Ptr::from_word(slot.load_in_step() >> PTR_SHIFT);
            if file.is_some() {
                slot.store_in_step(CLOSED);
            }
            file.ok_or(-EBADF)?
        };
        self.fput(&file).await;
        Ok(())
    }

    /// `exit_files` of the last task that uses the table: closes all descriptors.
    ///
    /// # Divergence from Linux
    /// - Simplified: `close_files` goes from the lowest descriptor on, and the releases are task work that
    ///   runs in the opposite order, after all descriptors are closed. Here a file is released when its
    ///   descriptor is closed, from the highest on.
    ///
    /// Linux: `fs/file.c`, 6.18 to 7.3.
    pub async fn exit_files(&self) {
        let _func = P::func("exit_files");
        for fd in self.open().into_iter().rev() {
            // It was open, and no other task is left.
            let _ = self.close(fd as i64).await;
        }
    }

    /// For checks: the number of descriptors that are reserved and lead to no file.
    #[must_use]
    pub fn observe_reserved(&self) -> usize {
        self.fds.iter().filter(|fd| fd.load_in_step() == RESERVED).count()
    }

    /// For checks: the open descriptors.
    #[must_use]
    pub fn open(&self) -> Vec<usize> {
        (0..self.fds.len()).filter(|fd| self.fds[*fd].load_in_step() > CLOSED).collect()
    }
}

impl<P: Platform> Files<P> {
    /// `fput`. The last reference calls the file's release function.
    ///
    /// # Divergence from Linux
    /// - Simplified: Linux runs the release as task work before the system call returns. No step of
    ///   user space lies between.
    ///
    /// Linux: `fs/file_table.c`, 6.18 to 7.3.
    pub async fn fput(&self, file: &Ptr<P, File<P>>) {
        if !file.f_count.dec_and_test().await {
            return;
        }
        (file.release)(file.private_data).await;
        self.nr_files.add_in_step(Rmw::Sub(1));
    }
}
