//! What was asked of the kernel, and whether a completion answers it: a request completes exactly
//! once, and an event comes once until it is armed again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ifq_model::test::{Event, RingId, SocketId, VarId};

use super::arg::event_type;
use super::memory::IfqMem;
use crate::abi::syscall::ring::Cqe;
use crate::abi::uapi;

/// `user_data` of events has this bit, that of requests has not.
const EVENT: u64 = 1 << 63;
const TYPES: usize = uapi::ZCRX_EVENT_TYPES as usize;

/// Requests and registrations of a run, in order.
#[derive(Debug, Default)]
pub(super) struct PendingRequests(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    requests: Vec<Request>,
    asked: Vec<EventRegistration>,
}

#[derive(Debug)]
struct Request {
    socket: SocketId,
    /// `None`: the ifq was never made.
    mem: Option<Arc<IfqMem>>,
    done: bool,
}

/// A registration, which may have asked for events.
#[derive(Debug)]
struct EventRegistration {
    events: bool,
    bind: Option<VarId>,
    ring: RingId,
    came: [u32; TYPES],
    armed: [u32; TYPES],
}

/// What a completion belongs to.
#[derive(Debug)]
pub(super) enum CompletionKind {
    /// A request: where it receives from and into which memory.
    Request { socket: SocketId, mem: Option<Arc<IfqMem>> },
    /// An event.
    Event,
}

impl PendingRequests {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request is about to be submitted; its `user_data`.
    pub(super) fn request(&self, socket: SocketId, mem: Option<Arc<IfqMem>>) -> u64 {
        let mut state = self.state();
        state.requests.push(Request { socket, mem, done: false });
        state.requests.len() as u64 - 1
    }

    /// A registration is about to be made; the `user_data` of its events.
    pub(super) fn asks(&self, events: bool, bind: Option<VarId>, ring: RingId) -> u64 {
        let mut state = self.state();
        state.asked.push(EventRegistration {
            events,
            bind,
            ring,
            came: [0; TYPES],
            armed: [0; TYPES],
        });
        EVENT | (state.asked.len() as u64 - 1)
    }

    /// An event of the ifq that `origin` registered is about to be armed.
    pub(super) fn arming(&self, origin: Option<VarId>, event: Event) {
        let number = event_type(event) as usize;
        let mut state = self.state();
        let asked = state.asked.iter_mut().find(|asked| asked.bind == origin);
        if let (Some(asked), true) = (asked, number < TYPES) {
            asked.armed[number] += 1;
        }
    }

    /// What a completion of a ring belongs to, or what is wrong with it.
    pub(super) fn completion(&self, ring: RingId, cqe: &Cqe) -> Result<CompletionKind, String> {
        let mut state = self.state();
        let index = usize::try_from(cqe.user_data & !EVENT).unwrap_or(usize::MAX);
        if cqe.user_data & EVENT != 0 {
            let asked = state.asked.get_mut(index).filter(|asked| asked.events);
            let asked = asked.filter(|asked| asked.ring == ring);
            let asked = asked.ok_or("an event that nobody asked for")?;
            let number = usize::try_from(cqe.res).ok().filter(|number| *number < TYPES);
            let number = number
                .filter(|_| !cqe.more)
                .ok_or_else(|| format!("an event with the number {}", cqe.res))?;
            asked.came[number] += 1;
            if asked.came[number] > asked.armed[number] + 1 {
                return Err("an event that was not armed again".into());
            }
            return Ok(CompletionKind::Event);
        }
        let request = state.requests.get_mut(index);
        let request = request.ok_or("a completion that nobody asked for")?;
        if request.done {
            return Err("a completion after the request's last one".into());
        }
        request.done = !cqe.more;
        Ok(CompletionKind::Request { socket: request.socket, mem: request.mem.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cqe(user_data: u64, res: i32, more: bool) -> Cqe {
        Cqe { user_data, res, more, off: 0 }
    }

    #[test]
    fn a_request_completes_once_and_only_if_it_was_made() {
        let pending = PendingRequests::default();
        let first = pending.request(3, None);
        assert!(matches!(
            pending.completion(0, &cqe(first, 5, true)),
            Ok(CompletionKind::Request { socket: 3, .. })
        ));
        assert!(pending.completion(0, &cqe(first, 0, false)).is_ok());
        assert!(pending.completion(0, &cqe(first, 0, false)).unwrap_err().contains("after"));
        assert!(pending.completion(0, &cqe(first + 1, 0, false)).unwrap_err().contains("nobody"));
    }

    #[test]
    fn an_event_comes_once_until_it_is_armed_again_and_to_the_ring_that_asked() {
        let pending = PendingRequests::default();
        let deaf = pending.asks(false, None, 0);
        let data = pending.asks(true, Some(4), 1);
        assert!(pending.completion(0, &cqe(deaf, 0, false)).is_err());
        assert!(pending.completion(0, &cqe(data, 0, false)).is_err(), "another ring");
        assert!(pending.completion(1, &cqe(data, 2, false)).unwrap_err().contains("number 2"));
        assert!(matches!(pending.completion(1, &cqe(data, 1, false)), Ok(CompletionKind::Event)));
        assert!(pending.completion(1, &cqe(data, 0, false)).is_ok(), "the other one");
        pending.arming(Some(4), Event::AllocFail);
        assert!(pending.completion(1, &cqe(data, 0, false)).is_ok());
        assert!(pending.completion(1, &cqe(data, 1, false)).unwrap_err().contains("not armed"));
    }
}
