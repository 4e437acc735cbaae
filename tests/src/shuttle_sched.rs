//! Running and waiting threads of the shuttle platform. shuttle has no timeouts, so this module detects
//! when no thread can run, and then lets a wait time out.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ifq_model::fault::FaultPoint;
use ifq_model::invariant::Invariant;
use shuttle::rand::RngCore;
use shuttle::thread::{self, Thread};

use crate::engine::raise;
use crate::races;

thread_local! {
    static STATE: RefCell<State> = const { RefCell::new(State::new()) };
}

struct State {
    // Threads that have not ended and do not wait for a word. A thread that waits for a lock counts.
    running: usize,
    next_thread: usize,
    next_word: u64,
    waiters: Vec<Rc<Waiter>>,
    bodies: Vec<Option<Box<dyn FnOnce()>>>,
    faults: Vec<FaultPoint>,
    faults_left: u32,
}

struct Waiter {
    word: u64,
    label: &'static str,
    min: u64,
    // Waits time out in the order of these numbers; `None`: the wait has no timeout.
    timeout_order: Option<u32>,
    handle: Thread,
    woken: Cell<Option<Wake>>,
}

/// Why a waiting thread continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The word has reached the value.
    Reached,
    /// No other thread can run.
    Timeout,
}

impl State {
    const fn new() -> Self {
        State {
            running: 1,
            next_thread: 1,
            next_word: 0,
            waiters: Vec::new(),
            bodies: Vec::new(),
            faults: Vec::new(),
            faults_left: 0,
        }
    }
}

shuttle::thread_local! {
    static NUMBER: Cell<usize> = Cell::new(0);
    static SLOT: Cell<u32> = Cell::new(0);
}

/// Starts a new execution in which at most `max_faults` of `faults` fail.
pub(crate) fn reset(faults: &[FaultPoint], max_faults: u32) {
    let fresh = State { faults: faults.to_vec(), faults_left: max_faults, ..State::new() };
    drop(STATE.replace(fresh));
    races::reset();
}

/// The number of the running thread. Threads are numbered in the order of their starts; the main
/// thread is 0.
pub(crate) fn me() -> usize {
    NUMBER.with(Cell::get)
}

/// A number for a new word that threads can wait for.
pub(crate) fn new_word() -> u64 {
    STATE.with_borrow_mut(|s| {
        s.next_word += 1;
        s.next_word
    })
}

/// Starts a thread. Of several waits that may time out, the one of the thread with the lowest slot does.
/// The main thread has slot 0. A thread without a slot uses its number.
pub(crate) fn spawn(slot: Option<u32>, body: Box<dyn FnOnce()>) {
    let (index, number) = STATE.with_borrow_mut(|s| {
        s.bodies.push(Some(body));
        s.running += 1;
        s.next_thread += 1;
        (s.bodies.len() - 1, s.next_thread - 1)
    });
    races::start(me(), number);
    // The thread finds its body by index, because shuttle requires a `Send` closure.
    thread::spawn(move || {
        NUMBER.with(|n| n.set(number));
        SLOT.with(|s| s.set(slot.unwrap_or(number as u32)));
        let body = STATE.with_borrow_mut(|s| s.bodies[index].take());
        body.expect("each thread starts once")();
        STATE.with_borrow_mut(|s| s.running -= 1);
        handle_quiescence();
    });
}

/// Waits until [`wake`] is called for the word with a value of at least `min`. The caller has just
/// read a smaller value, with no scheduling point in between.
pub(crate) fn block(word: u64, label: &'static str, min: u64, times_out: bool) -> Wake {
    let waiter = Rc::new(Waiter {
        word,
        label,
        min,
        timeout_order: times_out.then(|| SLOT.with(Cell::get)),
        handle: thread::current(),
        woken: Cell::new(None),
    });
    STATE.with_borrow_mut(|s| {
        s.waiters.push(Rc::clone(&waiter));
        s.running -= 1;
    });
    handle_quiescence();
    loop {
        if let Some(why) = waiter.woken.get() {
            return why;
        }
        thread::park();
    }
}

/// Wakes the threads that wait for this value of the word, or a smaller one.
pub(crate) fn wake(word: u64, value: u64) {
    let woken: Vec<_> = STATE.with_borrow_mut(|s| {
        let woken: Vec<_> =
            s.waiters.extract_if(.., |w| w.word == word && value >= w.min).collect();
        s.running += woken.len();
        woken
    });
    resume(&woken, Wake::Reached);
}

fn resume(waiters: &[Rc<Waiter>], why: Wake) {
    for waiter in waiters {
        waiter.woken.set(Some(why));
    }
    for waiter in waiters {
        waiter.handle.unpark();
    }
}

// If no thread runs, lets the first wait with a timeout time out. Without such a wait the execution has
// deadlocked.
fn handle_quiescence() {
    let (first, stuck) = STATE.with_borrow_mut(|s| {
        if s.running > 0 {
            return (None, Vec::new());
        }
        let first = (0..s.waiters.len())
            .filter(|i| s.waiters[*i].timeout_order.is_some())
            .min_by_key(|i| s.waiters[*i].timeout_order)
            .map(|i| s.waiters.remove(i));
        s.running += usize::from(first.is_some());
        let stuck = match first {
            Some(_) => Vec::new(),
            None => s.waiters.iter().map(|w| w.label).collect(),
        };
        (first, stuck)
    });
    if let Some(first) = first {
        resume(&[first], Wake::Timeout);
    } else if !stuck.is_empty() {
        raise(Invariant::I4, format_args!("deadlock: threads wait for {stuck:?}"));
    }
}

/// Whether a fault point fails: with probability 1/4 if the test names it and faults are left.
pub(crate) fn fault(point: FaultPoint) -> bool {
    let possible = STATE.with_borrow(|s| s.faults_left > 0 && s.faults.contains(&point));
    if !possible || !shuttle::rand::thread_rng().next_u32().is_multiple_of(4) {
        return false;
    }
    STATE.with_borrow_mut(|s| s.faults_left -= 1);
    true
}
