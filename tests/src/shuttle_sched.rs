//! Who runs, who waits and for what: shuttle knows no timeouts, so quiescence is found here.

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
    // Threads that have neither ended nor wait for a word; one that waits for a lock counts.
    running: usize,
    next_thread: usize,
    next_word: u64,
    waiters: Vec<Rc<Waiter>>,
    jobs: Vec<Option<Box<dyn FnOnce()>>>,
    faults: Vec<FaultPoint>,
    faults_left: u32,
}

struct Waiter {
    word: u64,
    label: &'static str,
    min: u64,
    // The order of threads in which `wait_event_timeout` gives up; `None`: it never does.
    gives_up: Option<u32>,
    handle: Thread,
    woken: Cell<Option<Wake>>,
}

/// Why a waiting thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The word has reached the value.
    Reached,
    /// Nothing else can run.
    Quiet,
}

impl State {
    const fn new() -> Self {
        State {
            running: 1,
            next_thread: 1,
            next_word: 0,
            waiters: Vec::new(),
            jobs: Vec::new(),
            faults: Vec::new(),
            faults_left: 0,
        }
    }
}

shuttle::thread_local! {
    static NUMBER: Cell<usize> = Cell::new(0);
    static SLOT: Cell<u32> = Cell::new(0);
}

/// A new execution begins; at most `max_faults` of `faults` fail in it.
pub(crate) fn reset(faults: &[FaultPoint], max_faults: u32) {
    let fresh = State { faults: faults.to_vec(), faults_left: max_faults, ..State::new() };
    drop(STATE.replace(fresh));
    races::reset();
}

/// Number of the thread that runs, in the order of their starts; the main thread is 0.
pub(crate) fn me() -> usize {
    NUMBER.with(Cell::get)
}

/// A number for a word that threads may wait for.
pub(crate) fn new_word() -> u64 {
    STATE.with_borrow_mut(|s| {
        s.next_word += 1;
        s.next_word
    })
}

/// Starts a thread. Of several threads that may give up waiting, the one with the lowest slot does;
/// without a slot the threads stand in the order of their starts. The main thread has slot 0.
pub(crate) fn spawn(slot: Option<u32>, job: Box<dyn FnOnce()>) {
    let (index, number) = STATE.with_borrow_mut(|s| {
        s.jobs.push(Some(job));
        s.running += 1;
        s.next_thread += 1;
        (s.jobs.len() - 1, s.next_thread - 1)
    });
    races::start(me(), number);
    // By index: shuttle wants a `Send` closure, and the job is not.
    thread::spawn(move || {
        NUMBER.with(|n| n.set(number));
        SLOT.with(|s| s.set(slot.unwrap_or(number as u32)));
        let job = STATE.with_borrow_mut(|s| s.jobs[index].take());
        job.expect("each job is started once")();
        STATE.with_borrow_mut(|s| s.running -= 1);
        wait_quiescent();
    });
}

/// Waits until [`wake`] is called for the word with a value of at least `min`. The caller has just
/// seen a smaller one, with no scheduling point since.
pub(crate) fn block(word: u64, label: &'static str, min: u64, may_give_up: bool) -> Wake {
    let waiter = Rc::new(Waiter {
        word,
        label,
        min,
        gives_up: may_give_up.then(|| SLOT.with(Cell::get)),
        handle: thread::current(),
        woken: Cell::new(None),
    });
    STATE.with_borrow_mut(|s| {
        s.waiters.push(Rc::clone(&waiter));
        s.running -= 1;
    });
    wait_quiescent();
    loop {
        if let Some(why) = waiter.woken.get() {
            return why;
        }
        thread::park();
    }
}

/// Wakes the threads that wait for this value of the word.
pub(crate) fn wake(word: u64, value: u64) {
    let woken: Vec<_> = STATE.with_borrow_mut(|s| {
        let woken: Vec<_> =
            s.waiters.extract_if(.., |w| w.word == word && value >= w.min).collect();
        s.running += woken.len();
        woken
    });
    go_on(&woken, Wake::Reached);
}

fn go_on(waiters: &[Rc<Waiter>], why: Wake) {
    for waiter in waiters {
        waiter.woken.set(Some(why));
    }
    for waiter in waiters {
        waiter.handle.unpark();
    }
}

// Nothing runs: the first thread that may gives up; without one this is a deadlock.
fn wait_quiescent() {
    let (first, stuck) = STATE.with_borrow_mut(|s| {
        if s.running > 0 {
            return (None, Vec::new());
        }
        let first = (0..s.waiters.len())
            .filter(|i| s.waiters[*i].gives_up.is_some())
            .min_by_key(|i| s.waiters[*i].gives_up)
            .map(|i| s.waiters.remove(i));
        s.running += usize::from(first.is_some());
        let stuck = match first {
            Some(_) => Vec::new(),
            None => s.waiters.iter().map(|w| w.label).collect(),
        };
        (first, stuck)
    });
    if let Some(first) = first {
        go_on(&[first], Wake::Quiet);
    } else if !stuck.is_empty() {
        raise(Invariant::I4, format_args!("deadlock: threads wait for {stuck:?}"));
    }
}

/// Whether a fault point fails: one time in four where the test names it and one is left.
pub(crate) fn fault(point: FaultPoint) -> bool {
    let possible = STATE.with_borrow(|s| s.faults_left > 0 && s.faults.contains(&point));
    if !possible || !shuttle::rand::thread_rng().next_u32().is_multiple_of(4) {
        return false;
    }
    STATE.with_borrow_mut(|s| s.faults_left -= 1);
    true
}
