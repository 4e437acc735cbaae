//! [`Loom`]: the model on loom's threads and loom's weak memory.
//!
//! loom does not explore load buffering, nor loads of stores older than the last seven of a word.

use std::cell::Cell;
use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ifq_model::fault::FaultPoint;
use ifq_model::invariant::Invariant;
use ifq_model::platform::{Kind, Label, NewThread, PlainWord, Platform, Rmw, WaitWord};
use loom::sync::{Condvar, Mutex, MutexGuard};
use loom::thread::{JoinHandle, ThreadId};

use crate::block_on::block_on;
use crate::blocking::{self, BlockingEngine, BlockingLock, NOT_POISONED};
use crate::engine::{Engine, raise};
use crate::loom_atomic::LoomAtomic;
use crate::objects::{self, Handle, Life, Objects, Owner, Store};

/// Stack size of a spawned thread in machine words. loom's default of 32 KiB is too small for nested
/// futures.
const STACK_WORDS: usize = 1 << 15;

/// The body of a thread.
type ThreadBody = Box<dyn FnOnce()>;

thread_local! {
    static STORE: RefCell<Store<LoomLife>> = const { RefCell::new(Store::new()) };
    static WORKERS: RefCell<Vec<JoinHandle<()>>> = const { RefCell::new(Vec::new()) };
    // A thread finds its body here by index, because loom's thread builder requires a `Send` closure.
    static BODIES: RefCell<Vec<Option<ThreadBody>>> = const { RefCell::new(Vec::new()) };
}

const OBJECTS: Objects<LoomLife> = &STORE;

/// The platform of loom's threads.
#[derive(Debug)]
pub struct Loom;

/// The witness of an object's life: a race-checked cell of loom.
#[derive(Debug)]
pub struct LoomLife(loom::cell::Cell<u64>);

impl Life for LoomLife {
    fn begin() -> Self {
        LoomLife(loom::cell::Cell::new(0))
    }
    fn touch(&self) -> Result<(), ()> {
        race_free(|| self.0.get()).map(drop)
    }
    fn end(&self) -> Result<(), ()> {
        race_free(|| self.0.set(1))
    }
}

/// Runs an access to a cell. loom reports a race by a panic that does not name the cell.
fn race_free<R>(access: impl FnOnce() -> R) -> Result<R, ()> {
    catch_unwind(AssertUnwindSafe(access)).map_err(drop)
}

/// Ordinary memory.
#[derive(Debug)]
pub struct LoomPlain {
    owner: Owner<LoomLife>,
    cell: loom::cell::Cell<u64>,
    /// The last value written, for [`PlainWord::observe`].
    unchecked: Cell<u64>,
}

impl LoomPlain {
    fn access<R>(&self, what: &str, access: impl FnOnce() -> R) -> R {
        self.owner.touch();
        match race_free(access) {
            Ok(value) => value,
            Err(()) => {
                panic!("{}: {} of {} races", Invariant::I8, what, self.owner.label())
            }
        }
    }
}

impl PlainWord for LoomPlain {
    fn get(&self) -> u64 {
        self.access("read", || self.cell.get())
    }

    fn set(&self, value: u64) {
        self.access("write", || self.cell.set(value));
        self.unchecked.set(value);
    }

    fn observe(&self) -> u64 {
        self.unchecked.get()
    }
}

/// A lock.
pub type LoomLock = BlockingLock<Loom>;

impl BlockingEngine for Loom {
    type Life = LoomLife;
    type Mutex = Mutex<()>;
    type MutexGuard<'a> = MutexGuard<'a, ()>;
    type ThreadId = ThreadId;
    type Clock = ();

    const OBJECTS: Objects<LoomLife> = OBJECTS;

    fn new_mutex() -> Mutex<()> {
        Mutex::new(())
    }

    fn lock_mutex(mutex: &Mutex<()>) -> MutexGuard<'_, ()> {
        mutex.lock().expect(NOT_POISONED)
    }

    fn current_thread() -> ThreadId {
        loom::thread::current().id()
    }

    fn after_lock((): &()) {}

    fn before_unlock((): &()) {}
}

/// A word that threads can wait for.
#[derive(Debug)]
pub struct LoomWaitQueue {
    owner: Owner<LoomLife>,
    state: Mutex<WaitQueueState>,
    condvar: Condvar,
}

#[derive(Debug)]
struct WaitQueueState {
    value: u64,
    waiters: u32,
}

impl LoomWaitQueue {
    fn locked<R>(&self, access: impl FnOnce(MutexGuard<'_, WaitQueueState>) -> R) -> R {
        self.owner.touch();
        access(self.state.lock().expect(NOT_POISONED))
    }

    fn change(&self, op: Rmw) -> u64 {
        self.locked(|mut state| {
            let old = state.value;
            if let Some(new) = op.apply(old) {
                state.value = new;
                // Notify under the mutex: a woken thread that gets the mutex may free the object.
                if state.waiters > 0 {
                    self.condvar.notify_all();
                }
            }
            old
        })
    }

    fn wait(&self, min: u64) -> u64 {
        self.locked(|mut state| {
            while state.value < min {
                state.waiters += 1;
                state = self.condvar.wait(state).expect(NOT_POISONED);
                state.waiters -= 1;
                // The woken thread still accesses the wait queue's memory.
                self.owner.touch();
            }
            state.value
        })
    }
}

impl WaitWord for LoomWaitQueue {
    async fn load(&self) -> u64 {
        self.locked(|state| state.value)
    }

    async fn rmw(&self, op: Rmw) -> u64 {
        self.change(op)
    }

    fn rmw_in_step(&self, op: Rmw) -> u64 {
        self.change(op)
    }

    async fn wait_event(&self, min: u64) -> u64 {
        self.wait(min)
    }

    /// Divergence: loom has no timeouts. This waits without a limit, and loom reports a deadlock if no
    /// thread stores the value.
    async fn wait_event_timeout(&self, min: u64) -> Option<u64> {
        Some(self.wait(min))
    }
}

impl Platform for Loom {
    type Atomic = LoomAtomic;
    type Plain = LoomPlain;
    type Lock = LoomLock;
    type WaitQueue = LoomWaitQueue;
    type Ptr<T: 'static> = Handle<T, LoomLife>;
    type Func = ();
    type Scope = ();

    fn atomic(label: impl Into<Label>, init: u64) -> LoomAtomic {
        LoomAtomic::new(Owner::of_new_word(OBJECTS, label.into().name), init)
    }

    fn plain(label: impl Into<Label>, init: u64) -> LoomPlain {
        LoomPlain {
            owner: Owner::of_new_word(OBJECTS, label.into().name),
            cell: loom::cell::Cell::new(init),
            unchecked: Cell::new(init),
        }
    }

    fn lock(label: &'static str) -> LoomLock {
        LoomLock::new(label)
    }

    fn wait_queue(label: &'static str, init: u64) -> LoomWaitQueue {
        LoomWaitQueue {
            owner: Owner::of_new_word(OBJECTS, label),
            state: Mutex::new(WaitQueueState { value: init, waiters: 0 }),
            condvar: Condvar::new(),
        }
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
        let worker = Loom::spawn(move || block_on(thread.body));
        WORKERS.with_borrow_mut(|workers| workers.push(worker));
    }

    /// No fault point ever fails.
    fn fault(_point: FaultPoint) -> bool {
        false
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

impl Engine for Loom {
    type Join = JoinHandle<()>;

    fn spawn(body: impl FnOnce() + 'static) -> JoinHandle<()> {
        let index = BODIES.with_borrow_mut(|bodies| {
            bodies.push(Some(Box::new(body)));
            bodies.len() - 1
        });
        let run = move || {
            let body = BODIES.with_borrow_mut(|bodies| bodies[index].take());
            body.expect("each thread starts once")();
        };
        loom::thread::Builder::new().stack_size(STACK_WORDS).spawn(run).expect("loom always spawns")
    }

    fn join(thread: JoinHandle<()>) {
        thread.join().expect("a panic of a loom thread ends the execution");
    }
}

/// Drops the objects and threads of the last execution.
pub(crate) fn reset() {
    objects::reset(OBJECTS);
    drop(WORKERS.take());
    drop(BODIES.take());
}

/// Waits for all threads that [`Platform::start_thread`] started.
pub(crate) fn join_workers() {
    blocking::join_all::<Loom>(&WORKERS);
}
