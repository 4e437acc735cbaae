//! The invariants that need a check. All others are found by construction: freed memory (I1), counts
//! (I2), locks and deadlocks (I4), data races (I8).
//!
//! A check observes the kernel from outside, at its tracepoints, and user space at completions and at
//! the end. It takes no lock, adds no scheduling point and changes nothing. It knows no defect: what it
//! reports must be wrong whatever the cause.
//!
//! A new invariant is one file in this folder with one implementation of `Check`, and its line in the
//! table below.

mod interface;

pub use self::interface::Completion;
use self::interface::{Check, Deferred};
use crate::platform::Platform;
use crate::run_state::ModelRun;
use crate::test::VarId;
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
    i01_mapping Mapping;
    i02_counts Counts;
    // A lost buffer explains a reference that is left, so I6 comes before I3.
    i06_buffers Buffers;
    i06_starvation Starvation;
    i06_returns Returns;
    i03_leaks Leaks;
    i04_progress Progress;
    i05_queues Queues;
    i09_results Results;
    i07_data Data;
    i10_requests Requests;
    i11_shared_memory SharedMemory;
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
        Checks { deferred: Deferred::new() }
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

/// User space has taken a completion in a `wait` step.
pub fn completion<P: Platform>(run: &ModelRun<P>, completion: &Completion<'_>) {
    all::<P>().iter().for_each(|check| check.completion(run, completion));
}

/// User space is about to return the buffer of a completion for the first time. `now`: connection and
/// stream position of the bytes in it.
pub fn returning<P: Platform>(run: &ModelRun<P>, cqe: VarId, now: Option<(u32, u64)>) {
    all::<P>().iter().for_each(|check| check.returning(run, cqe, now));
}

/// User space has returned the buffer of a completion for the first time: the entry is in the refill ring of
/// `ifq`.
pub fn returned<P: Platform>(run: &ModelRun<P>, cqe: VarId, ifq: VarId) {
    all::<P>().iter().for_each(|check| check.returned(run, cqe, ifq));
}

/// A system call of the step at this position has returned.
pub fn syscall_exit<P: Platform>(run: &ModelRun<P>, index: usize, ret: Result<i64, i64>) {
    all::<P>().iter().for_each(|check| check.syscall_exit(run, index, ret));
}
