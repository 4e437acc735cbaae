//! Tracepoints: the places where the kernel code can be observed from outside.
//!
//! Kernel code calls [`crate::kernel::Kernel::trace`] and knows nothing of who listens.
//! [`crate::check`] does.

use crate::bug::Warning;
use crate::io_uring::ctx::IoRingCtx;
use crate::io_uring::zcrx::Ifq;
use crate::io_uring::zcrx::area::Area;
use crate::io_uring::zcrx::niov::NiovRef;
use crate::platform::Platform;

/// One event of the kernel code, with the objects that a check may observe.
///
/// A tracepoint is part of the running step. It is no scheduling point.
#[derive(Debug)]
pub enum Tracepoint<'a, P: Platform> {
    /// A `WARN_ON_ONCE` of the kernel fires.
    Warning(Warning),
    /// `io_ring_exit_work` has cancelled all requests that it found and is about to wait.
    ExitWait(&'a IoRingCtx<P>),
    /// The wait of `io_ring_exit_work` timed out, and the next turn of its loop begins.
    ExitPoll(&'a IoRingCtx<P>),
    /// The wait of `io_ring_exit_work` timed out again after a turn in which nothing happened.
    ExitStuck(&'a IoRingCtx<P>),
    /// `io_zcrx_free_area` is about to free an area.
    AreaFree(&'a Area<P>),
    /// `io_zcrx_put_niov_uref` has subtracted `refs` from `old` user references.
    NiovUrefPut {
        /// The buffer.
        niov: &'a NiovRef<P>,
        /// User references before.
        old: u64,
        /// User references subtracted.
        refs: u64,
    },
    /// `io_parse_rqe` uses an entry of the refill ring.
    RqeParsed {
        /// Index of the entry.
        index: usize,
        /// The offset that was checked.
        checked: u64,
        /// The offset that is used.
        used: u64,
        /// Whether the used offset names a buffer of the ifq.
        in_bounds: bool,
    },
    /// `io_zcrx_ring_refill` or `zcrx_flush_rq` has consumed entries of the refill ring. Under `rq.lock`.
    RqConsumed(&'a Ifq<P>),
    /// The device writes a packet into a buffer.
    DmaWrite(&'a NiovRef<P>),
    /// `io_zcrx_queue_cqe` has handed a buffer to a ring.
    NiovQueued {
        /// The buffer.
        niov: &'a NiovRef<P>,
        /// The ring.
        ctx: &'a IoRingCtx<P>,
    },
    /// A packet or a copy needs a buffer, and no area of the ifq has a free one. Under `alloc_lock`.
    NoFreeNiov(&'a Ifq<P>),
    /// `io_cqring_wait` timed out: nothing in the system can run any more.
    CqWaitTimeout(&'a IoRingCtx<P>),
    /// User space has supplied a page after everything else stopped; `blocked`: how many other
    /// system calls had not returned by then.
    PageFaultServed {
        /// Number of other system calls.
        blocked: u64,
    },
    /// A page pool was given a buffer although all buffers of the ifq are in it already.
    PoolOverfull(&'a Ifq<P>),
}

/// What listens to tracepoints.
pub trait Tracer<P: Platform>: std::fmt::Debug {
    /// Called at each tracepoint, by the thread that has reached it.
    fn event(&self, event: &Tracepoint<'_, P>);
}

/// A tracer that ignores everything.
#[derive(Clone, Copy, Debug)]
pub struct NoTracer;

impl<P: Platform> Tracer<P> for NoTracer {
    fn event(&self, _: &Tracepoint<'_, P>) {}
}
