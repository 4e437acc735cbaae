//! [`Shuttle`]: the model on shuttle's threads, under random and PCT schedules.
//!
//! shuttle is sequentially consistent: every atomic access orders everything, so a missing barrier
//! is never seen here. Plain memory and the life of objects are checked for happens-before all the
//! same: two accesses must be ordered by a lock, a gate, a thread's start, or an atomic word of
//! whatever ordering.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use ifq_model::fault::FaultPoint;
use ifq_model::invariant::Invariant;
use ifq_model::platform::{
    AtomicWord, Kind, Label, NewThread, Order, PlainWord, Platform, RawLock, Rmw, WaitWord,
};
use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::sync::{Mutex, MutexGuard};

use crate::block_on::block_on;
use crate::engine::{Engine, raise};
use crate::objects::{self, Handle, Life, Objects, Owner, Store};
use crate::races::{Accesses, Channel};
use crate::shuttle_sched::{self as sched, Wake, me};

thread_local! {
    static STORE: RefCell<Store<ShuttleLife>> = const { RefCell::new(Store::new()) };
    static WORKERS: RefCell<Vec<ShuttleJoin>> = const { RefCell::new(Vec::new()) };
}

const OBJECTS: Objects<ShuttleLife> = &STORE;
/// The only ordering that shuttle models.
const SC: Ordering = Ordering::SeqCst;

/// The machine that shuttle simulates.
#[derive(Debug)]
pub struct Shuttle;

/// The witness of an object's life.
#[derive(Debug)]
pub struct ShuttleLife(Accesses);

impl Life for ShuttleLife {
    fn begin() -> Self {
        ShuttleLife(Accesses::default())
    }
    fn touch(&self) -> Result<(), ()> {
        self.0.check(me(), false)
    }
    fn end(&self) -> Result<(), ()> {
        self.0.check(me(), true)
    }
}

/// A word of shuttle's that passes on happens-before.
#[derive(Debug)]
struct Word {
    value: AtomicU64,
    channel: Channel,
}

impl Word {
    fn new(init: u64) -> Self {
        Word { value: AtomicU64::new(init), channel: Channel::default() }
    }

    fn load(&self) -> u64 {
        let value = self.value.load(SC);
        self.channel.acquire(me());
        value
    }

    fn store(&self, value: u64) {
        self.value.store(value, SC);
        self.channel.release(me());
    }

    fn rmw(&self, op: Rmw) -> u64 {
        let found = match op {
            Rmw::Add(n) => self.value.fetch_add(n, SC),
            Rmw::Sub(n) => self.value.fetch_sub(n, SC),
            Rmw::Xchg(n) => self.value.swap(n, SC),
            Rmw::Or(n) => self.value.fetch_or(n, SC),
            Rmw::And(n) => self.value.fetch_and(n, SC),
            Rmw::CmpXchg { old, new } => {
                self.value.compare_exchange(old, new, SC, SC).unwrap_or_else(|found| found)
            }
            Rmw::AddUnless { .. } => {
                let add = |value| op.apply(value);
                self.value.fetch_update(SC, SC, add).unwrap_or_else(|found| found)
            }
        };
        self.channel.acquire(me());
        self.channel.release(me());
        found
    }
}

/// Atomic memory.
#[derive(Debug)]
pub struct ShuttleAtomic {
    owner: Owner<ShuttleLife>,
    word: Word,
}

impl AtomicWord for ShuttleAtomic {
    async fn load(&self, _order: Order) -> u64 {
        self.owner.touch();
        self.word.load()
    }

    async fn store(&self, value: u64, _order: Order) {
        self.owner.touch();
        self.word.store(value);
    }

    async fn rmw(&self, op: Rmw, _order: Order) -> u64 {
        self.owner.touch();
        self.word.rmw(op)
    }

    /// Divergence: shuttle has no access without a scheduling point, so this is one.
    fn load_in_step(&self) -> u64 {
        self.owner.touch();
        self.word.load()
    }

    /// Divergence: see [`AtomicWord::load_in_step`] of this type.
    fn store_in_step(&self, value: u64) {
        self.owner.touch();
        self.word.store(value);
    }
}

/// Ordinary memory.
#[derive(Debug)]
pub struct ShuttlePlain {
    owner: Owner<ShuttleLife>,
    value: Cell<u64>,
    accesses: Accesses,
}

impl ShuttlePlain {
    fn check(&self, what: &str, writes: bool) {
        self.owner.touch();
        if self.accesses.check(me(), writes).is_err() {
            raise(Invariant::I8, format_args!("{what} of {} races", self.owner.label()));
        }
    }
}

impl PlainWord for ShuttlePlain {
    fn get(&self) -> u64 {
        self.check("read", false);
        self.value.get()
    }

    fn set(&self, value: u64) {
        self.check("write", true);
        self.value.set(value);
    }

    fn observe(&self) -> u64 {
        self.value.get()
    }
}

/// A lock.
#[derive(Debug)]
pub struct ShuttleLock {
    owner: Owner<ShuttleLife>,
    mutex: Mutex<()>,
    holder: Cell<Option<usize>>,
    channel: Channel,
}

/// Holds a [`ShuttleLock`].
#[derive(Debug)]
pub struct ShuttleGuard<'a> {
    lock: &'a ShuttleLock,
    _inner: MutexGuard<'a, ()>,
}

impl Drop for ShuttleGuard<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.lock.owner.touch();
            self.lock.channel.release(me());
        }
        self.lock.holder.set(None);
    }
}

impl RawLock for ShuttleLock {
    type Guard<'a> = ShuttleGuard<'a>;

    async fn lock(&self) -> ShuttleGuard<'_> {
        self.owner.touch();
        let me = me();
        if self.holder.get() == Some(me) {
            raise(Invariant::I4, format_args!("{} taken twice", self.owner.label()));
        }
        let inner = self.mutex.lock().expect("no thread goes on after a panic");
        self.holder.set(Some(me));
        self.channel.acquire(me);
        ShuttleGuard { lock: self, _inner: inner }
    }

    fn assert_held(&self) {
        self.owner.touch();
        if self.holder.get().is_none() {
            raise(Invariant::I4, format_args!("{} is not held", self.owner.label()));
        }
    }
}

/// A word to wait for.
#[derive(Debug)]
pub struct ShuttleGate {
    owner: Owner<ShuttleLife>,
    word: Word,
    number: u64,
}

impl ShuttleGate {
    fn new(label: &'static str, init: u64) -> Self {
        ShuttleGate {
            owner: Owner::of_new_word(OBJECTS, label),
            word: Word::new(init),
            number: sched::new_word(),
        }
    }

    fn change(&self, op: Rmw) -> u64 {
        self.owner.touch();
        let old = self.word.rmw(op);
        if let Some(new) = op.apply(old) {
            sched::wake(self.number, new);
        }
        old
    }

    fn wait(&self, min: u64, may_give_up: bool) -> Option<u64> {
        loop {
            // Woken, the thread still holds the wait queue's memory.
            self.owner.touch();
            let value = self.word.load();
            if value >= min {
                return Some(value);
            }
            if sched::block(self.number, self.owner.label(), min, may_give_up) == Wake::Quiet {
                return None;
            }
        }
    }
}

impl WaitWord for ShuttleGate {
    async fn load(&self) -> u64 {
        self.owner.touch();
        self.word.load()
    }

    async fn rmw(&self, op: Rmw) -> u64 {
        self.change(op)
    }

    fn rmw_in_step(&self, op: Rmw) -> u64 {
        self.change(op)
    }

    async fn wait_event(&self, min: u64) -> u64 {
        self.wait(min, false).expect("this wait does not give up")
    }

    async fn wait_event_timeout(&self, min: u64) -> Option<u64> {
        self.wait(min, true)
    }
}

impl Platform for Shuttle {
    type Atomic = ShuttleAtomic;
    type Plain = ShuttlePlain;
    type Lock = ShuttleLock;
    type WaitQueue = ShuttleGate;
    type Ptr<T: 'static> = Handle<T, ShuttleLife>;
    type Func = ();

    fn atomic(label: impl Into<Label>, init: u64) -> ShuttleAtomic {
        ShuttleAtomic {
            owner: Owner::of_new_word(OBJECTS, label.into().name),
            word: Word::new(init),
        }
    }

    fn plain(label: impl Into<Label>, init: u64) -> ShuttlePlain {
        ShuttlePlain {
            owner: Owner::of_new_word(OBJECTS, label.into().name),
            value: Cell::new(init),
            accesses: Accesses::default(),
        }
    }

    fn lock(label: &'static str) -> ShuttleLock {
        ShuttleLock {
            owner: Owner::of_new_word(OBJECTS, label),
            mutex: Mutex::new(()),
            holder: Cell::new(None),
            channel: Channel::default(),
        }
    }

    fn wait_queue(label: &'static str, init: u64) -> ShuttleGate {
        ShuttleGate::new(label, init)
    }

    fn alloc<T: 'static>(kind: Kind, number: u32, make: impl FnOnce() -> T) -> Self::Ptr<T> {
        objects::alloc(OBJECTS, kind, number, make)
    }

    fn free<T: 'static>(ptr: &Self::Ptr<T>) {
        objects::free(ptr);
    }

    fn from_word<T: 'static>(word: u64) -> Option<Self::Ptr<T>> {
        objects::from_word(OBJECTS, word)
    }

    fn start_thread(thread: NewThread) {
        let worker = spawn(Some(thread.slot), move || block_on(thread.body));
        WORKERS.with_borrow_mut(|workers| workers.push(worker));
    }

    /// Draws with shuttle's generator, so a replayed schedule repeats it.
    fn fault(point: FaultPoint) -> bool {
        sched::fault(point)
    }

    /// Panics at once.
    fn violation(invariant: Invariant, what: fmt::Arguments<'_>) {
        raise(invariant, what);
    }

    fn op_boundary() {}

    fn func(_name: &'static str) {}

    fn live(kind: Kind) -> usize {
        STORE.with_borrow(|store| store.live(kind))
    }
}

/// A started thread: a gate that opens at its end.
#[derive(Debug)]
pub struct ShuttleJoin(Rc<ShuttleGate>);

fn spawn(slot: Option<u32>, job: impl FnOnce() + 'static) -> ShuttleJoin {
    let ended = Rc::new(ShuttleGate::new("end of a thread", 0));
    let join = ShuttleJoin(Rc::clone(&ended));
    let body = move || {
        job();
        ended.change(Rmw::Add(1));
    };
    sched::spawn(slot, Box::new(body));
    join
}

impl Engine for Shuttle {
    type Join = ShuttleJoin;

    fn spawn(job: impl FnOnce() + 'static) -> ShuttleJoin {
        spawn(None, job)
    }

    fn join(thread: ShuttleJoin) {
        thread.0.wait(1, false);
    }
}

/// Forgets the objects and threads of the last execution.
pub(crate) fn reset(faults: &[FaultPoint], max_faults: u32) {
    objects::reset(OBJECTS);
    drop(WORKERS.take());
    sched::reset(faults, max_faults);
}

/// Waits for the threads that [`Platform::start_thread`] started, also for those that they start.
pub(crate) fn join_workers() {
    while let Some(worker) = WORKERS.with_borrow_mut(Vec::pop) {
        Shuttle::join(worker);
    }
}
