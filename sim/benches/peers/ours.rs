//! The problem as a program on the deterministic platform: each operation is one step.

use std::rc::Rc;

use ifq_model::invariant::Invariant;
use ifq_model::outcome::Outcome;
use ifq_model::platform::label::BufferIndex;
use ifq_model::platform::{AtomicWord, Kind, Label, Order, Platform, Rmw, WaitWord};
use ifq_sim::executor::Det;
use ifq_sim::search::explore::{Exploration, Limits};
use ifq_sim::search::program;
use ifq_sim::symmetry::BufferSymmetry;

use super::problem::{BUFFERS, Op, PROGRAM, RINGS, frees};

type Word = <Det as Platform>::Atomic;

/// The place of a buffer: a ring's index, or one of these.
const FREE: u64 = RINGS as u64;
const REFILL: u64 = FREE + 1;

/// An ordered list of buffers, numbered from 1. Words behind the end are zero, so that equal lists have
/// equal words.
struct List {
    place: u64,
    len: Word,
    buffers: [Word; BUFFERS],
}

impl List {
    fn new(place: u64) -> Self {
        let buffers = std::array::from_fn(|_| Det::atomic(BUFFER, 0));
        List { place, len: Det::atomic("len", 0), buffers }
    }

    fn push(&self, buffer: u64) {
        let len = self.len.load_in_step();
        self.buffers[len as usize].store_in_step(buffer);
        self.len.store_in_step(len + 1);
    }

    fn pop(&self) -> Option<u64> {
        let last = self.len.load_in_step().checked_sub(1)?;
        let buffer = self.buffers[last as usize].load_in_step();
        self.buffers[last as usize].store_in_step(0);
        self.len.store_in_step(last);
        Some(buffer)
    }
}

/// The ifq.
struct Ifq {
    /// The place of each buffer, checked whenever it moves: what [`super::peer`] checks for all lists.
    places: [Word; BUFFERS],
    free: List,
    refill: List,
    held: [List; RINGS],
}

impl Ifq {
    fn new() -> Self {
        let ifq = Ifq {
            places: std::array::from_fn(|_| Det::atomic(Label::plain("place").per_buffer(), FREE)),
            free: List::new(FREE),
            refill: List::new(REFILL),
            held: std::array::from_fn(|ring| List::new(ring as u64)),
        };
        (1..=BUFFERS as u64).for_each(|buffer| ifq.free.push(buffer));
        ifq
    }

    /// Moves a buffer from one list to another.
    fn move_buffer(&self, buffer: u64, from: &List, to: &List) {
        let place = &self.places[buffer as usize - 1];
        let found = place.load_in_step();
        if found != from.place {
            let message = format_args!("buffer {buffer} is in {found} and in {}", from.place);
            Det::violation(Invariant::I6, message);
        }
        place.store_in_step(to.place);
    }

    /// Moves the last buffer.
    fn move_last(&self, from: &List, to: &List) {
        if let Some(buffer) = from.pop() {
            self.move_buffer(buffer, from, to);
            to.push(buffer);
        }
    }

    /// Moves all buffers, in order.
    fn move_all(&self, from: &List, to: &List) {
        let (len, end) = (from.len.load_in_step() as usize, to.len.load_in_step() as usize);
        for (old, new) in from.buffers[..len].iter().zip(&to.buffers[end..]) {
            let buffer = old.load_in_step();
            self.move_buffer(buffer, from, to);
            new.store_in_step(buffer);
            old.store_in_step(0);
        }
        from.len.store_in_step(0);
        to.len.store_in_step((end + len) as u64);
    }
}

/// State that the rings share.
struct Shared {
    users: Word,
    ifq: <Det as Platform>::Ptr<Ifq>,
    exited: <Det as Platform>::WaitQueue,
    planted: bool,
}

impl Shared {
    /// One operation of a ring, as the step that its first access begins.
    async fn act(&self, ring: usize, op: Op) {
        let ifq = &*self.ifq;
        let held = &ifq.held[ring];
        match op {
            Op::Receive => {
                let refilled = ifq.refill.len.load(Order::Acquire).await;
                if refilled > 0 {
                    ifq.move_all(&ifq.refill, &ifq.free);
                }
                ifq.move_last(&ifq.free, held);
            }
            Op::Return => {
                held.len.load(Order::Acquire).await;
                ifq.move_last(held, &ifq.refill);
            }
            Op::Exit => {
                let users = self.users.rmw(Rmw::Sub(1), Order::Full).await - 1;
                ifq.move_all(held, &ifq.free);
                if frees(ring, users, self.planted) {
                    Det::free(&self.ifq);
                }
            }
        }
    }

    async fn ring(self: Rc<Self>, ring: usize) {
        for op in PROGRAM {
            self.act(ring, *op).await;
            Det::op_boundary();
        }
        self.exited.rmw_in_step(Rmw::Add(1));
    }
}

async fn rings(planted: bool) -> Outcome {
    let shared = Rc::new(Shared {
        users: Det::atomic("users", RINGS as u64),
        ifq: Det::alloc(Kind::Ifq, 0, Ifq::new),
        exited: Det::wait_queue("exited", 0),
        planted,
    });
    for ring in 0..RINGS {
        program::spawn(ring as u32 + 1, "ring", shared.clone().ring(ring));
    }
    shared.exited.wait_event(RINGS as u64).await;
    if Det::live(Kind::Ifq) > 0 {
        Det::violation(Invariant::I3, format_args!("all rings have exited, but the ifq is alive"));
    }
    Outcome(Vec::new())
}

/// The buffers are interchangeable.
const SYMMETRY: BufferSymmetry = BufferSymmetry { count: BUFFERS as u32 };

const BUFFER: Label =
    Label::plain("buffer").names_buffer(BufferIndex { offset: 1, shift: 0, bits: 4 });

/// Explores the problem.
pub(crate) fn explore(planted: bool, limits: &Limits) -> Exploration {
    program::explore_symmetric(move || rings(planted), SYMMETRY, limits)
}
