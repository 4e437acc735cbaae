//! What an application knows of its requests and events.

use crate::io_uring::uapi::{ZCRX_EVENT_ALLOC_FAIL, ZCRX_EVENT_COPY};
use crate::platform::{AtomicWord, Platform};
use crate::test::arg_modifier::ArgModifier;
use crate::test::index::TestIndex;
use crate::test::{Event, Op, Step};

/// One `recv` step.
#[derive(Debug)]
pub struct Receive<P: Platform> {
    /// The connection.
    pub socket: usize,
    /// The steps that give the ifq an area. The bytes must be in one of these areas.
    pub areas: Vec<usize>,
    /// Whether no other request reads from the connection, so that the position is known.
    pub only_reader: bool,
    /// 1 after the last completion.
    pub done: P::Plain,
}

impl<P: Platform> Receive<P> {
    /// For a `recv` step; `None` for others.
    #[must_use]
    pub fn new(index: &TestIndex, step: &Step) -> Option<Self> {
        let Op::Recv { ifq, socket, .. } = step.op else { return None };
        Some(Receive {
            socket: usize::from(socket),
            areas: index.areas(ifq).to_vec(),
            only_reader: index.readers(usize::from(socket)) == 1,
            done: P::plain("recv.done", 0),
        })
    }
}

/// `event_type` of an event.
#[must_use]
pub fn event_type(event: Event) -> u32 {
    match event {
        Event::AllocFail => ZCRX_EVENT_ALLOC_FAIL,
        Event::Copy => ZCRX_EVENT_COPY,
        Event::Unknown => ZCRX_EVENT_COPY + 1,
    }
}

/// The events of one `register` step that asks for them, by `event_type`.
#[derive(Debug)]
pub struct EventCounts<P: Platform> {
    /// How often the event came.
    came: [P::Atomic; 2],
    /// How often the application armed it again, or is arming it.
    armed: [P::Atomic; 2],
}

impl<P: Platform> EventCounts<P> {
    /// For a `register` step with events; `None` for others.
    #[must_use]
    pub fn new(step: &Step) -> Option<Self> {
        let words = |label| [P::atomic(label, 0), P::atomic(label, 0)];
        let asks =
            matches!(step.op, Op::Register { .. }) && step.op.modifiers().has(ArgModifier::Events);
        asks.then(|| EventCounts { came: words("event.came"), armed: words("event.armed") })
    }

    /// The application is about to arm an event.
    pub fn arm(&self, event_type: u32) {
        if let Some(word) = self.armed.get(event_type as usize) {
            increment::<P>(word);
        }
    }

    /// Counts an event that came. Returns whether it was armed; `None` for an unknown event.
    #[must_use]
    pub fn count(&self, event_type: usize) -> Option<bool> {
        let (came, armed) = (self.came.get(event_type)?, self.armed.get(event_type)?);
        Some(increment::<P>(came) <= armed.load_in_step() + 1)
    }
}

/// Adds one in the running step, and returns the sum.
pub(crate) fn increment<P: Platform>(word: &P::Atomic) -> u64 {
    word.store_in_step(word.load_in_step() + 1);
    word.load_in_step()
}
