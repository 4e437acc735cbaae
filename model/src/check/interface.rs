//! What a check can observe, and how it reports.

use crate::io_uring::cq::Cqe;
use crate::platform::{AtomicWord, Platform};
use crate::run_state::ModelRun;
use crate::run_state::buffer::FoundBytes;
use crate::test::{Step, VarId};
use crate::trace::Tracepoint;

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

/// One invariant, or one part of it. Each function reports a violation through
/// [`Platform::violation`], and does nothing by default.
pub(super) trait Check<P: Platform> {
    /// The kernel has reached a tracepoint.
    fn event(&self, _deferred: &Deferred<P>, _event: &Tracepoint<'_, P>) {}
    /// User space has taken a completion in a `wait` step.
    fn completion(&self, _run: &ModelRun<P>, _completion: &Completion<'_>) {}
    /// User space is about to return the buffer of a completion for the first time. `now`: connection and
    /// stream position of the bytes in it.
    fn returning(&self, _run: &ModelRun<P>, _cqe: VarId, _now: Option<(u32, u64)>) {}
    /// User space has returned the buffer of a completion for the first time: the entry is in the refill
    /// ring of `ifq`.
    fn returned(&self, _run: &ModelRun<P>, _cqe: VarId, _ifq: VarId) {}
    /// A system call of the step at this position has returned.
    fn syscall_exit(&self, _run: &ModelRun<P>, _index: usize, _ret: Result<i64, i64>) {}
    /// The test has ended; nothing is closed yet. Nothing else runs.
    fn before_close(&self, _run: &ModelRun<P>) {}
    /// Everything is closed. Nothing else runs.
    fn after_close(&self, _deferred: &Deferred<P>, _run: &ModelRun<P>) {}
}

/// A finding that is reported at the end, unless the run breaks another invariant first.
pub(super) struct Deferred<P: Platform> {
    /// Buffers of an area that were in no place when the area was freed.
    lost_buffers: P::Atomic,
}

impl<P: Platform> Deferred<P> {
    /// Nothing found.
    pub(super) fn new() -> Self {
        Deferred { lost_buffers: P::atomic("lost_buffers", 0) }
    }

    /// Records how many buffers of an area are free, held by user space, and there.
    pub(super) fn lose_buffers(&self, free: u64, held: u64, all: u64) {
        self.lost_buffers.store_in_step(1 | free << 1 | held << 21 | all << 41);
    }

    /// What [`Deferred::lose_buffers`] has recorded.
    pub(super) fn lost_buffers(&self) -> Option<(u64, u64, u64)> {
        let word = self.lost_buffers.load_in_step();
        let field = |shift: u32| word >> shift & ((1 << 20) - 1);
        (word != 0).then(|| (field(1), field(21), field(41)))
    }
}
