//! The parts that the loom and shuttle platforms share: a lock, and the threads that run work items.
//!
//! Both engines simulate threads that block in a mutex, so taking and checking a lock is the same on
//! both. They differ in the mutex, in what identifies a thread, and in who tracks happens-before: loom
//! does it itself, the shuttle platform has a [`crate::races::Channel`] in each lock.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::thread::LocalKey;

use ifq_model::invariant::Invariant;
use ifq_model::platform::RawLock;

use crate::engine::{Engine, raise};
use crate::objects::{Life, Objects, Owner};

/// A panic ends the whole execution, so no thread finds a mutex poisoned.
pub(crate) const NOT_POISONED: &str = "no thread runs after a panic";

/// What an engine supplies to [`BlockingLock`].
pub trait BlockingEngine: Sized + 'static {
    /// The witness of an object's life.
    type Life: Life;
    /// The engine's mutex.
    type Mutex: fmt::Debug;
    /// Holds the engine's mutex.
    type MutexGuard<'a>;
    /// What identifies a thread.
    type ThreadId: Copy + Eq + fmt::Debug;
    /// The happens-before state of a lock, if the engine itself does not keep it.
    type Clock: Default + fmt::Debug;

    /// The store of all objects.
    const OBJECTS: Objects<Self::Life>;

    /// A mutex that no thread holds.
    fn new_mutex() -> Self::Mutex;
    /// Waits until the mutex is free and takes it.
    fn lock_mutex(mutex: &Self::Mutex) -> Self::MutexGuard<'_>;
    /// The running thread.
    fn current_thread() -> Self::ThreadId;
    /// Called after the running thread has taken a lock.
    fn after_lock(clock: &Self::Clock);
    /// Called before the running thread releases a lock.
    fn before_unlock(clock: &Self::Clock);
}

/// A lock.
pub struct BlockingLock<E: BlockingEngine> {
    owner: Owner<E::Life>,
    mutex: E::Mutex,
    holder: Cell<Option<E::ThreadId>>,
    clock: E::Clock,
}

impl<E: BlockingEngine> BlockingLock<E> {
    pub(crate) fn new(label: &'static str) -> Self {
        BlockingLock {
            owner: Owner::of_new_word(E::OBJECTS, label),
            mutex: E::new_mutex(),
            holder: Cell::new(None),
            clock: E::Clock::default(),
        }
    }
}

impl<E: BlockingEngine> fmt::Debug for BlockingLock<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingLock")
            .field("owner", &self.owner)
            .field("mutex", &self.mutex)
            .field("holder", &self.holder)
            .field("clock", &self.clock)
            .finish()
    }
}

/// Holds a [`BlockingLock`].
pub struct BlockingGuard<'a, E: BlockingEngine> {
    lock: &'a BlockingLock<E>,
    _inner: E::MutexGuard<'a>,
}

impl<E: BlockingEngine> fmt::Debug for BlockingGuard<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingGuard").field("lock", &self.lock.owner.label()).finish()
    }
}

impl<E: BlockingEngine> Drop for BlockingGuard<'_, E> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.lock.owner.touch();
            E::before_unlock(&self.lock.clock);
        }
        self.lock.holder.set(None);
    }
}

impl<E: BlockingEngine> RawLock for BlockingLock<E> {
    type Guard<'a> = BlockingGuard<'a, E>;

    async fn lock(&self) -> BlockingGuard<'_, E> {
        self.owner.touch();
        let me = E::current_thread();
        if self.holder.get() == Some(me) {
            raise(Invariant::I4, format_args!("{} taken twice", self.owner.label()));
        }
        let inner = E::lock_mutex(&self.mutex);
        self.holder.set(Some(me));
        E::after_lock(&self.clock);
        BlockingGuard { lock: self, _inner: inner }
    }

    fn assert_held(&self) {
        self.owner.touch();
        if self.holder.get().is_none() {
            raise(Invariant::I4, format_args!("{} is not held", self.owner.label()));
        }
    }
}

/// The threads of one execution that run work items.
pub(crate) type WorkerThreads<E> = &'static LocalKey<RefCell<Vec<<E as Engine>::Join>>>;

/// Waits for all threads that run work items, including those that a work item starts.
pub(crate) fn join_all<E: Engine>(workers: WorkerThreads<E>) {
    while let Some(worker) = workers.with_borrow_mut(Vec::pop) {
        E::join(worker);
    }
}
