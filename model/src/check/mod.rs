//! The invariants that need a check. All others are found by construction: freed memory (I1), counts
//! (I2), locks and deadlocks (I4), data races (I8).
//!
//! A check observes the kernel from outside, at its tracepoints, and user space at completions and at
//! the end. It takes no lock, adds no scheduling point and changes nothing. It knows no defect: what it
//! reports must be wrong whatever the cause.
//!
//! A new invariant is one file in this folder with one implementation of [`Check`], and its line in the
//! table below.

use crate::io_uring::cq::Cqe;
use crate::platform::{AtomicWord, Platform};
use crate::run_state::ModelRun;
use crate::run_state::buffer::FoundBytes;
use crate::test::{Step, VarId};
use crate::trace::{Tracepoint, Tracer};

macro_rules! checks {
    ($($module:ident $check:ident;)*) => {
        $(mod $module;)*

        /// All checks, in the order in which they run. The first violation of a run is reported.
        fn all<P: Platform>() -> &'static [&'static dyn Check<P>] {
            &[$(&$module::$check,)*]
        }
    };
}

checks! {
    kernel_warnings KernelWarnings;
    i02_counts Counts;
    // A lost buffer explains a reference that is left, so I6 comes before I3.
    i06_buffers Buffers;
    i06_starvation Starvation;
    i03_leaks Leaks;
    i04_progress Progress;
    i05_queues Queues;
    i09_results Results;
    i07_data Data;
    i10_requests Requests;
    i11_shared_memory SharedMemory;
    capacity Capacity;
}

/// One invariant, or one part of it. Each function reports a violation through
/// [`Platform::violation`], and does nothing by default.
trait Check<P: Platform> {
    /// The kernel has reached a tracepoint.
    fn event(&self, _deferred: &Deferred<P>, _event: &Tracepoint<'_, P>) {}
    /// User space has taken a completion in a `wait` step.
    fn completion(&self, _run: &ModelRun<P>, _completion: &Completion<'_>) {}
    /// User space is about to return the buffer of a completion for the first time. `now`: connection and
    /// stream position of the bytes in it.
    fn returning(&self, _run: &ModelRun<P>, _cqe: VarId, _now: Option<(u32, u64)>) {}
    /// A system call of the step at this position has returned.
    fn syscall_exit(&self, _run: &ModelRun<P>, _index: usize, _ret: Result<i64, i64>) {}
    /// The test has ended; nothing is closed yet. Nothing else runs.
    fn before_close(&self, _run: &ModelRun<P>) {}
    /// Everything is closed. Nothing else runs.
    fn after_close(&self, _deferred: &Deferred<P>, _run: &ModelRun<P>) {}
}

/// A finding that is reported at the end, unless the run breaks another invariant first.
struct Deferred<P: Platform> {
    /// Buffers of an area that were in no place when the area was freed.
    lost_buffers: P::Atomic,
}

/// Runs the checks. Listens to the kernel's tracepoints.
pub struct Checks<P: Platform> {
    deferred: Deferred<P>,
}

impl<P: Platform> std::fmt::Debug for Checks<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checks").finish_non_exhaustive()
    }
}

impl<P: Platform> Default for Checks<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Platform> Checks<P> {
    /// Nothing found so far.
    #[must_use]
    pub fn new() -> Self {
        Checks { deferred: Deferred { lost_buffers: P::atomic("lost_buffers", 0) } }
    }

    /// The test has ended; nothing is closed yet.
    pub fn before_close(&self, run: &ModelRun<P>) {
        all::<P>().iter().for_each(|check| check.before_close(run));
    }

    /// Everything is closed.
    pub fn after_close(&self, run: &ModelRun<P>) {
        all::<P>().iter().for_each(|check| check.after_close(&self.deferred, run));
    }
}

impl<P: Platform> Tracer<P> for Checks<P> {
    fn event(&self, event: &Tracepoint<'_, P>) {
        all::<P>().iter().for_each(|check| check.event(&self.deferred, event));
    }
}

/// A completion that user space has taken.
#[derive(Debug)]
pub struct Completion<'a> {
    /// The `wait` step.
    pub step: &'a Step,
    /// The completion.
    pub cqe: Cqe,
    /// The bytes that it points to.
    pub found: Option<FoundBytes>,
}

/// User space has taken a completion in a `wait` step.
pub fn completion<P: Platform>(run: &ModelRun<P>, completion: &Completion<'_>) {
    all::<P>().iter().for_each(|check| check.completion(run, completion));
}

/// User space is about to return the buffer of a completion for the first time. `now`: connection and
/// stream position of the bytes in it.
pub fn returning<P: Platform>(run: &ModelRun<P>, cqe: VarId, now: Option<(u32, u64)>) {
    all::<P>().iter().for_each(|check| check.returning(run, cqe, now));
}

/// A system call of the step at this position has returned.
pub fn syscall_exit<P: Platform>(run: &ModelRun<P>, index: usize, ret: Result<i64, i64>) {
    all::<P>().iter().for_each(|check| check.syscall_exit(run, index, ret));
}

impl<P: Platform> Deferred<P> {
    /// Records how many buffers of an area are free, held by user space, and there.
    fn lose_buffers(&self, free: u64, held: u64, all: u64) {
        self.lost_buffers.store_in_step(1 | free << 1 | held << 21 | all << 41);
    }

    /// What [`Deferred::lose_buffers`] has recorded.
    fn lost_buffers(&self) -> Option<(u64, u64, u64)> {
        let word = self.lost_buffers.load_in_step();
        let field = |shift: u32| word >> shift & ((1 << 20) - 1);
        (word != 0).then(|| (field(1), field(21), field(41)))
    }
}
