//! [`Loom`]: the model on loom's threads and loom's weak memory.
//!
//! What loom does not see: load buffering, and stores older than the last seven of a word.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ifq_model::fault::FaultPoint;
use ifq_model::invariant::Invariant;
use ifq_model::platform::{Kind, Label, NewThread, PlainWord, Platform, RawLock, Rmw, WaitWord};
use loom::sync::{Condvar, Mutex, MutexGuard};
use loom::thread::{JoinHandle, ThreadId};

use crate::block_on::block_on;
use crate::engine::{Engine, raise};
use crate::loom_atomic::LoomAtomic;
use crate::objects::{self, Handle, Life, Objects, Owner, Store};

/// Stack of a spawned thread in machine words: the default 32 KiB are too little for deep futures.
const STACK_WORDS: usize = 1 << 15;

/// What a thread does.
type Job = Box<dyn FnOnce()>;

/// A panic ends the whole execution, so nobody meets a poisoned mutex.
const NOT_POISONED: &str = "no thread goes on after a panic";

thread_local! {
    static STORE: RefCell<Store<LoomLife>> = const { RefCell::new(Store::new()) };
    static WORKERS: RefCell<Vec<JoinHandle<()>>> = const { RefCell::new(Vec::new()) };
    // Handed over by index: loom wants a `Send` closure where a stack size is asked for.
    static JOBS: RefCell<Vec<Option<Job>>> = const { RefCell::new(Vec::new()) };
}

const OBJECTS: Objects<LoomLife> = &STORE;

/// The machine that loom simulates.
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

/// loom reports a race on a cell by a panic that does not know whose cell it is.
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
#[derive(Debug)]
pub struct LoomLock {
    owner: Owner<LoomLife>,
    mutex: Mutex<()>,
    holder: Cell<Option<ThreadId>>,
}

/// Holds a [`LoomLock`].
pub struct LoomGuard<'a> {
    lock: &'a LoomLock,
    _inner: MutexGuard<'a, ()>,
}

impl fmt::Debug for LoomGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoomGuard").field("lock", &self.lock.owner.label()).finish()
    }
}

impl Drop for LoomGuard<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.lock.owner.touch();
        }
        self.lock.holder.set(None);
    }
}

impl RawLock for LoomLock {
    type Guard<'a> = LoomGuard<'a>;

    async fn lock(&self) -> LoomGuard<'_> {
        self.owner.touch();
        let me = loom::thread::current().id();
        if self.holder.get() == Some(me) {
            raise(Invariant::I4, format_args!("{} taken twice", self.owner.label()));
        }
        let inner = self.mutex.lock().expect(NOT_POISONED);
        self.holder.set(Some(me));
        LoomGuard { lock: self, _inner: inner }
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
pub struct LoomGate {
    owner: Owner<LoomLife>,
    state: Mutex<GateState>,
    condvar: Condvar,
}

#[derive(Debug)]
struct GateState {
    value: u64,
    waiters: u32,
}

impl LoomGate {
    fn locked<R>(&self, access: impl FnOnce(MutexGuard<'_, GateState>) -> R) -> R {
        self.owner.touch();
        access(self.state.lock().expect(NOT_POISONED))
    }

    fn change(&self, op: Rmw) -> u64 {
        self.locked(|mut state| {
            let old = state.value;
            if let Some(new) = op.apply(old) {
                state.value = new;
                // Under the mutex: a woken thread may free the object as soon as it has it.
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
                // Woken, the thread still holds the wait queue's memory.
                self.owner.touch();
            }
            state.value
        })
    }
}

impl WaitWord for LoomGate {
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

    /// Divergence: loom knows no timeout. This waits for ever, and loom reports a deadlock where
    /// the value never comes.
    async fn wait_event_timeout(&self, min: u64) -> Option<u64> {
        Some(self.wait(min))
    }
}

impl Platform for Loom {
    type Atomic = LoomAtomic;
    type Plain = LoomPlain;
    type Lock = LoomLock;
    type WaitQueue = LoomGate;
    type Ptr<T: 'static> = Handle<T, LoomLife>;
    type Func = ();

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
        LoomLock {
            owner: Owner::of_new_word(OBJECTS, label),
            mutex: Mutex::new(()),
            holder: Cell::new(None),
        }
    }

    fn wait_queue(label: &'static str, init: u64) -> LoomGate {
        LoomGate {
            owner: Owner::of_new_word(OBJECTS, label),
            state: Mutex::new(GateState { value: init, waiters: 0 }),
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

    /// No point ever fails: a loom test calls what it wants to see fail.
    fn fault(_point: FaultPoint) -> bool {
        false
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

impl Engine for Loom {
    type Join = JoinHandle<()>;

    fn spawn(job: impl FnOnce() + 'static) -> JoinHandle<()> {
        let index = JOBS.with_borrow_mut(|jobs| {
            jobs.push(Some(Box::new(job)));
            jobs.len() - 1
        });
        let run = move || {
            let job = JOBS.with_borrow_mut(|jobs| jobs[index].take());
            job.expect("each job is started once")();
        };
        loom::thread::Builder::new().stack_size(STACK_WORDS).spawn(run).expect("loom always spawns")
    }

    fn join(thread: JoinHandle<()>) {
        thread.join().expect("a panic of a loom thread ends the execution");
    }
}

/// Forgets the objects and threads of the last execution.
pub(crate) fn reset() {
    objects::reset(OBJECTS);
    drop(WORKERS.take());
    drop(JOBS.take());
}

/// Waits for the threads that [`Platform::start_thread`] started, also for those that they start.
pub(crate) fn join_workers() {
    while let Some(worker) = WORKERS.with_borrow_mut(Vec::pop) {
        Loom::join(worker);
    }
}
