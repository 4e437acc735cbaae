//! Sharing an ifq between rings: export, import, and the proposal's clone.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};

use ifq_model::errno;
use ifq_model::test::RingId;
use ifq_model::test::arg_modifier::{ArgModifier, ArgModifiers};
use ifq_model::test::literal::Literal;

use super::arg::{self, Pointed};
use super::memory::IfqMem;
use super::operand::{CLOSED_FD, NEVER_OPEN, id_of, mem_of};
use super::run::{LiveRun, ThreadStep};
use super::values::{Exported, Ifq, Resource, StepResult};
use crate::abi::syscall;
use crate::abi::syscall::ring::Registered;
use crate::abi::uapi;

impl LiveRun<'_> {
    pub(super) fn export(
        &self,
        at: ThreadStep<'_>,
        ring: RingId,
        bound: &StepResult,
        modifiers: ArgModifiers,
    ) -> Option<StepResult> {
        let Some(ring) = self.ring(ring) else {
            return Some(StepResult::status(-i64::from(libc::EBADF)));
        };
        let mut ctrl = arg::ctrl(id_of(bound), uapi::ZCRX_CTRL_EXPORT, &[], modifiers);
        let nr_args = u32::from(modifiers.has(ArgModifier::NrArgs));
        let ret = if modifiers.has(ArgModifier::ArgFault) {
            ring.fd.ctrl(None, nr_args)
        } else {
            self.with_argument(at, &mut ctrl, |ctrl| ring.fd.ctrl(Some(ctrl), nr_args))?
        };
        let fd = ctrl.arg[0] as RawFd;
        if ret < 0 {
            // Without a schedule the model says only whether this may happen.
            if self.forced && fd != 0 {
                self.problem(format!("a failed export has written the descriptor {fd}"));
            }
            return Some(StepResult::status(ret));
        }
        Some(match (syscall::adopt_fd(fd), &bound.resource) {
            (Ok(owned), Resource::Ifq(ifq)) => {
                let fd_of = Exported { fd: Mutex::new(Some(Arc::new(owned))), ifq: ifq.clone() };
                StepResult { raw: i64::from(fd), resource: Resource::Fd(Arc::new(fd_of)) }
            }
            // The kernel exported an ifq that was never registered.
            _ => StepResult::status(-errno::EBADMSG),
        })
    }

    pub(super) fn import(
        &self,
        at: ThreadStep<'_>,
        ring: RingId,
        bound: &StepResult,
        modifiers: ArgModifiers,
    ) -> Option<StepResult> {
        let Some(shared) = self.ring(ring) else {
            return Some(StepResult::status(-i64::from(libc::EBADF)));
        };
        let (fd, ifq): (Option<Arc<OwnedFd>>, Option<&Ifq>) = match &bound.resource {
            Resource::Fd(exported) => (
                exported.fd.lock().unwrap_or_else(PoisonError::into_inner).clone(),
                Some(&exported.ifq),
            ),
            _ => (None, None),
        };
        let open = fd.as_ref().map(AsRawFd::as_raw_fd);
        // A clone keeps the number from being used again, and delays the close of another thread. A schedule says
        // when that happens.
        let _fd = fd.filter(|_| !self.forced);
        // Keeps the descriptor of a ring open.
        let other = match bound.resource {
            Resource::Literal(Literal::Ring(ring)) => self.ring(ring),
            _ => None,
        };
        let number = match (open, &other, &bound.resource) {
            (Some(open), ..) => open,
            (None, Some(ring), _) => ring.fd.number(),
            (None, None, Resource::Literal(Literal::Number(number))) => {
                number.cast_signed() | NEVER_OPEN
            }
            _ => CLOSED_FD,
        };
        let mut pointed = Pointed::default();
        let mut reg = arg::import(number, modifiers, &mut pointed);
        let imported = if modifiers.has(ArgModifier::ArgFault) {
            shared.fd.register(None)
        } else {
            self.with_argument(at, &mut reg, |reg| shared.fd.register(Some(reg)))?
        };
        Some(shared_ifq(ring, imported, ifq.map(|ifq| &ifq.mem)))
    }

    /// `from`: the ring whose id `bound` is.
    pub(super) fn clone_ifq(
        &self,
        at: ThreadStep<'_>,
        (ring, from): (RingId, RingId),
        bound: &StepResult,
        modifiers: ArgModifiers,
    ) -> Option<StepResult> {
        let Some(shared) = self.ring(ring) else {
            return Some(StepResult::status(-i64::from(libc::EBADF)));
        };
        let source = self.ring(from);
        let number = source.as_ref().map_or(CLOSED_FD, |source| source.fd.number());
        // As with a descriptor, see `import`.
        let _source = source.filter(|_| !self.forced);
        let mut pointed = Pointed::default();
        let mut reg = arg::clone_of(number, id_of(bound), modifiers, &mut pointed);
        let cloned = if modifiers.has(ArgModifier::ArgFault) {
            shared.fd.register(None)
        } else {
            self.with_argument(at, &mut reg, |reg| shared.fd.register(Some(reg)))?
        };
        Some(shared_ifq(ring, cloned, mem_of(bound).as_ref()))
    }
}

/// The result of a call that gave a ring an id for an ifq of another ring. `mem`: the memory of that ifq.
fn shared_ifq(
    ring: RingId,
    result: Result<Registered, i64>,
    mem: Option<&Arc<IfqMem>>,
) -> StepResult {
    match (result, mem) {
        (Ok(reg), Some(mem)) => {
            mem.add_ring(ring, reg.id);
            let ifq = Ifq { id: reg.id, mem: Arc::clone(mem) };
            StepResult { raw: i64::from(reg.id), resource: Resource::Ifq(ifq) }
        }
        // The kernel shared an ifq that was never registered.
        (Ok(_), None) => StepResult::status(-errno::EBADMSG),
        (Err(errno), _) => StepResult::status(errno),
    }
}
