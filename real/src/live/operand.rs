//! What stands for an ifq, a descriptor or a completion in an operation: the result of a step, or a number.

use std::os::fd::RawFd;
use std::sync::{Arc, PoisonError};

use ifq_model::test::VarId;
use ifq_model::test::literal::Literal;

use super::memory::IfqMem;
use super::run::LiveRun;
use super::values::{Resource, StepResult};

/// A number that no open descriptor has.
pub(super) const CLOSED_FD: RawFd = -1;
/// No process has as many descriptors.
pub(super) const NEVER_OPEN: RawFd = 1 << 30;
/// An id that no ifq has; it fits into the offset of a mapping.
const NO_ID: u32 = 0xffff;

impl LiveRun<'_> {
    /// The value of a variable, or of what stands in its place.
    pub(super) fn operand(&self, thread: usize, var: VarId) -> Option<StepResult> {
        let Some(literal) = Literal::of(var) else { return self.value(thread, var) };
        Some(StepResult { raw: literal.value(), resource: Resource::Literal(literal) })
    }
}

/// The id of an ifq; [`NO_ID`] if it was never registered.
pub(super) fn id_of(bound: &StepResult) -> u32 {
    match &bound.resource {
        Resource::Ifq(ifq) => ifq.id,
        Resource::Literal(Literal::Number(id)) => *id,
        _ => NO_ID,
    }
}

pub(super) fn mem_of(bound: &StepResult) -> Option<Arc<IfqMem>> {
    match &bound.resource {
        Resource::Ifq(ifq) => Some(Arc::clone(&ifq.mem)),
        _ => None,
    }
}

pub(super) fn close(bound: &StepResult) -> i64 {
    let Resource::Fd(exported) = &bound.resource else { return -i64::from(libc::EBADF) };
    let open = exported.fd.lock().unwrap_or_else(PoisonError::into_inner).take();
    // Dropping it closes the descriptor. Other threads look at the number meanwhile.
    open.map_or(-i64::from(libc::EBADF), |_open| 0)
}
