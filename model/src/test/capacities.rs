//! Derives from a test how much the objects of a run must be able to hold.
//!
//! A step runs at most once, and a descriptor is never used again. So the number of steps that can store
//! something in a list is an upper bound of what the list holds in any run:
//!
//! | list | bound |
//! |---|---|
//! | ids of a ring | its `register`, `import` and `clone` steps: each takes at most one id |
//! | requests of a ring, also those that are armed, and those that are complete and not posted | its `recv` steps |
//! | events of a ring | for each of its `register` steps with events and for each event: one, and one for each `arm` step, because an event that was sent is sent again only after it was armed |
//! | work list of a ring | its requests, each of which is queued once at a time, and its events |
//! | overflow list of a ring | its requests and its events: each posts one completion that may overflow |
//! | requests on the wait queue of a connection | the `recv` steps on the connection |
//! | receive queue of a connection | for each `send` step: one fragment, through a device queue one for each page, buffer or packet |
//! | areas of an ifq | its registration and the `add-area` steps that go back to it |
//! | buffers of an ifq | the sum over these steps |
//! | descriptors | the rings and the `export` steps |

use super::arg::Event;
use super::arg_modifier::ArgModifier;
use super::index::TestIndex;
use super::{Op, Test, Thread};
use crate::capacity::{Capacities, IfqCapacity, RingCapacity, SockCapacity};
use crate::io_uring::uapi::ZCRX_EVENT_TYPE_LAST;

/// Bytes of a buffer.
const PAGE: u32 = 4096;

/// What the objects of a run of a test must be able to hold.
#[must_use]
pub fn capacities(test: &Test, index: &TestIndex) -> Capacities {
    let mut bounds = Capacities {
        open_fds: test.rings.len(),
        rings: vec![RingCapacity::default(); test.rings.len()],
        socks: vec![SockCapacity::default(); test.sockets.len()],
        ..Capacities::default()
    };
    let execs = |thread: &Thread| thread.steps.iter().any(|step| step.op == Op::Exec);
    bounds.tctxs =
        (0..).zip(&test.threads).filter(|(_, thread)| execs(thread)).map(|(i, _)| i).collect();
    for (position, step) in test.steps().enumerate() {
        match step.op {
            Op::Register { ring, buffers, modifiers, .. } => {
                let of_ring = &mut bounds.rings[usize::from(ring)];
                of_ring.ids += 1;
                if modifiers.has(ArgModifier::Events) {
                    of_ring.events += ZCRX_EVENT_TYPE_LAST as usize;
                }
                add_area(&mut bounds, index.ifq_number(position), buffers);
            }
            Op::Import { ring, .. } | Op::Clone { ring, .. } => {
                bounds.rings[usize::from(ring)].ids += 1;
            }
            Op::AddArea { ifq, buffers, .. } => {
                let registration = index.registration(ifq);
                let number = registration.and_then(|step| index.ifq_number(step));
                add_area(&mut bounds, number, buffers);
            }
            Op::Arm { ifq, event, .. } if event != Event::Unknown => {
                let registration = index.registration(ifq).and_then(|step| index.ifq_number(step));
                let ring = registration.map(|number| number as usize % super::limits::RINGS);
                if let Some(of_ring) = ring.and_then(|ring| bounds.rings.get_mut(ring)) {
                    of_ring.events += 1;
                }
            }
            Op::Recv { ring, socket, .. } => {
                bounds.rings[usize::from(ring)].requests += 1;
                bounds.socks[usize::from(socket)].waiters += 1;
            }
            Op::Send { socket, len, layout } => {
                let sock = &mut bounds.socks[usize::from(socket)];
                sock.fragments += layout.parts(len, PAGE).count();
                sock.layouts |= !layout.is_pages();
            }
            Op::CloseSocket { socket } => bounds.socks[usize::from(socket)].closes = true,
            Op::Export { .. } => bounds.exports += 1,
            _ => {}
        }
    }
    bounds
}

fn add_area(bounds: &mut Capacities, ifq_number: Option<u32>, buffers: u32) {
    if let Some(number) = ifq_number {
        let IfqCapacity { areas, buffers: all } = bounds.ifqs.entry(number).or_default();
        *areas += 1;
        *all += buffers as usize;
    }
}
