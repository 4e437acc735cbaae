//! [`Shuttle`]: the model on shuttle's threads, under random and PCT schedules.
//!
//! shuttle is sequentially consistent: every atomic access orders everything, so this platform does not
//! find a missing barrier. It does check plain memory and the life of objects for happens-before: a
//! lock, a wait queue, a thread's start or an atomic word of any ordering must order two accesses.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use ifq_model::fault::FaultPoint;
use ifq_model::invariant::Invariant;
use ifq_model::platform::{
    AtomicWord, Kind, Label, NewThread, Order, PlainWord, Platform, Rmw, WaitWord,
};
use shuttle::sync::atomic::{AtomicU64, Ordering};
use shuttle::sync::{Mutex, MutexGuard};

use crate::block_on::block_on;
use crate::blocking::{self, BlockingEngine, BlockingLock, NOT_POISONED};
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

/// The platform of shuttle's threads.
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

/// An atomic word that passes on happens-before.
#[derive(Debug)]
struct OrderedWord {
    value: AtomicU64,
    channel: Channel,
}

impl OrderedWord {
    fn new(init: u64) -> Self {
        OrderedWord { value: AtomicU64::new(init), channel: Channel::default() }
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
    word: OrderedWord,
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
pub type ShuttleLock = BlockingLock<Shuttle>;

impl BlockingEngine for Shuttle {
    type Life = ShuttleLife;
    type Mutex = Mutex<()>;
    type MutexGuard<'a> = MutexGuard<'a, ()>;
    type ThreadId = usize;
    type Clock = Channel;

    const OBJECTS: Objects<ShuttleLife> = OBJECTS;

    fn new_mutex() -> Mutex<()> {
        Mutex::new(())
    }

    fn lock_mutex(mutex: &Mutex<()>) -> MutexGuard<'_, ()> {
        mutex.lock().expect(NOT_POISONED)
    }

    fn current_thread() -> usize {
        me()
    }

    fn after_lock(clock: &Channel) {
        clock.acquire(me());
    }

    fn before_unlock(clock: &Channel) {
        clock.release(me());
    }
}

/// A word that threads can wait for.
#[derive(Debug)]
pub struct ShuttleWaitQueue {
    owner: Owner<ShuttleLife>,
    word: OrderedWord,
    number: u64,
}

impl ShuttleWaitQueue {
    fn new(label: &'static str, init: u64) -> Self {
        ShuttleWaitQueue {
            owner: Owner::of_new_word(OBJECTS, label),
            word: OrderedWord::new(init),
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

    fn wait(&self, min: u64, times_out: bool) -> Option<u64> {
        loop {
            // The woken thread still accesses the wait queue's memory.
            self.owner.touch();
            let value = self.word.load();
            if value >= min {
                return Some(value);
            }
            if sched::block(self.number, self.owner.label(), min, times_out) == Wake::Timeout {
                return None;
            }
        }
    }
}

impl WaitWord for ShuttleWaitQueue {
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
        self.wait(min, false).expect("this wait has no timeout")
    }

    async fn wait_event_timeout(&self, min: u64) -> Option<u64> {
        self.wait(min, true)
    }
}

impl Platform for Shuttle {
    type Atomic = ShuttleAtomic;
    type Plain = ShuttlePlain;
    type Lock = ShuttleLock;
    type WaitQueue = ShuttleWaitQueue;
    type Ptr<T: 'static> = Handle<T, ShuttleLife>;
    type Func = ();
    type Scope = ();

    fn atomic(label: impl Into<Label>, init: u64) -> ShuttleAtomic {
        ShuttleAtomic {
            owner: Owner::of_new_word(OBJECTS, label.into().name),
            word: OrderedWord::new(init),
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
        ShuttleLock::new(label)
    }

    fn wait_queue(label: &'static str, init: u64) -> ShuttleWaitQueue {
        ShuttleWaitQueue::new(label, init)
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

    /// Draws with shuttle's generator, so that a replayed schedule repeats the faults.
    fn fault(point: FaultPoint) -> bool {
        sched::fault(point)
    }

    /// Panics at once.
    fn violation(invariant: Invariant, what: fmt::Arguments<'_>) {
        raise(invariant, what);
    }

    fn op_boundary() {}

    fn scope() {}

    fn func(_name: &'static str) {}

    fn live(kind: Kind) -> usize {
        STORE.with_borrow(|store| store.live(kind))
    }
}

/// A started thread: a word that becomes 1 when the thread ends.
#[derive(Debug)]
pub struct ShuttleJoin(Rc<ShuttleWaitQueue>);

fn spawn(slot: Option<u32>, work: impl FnOnce() + 'static) -> ShuttleJoin {
    let ended = Rc::new(ShuttleWaitQueue::new("end of a thread", 0));
    let join = ShuttleJoin(Rc::clone(&ended));
    let body = move || {
        work();
        ended.change(Rmw::Add(1));
    };
    sched::spawn(slot, Box::new(body));
    join
}

impl Engine for Shuttle {
    type Join = ShuttleJoin;

    fn spawn(body: impl FnOnce() + 'static) -> ShuttleJoin {
        spawn(None, body)
    }

    fn join(thread: ShuttleJoin) {
        thread.0.wait(1, false);
    }
}

/// Drops the objects and threads of the last execution.
pub(crate) fn reset(faults: &[FaultPoint], max_faults: u32) {
    objects::reset(OBJECTS);
    drop(WORKERS.take());
    sched::reset(faults, max_faults);
}

/// Waits for all threads that [`Platform::start_thread`] started.
pub(crate) fn join_workers() {
    blocking::join_all::<Shuttle>(&WORKERS);
}
