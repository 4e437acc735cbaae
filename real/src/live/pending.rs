//! Pending requests and event registrations: each completion must belong to one. A request completes
//! exactly once, and an event is reported once until it is armed again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ifq_model::test::{Event, RingId, SocketId, VarId};

use super::arg::event_type;
use super::memory::IfqMem;
use crate::abi::syscall::ring::Cqe;
use crate::abi::uapi;
use crate::job::REPEATED_COMPLETION;

/// This bit is set in `user_data` of events and clear in that of requests.
const EVENT: u64 = 1 << 63;
const TYPES: usize = uapi::ZCRX_EVENT_TYPES as usize;

/// The requests and registrations of a run, in order.
#[derive(Debug, Default)]
pub(super) struct PendingRequests(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    requests: Vec<Request>,
    registrations: Vec<EventRegistration>,
}

#[derive(Debug)]
struct Request {
    socket: SocketId,
    /// `None`: the ifq was never registered.
    mem: Option<Arc<IfqMem>>,
    done: bool,
}

/// A registration, which may have requested events.
#[derive(Debug)]
struct EventRegistration {
    events: bool,
    bind: Option<VarId>,
    ring: RingId,
    reported: [u32; TYPES],
    armed: [u32; TYPES],
}

/// The kind of a completion.
#[derive(Debug)]
pub(super) enum CompletionKind {
    /// Of a request, with the socket and the memory that it receives from and into.
    Request { socket: SocketId, mem: Option<Arc<IfqMem>> },
    /// Of an event.
    Event,
}

impl PendingRequests {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a request before it is submitted. Returns its `user_data`.
    pub(super) fn add_request(&self, socket: SocketId, mem: Option<Arc<IfqMem>>) -> u64 {
        let mut state = self.state();
        state.requests.push(Request { socket, mem, done: false });
        state.requests.len() as u64 - 1
    }

    /// Adds a registration before it is made. Returns the `user_data` of its events.
    pub(super) fn add_registration(&self, events: bool, bind: Option<VarId>, ring: RingId) -> u64 {
        let mut state = self.state();
        state.registrations.push(EventRegistration {
            events,
            bind,
            ring,
            reported: [0; TYPES],
            armed: [0; TYPES],
        });
        EVENT | (state.registrations.len() as u64 - 1)
    }

    /// Notes that an event of the ifq registered by `origin` will be armed.
    pub(super) fn add_armed(&self, origin: Option<VarId>, event: Event) {
        let number = event_type(event) as usize;
        let mut state = self.state();
        let registration =
            state.registrations.iter_mut().find(|registration| registration.bind == origin);
        if let (Some(registration), true) = (registration, number < TYPES) {
            registration.armed[number] += 1;
        }
    }

    /// Finds what a completion of a ring belongs to. The error says what is wrong with it.
    pub(super) fn completion(&self, ring: RingId, cqe: &Cqe) -> Result<CompletionKind, String> {
        let mut state = self.state();
        let index = usize::try_from(cqe.user_data & !EVENT).unwrap_or(usize::MAX);
        if cqe.user_data & EVENT != 0 {
            let registration =
                state.registrations.get_mut(index).filter(|registration| registration.events);
            let registration = registration.filter(|registration| registration.ring == ring);
            let registration = registration.ok_or("an event that was not requested")?;
            let number = usize::try_from(cqe.res).ok().filter(|number| *number < TYPES);
            let number = number
                .filter(|_| !cqe.more)
                .ok_or_else(|| format!("an event with the number {}", cqe.res))?;
            registration.reported[number] += 1;
            if registration.reported[number] > registration.armed[number] + 1 {
                return Err("a second event without arming".into());
            }
            return Ok(CompletionKind::Event);
        }
        let request = state.requests.get_mut(index);
        let request = request.ok_or("a completion without a request")?;
        if request.done {
            return Err(REPEATED_COMPLETION.into());
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
    fn a_completion_needs_a_pending_request() {
        let pending = PendingRequests::default();
        let first = pending.add_request(3, None);
        assert!(matches!(
            pending.completion(0, &cqe(first, 5, true)),
            Ok(CompletionKind::Request { socket: 3, .. })
        ));
        assert!(pending.completion(0, &cqe(first, 0, false)).is_ok());
        assert!(pending.completion(0, &cqe(first, 0, false)).unwrap_err().contains("after"));
        assert!(
            pending
                .completion(0, &cqe(first + 1, 0, false))
                .unwrap_err()
                .contains("without a request")
        );
    }

    #[test]
    fn an_event_is_reported_once_until_it_is_armed_again_and_to_its_ring_only() {
        let pending = PendingRequests::default();
        let without_events = pending.add_registration(false, None, 0);
        let data = pending.add_registration(true, Some(4), 1);
        assert!(pending.completion(0, &cqe(without_events, 0, false)).is_err());
        assert!(pending.completion(0, &cqe(data, 0, false)).is_err(), "another ring");
        assert!(pending.completion(1, &cqe(data, 2, false)).unwrap_err().contains("number 2"));
        assert!(matches!(pending.completion(1, &cqe(data, 1, false)), Ok(CompletionKind::Event)));
        assert!(pending.completion(1, &cqe(data, 0, false)).is_ok(), "the other event");
        pending.add_armed(Some(4), Event::AllocFail);
        assert!(pending.completion(1, &cqe(data, 0, false)).is_ok());
        assert!(
            pending.completion(1, &cqe(data, 1, false)).unwrap_err().contains("without arming")
        );
    }
}
