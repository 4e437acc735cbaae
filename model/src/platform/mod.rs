//! The machine that the kernel code runs on: the [`Platform`] trait and its primitives.
//!
//! Everything in this crate is generic over a `Platform`. An engine supplies one: the
//! deterministic executor of `ifq-sim`, loom, shuttle. The contract is the same everywhere:
//!
//! * Each `.await` of an [`AtomicWord`], [`RawLock`] or [`WaitWord`] operation is one *scheduling
//!   point*: before it takes effect any other thread may run. Between two awaits a thread runs
//!   alone.
//! * [`PlainWord`] accesses are not scheduling points; they are race-checked.
//! * [`Platform::alloc`] makes an object and [`Platform::free`] ends it. A word that is made while an
//!   object is being made belongs to the object; an access to it after the free is a violation of I1.
//! * Releasing a lock is not a scheduling point: a release is a left mover (Lipton, "Reduction",
//!   CACM 18(12), 1975), so a step of another thread just before it commutes with it. The model has
//!   no `trylock`, which would see the difference.

pub mod label;

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;

pub use self::label::Label;
use crate::fault::FaultPoint;
use crate::invariant::Invariant;

/// Memory ordering of an atomic access, as the kernel writes it.
///
/// `Full` is the kernel's ordering for a read-modify-write that returns a value: a full barrier on
/// both sides (`Documentation/atomic_t.txt`). A weak-memory platform must put fences around the
/// operation; C11 `SeqCst` alone is weaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// `READ_ONCE`, `WRITE_ONCE`, `atomic_read`, `atomic_set`, `*_relaxed`.
    Relaxed,
    /// `smp_load_acquire`, `atomic_*_acquire`.
    Acquire,
    /// `smp_store_release`, `atomic_*_release`.
    Release,
    /// `atomic_xchg`, `atomic_cmpxchg`, `atomic_*_return`, `atomic_fetch_*`.
    Full,
}

/// A read-modify-write on one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rmw {
    /// Wrapping addition.
    Add(u64),
    /// Wrapping subtraction.
    Sub(u64),
    /// Replace the value.
    Xchg(u64),
    /// Bitwise or.
    Or(u64),
    /// Bitwise and.
    And(u64),
    /// Store `new` if the value is `old`; a failed comparison writes nothing.
    CmpXchg {
        /// The value that must be found.
        old: u64,
        /// The value to store.
        new: u64,
    },
    /// Add `add` unless the value is `unless` (`atomic_add_unless`).
    AddUnless {
        /// What to add.
        add: u64,
        /// The value that forbids it.
        unless: u64,
    },
}

impl Rmw {
    /// The value after the operation, or `None` if nothing is written.
    #[must_use]
    pub fn apply(self, value: u64) -> Option<u64> {
        match self {
            Rmw::Add(n) => Some(value.wrapping_add(n)),
            Rmw::Sub(n) => Some(value.wrapping_sub(n)),
            Rmw::Xchg(n) => Some(n),
            Rmw::Or(n) => Some(value | n),
            Rmw::And(n) => Some(value & n),
            Rmw::CmpXchg { old, new } => (value == old).then_some(new),
            Rmw::AddUnless { add, unless } => (value != unless).then(|| value.wrapping_add(add)),
        }
    }
}

/// A 64-bit atomic word. The code that uses it keeps narrower kernel types in range.
pub trait AtomicWord {
    /// Reads the word.
    fn load(&self, order: Order) -> impl Future<Output = u64>;
    /// Writes the word.
    fn store(&self, value: u64, order: Order) -> impl Future<Output = ()>;
    /// Changes the word in one step and returns the value found.
    fn rmw(&self, op: Rmw, order: Order) -> impl Future<Output = u64>;
    /// As [`AtomicWord::rmw`], but returns at most `most`. Runs that differ only above `most` are
    /// the same to the caller, so an engine may merge them.
    fn rmw_capped(&self, op: Rmw, order: Order, most: u64) -> impl Future<Output = u64> {
        async move { self.rmw(op, order).await.min(most) }
    }
    /// Reads (acquire) as part of the running step, without a scheduling point.
    ///
    /// For words whose writers all hold a lock that the caller has just taken, and for checks.
    fn load_in_step(&self) -> u64;
    /// Writes (release) as part of the running step, without a scheduling point. See
    /// [`AtomicWord::load_in_step`] for when it may be used.
    fn store_in_step(&self, value: u64);
}

/// A 64-bit word of ordinary memory. Not a scheduling point; two accesses of different threads,
/// one of them a write, must be ordered by locks or atomics, otherwise I8 is violated.
pub trait PlainWord {
    /// Reads the word.
    fn get(&self) -> u64;
    /// Writes the word.
    fn set(&self, value: u64);
    /// Reads the word for a check, as part of the running step. Not race-checked: a check reads
    /// memory that the running thread need not hold a lock for. The object must be alive.
    fn observe(&self) -> u64;
}

/// A sleeping or spinning lock. No engine tells the two apart.
pub trait RawLock {
    /// Releases the lock when dropped.
    type Guard<'a>
    where
        Self: 'a;
    /// Waits until the lock is free and takes it. Taking a lock twice in one thread is a violation
    /// of I4.
    fn lock(&self) -> impl Future<Output = Self::Guard<'_>>;
    /// `lockdep_assert_held`: a violation of I4 if no thread holds the lock.
    fn assert_held(&self);
}

/// A word that threads can wait for: a completion, or a wait queue with one condition.
pub trait WaitWord {
    /// Reads the word.
    fn load(&self) -> impl Future<Output = u64>;
    /// Changes the word, wakes the threads that wait for the new value, returns the value found.
    fn rmw(&self, op: Rmw) -> impl Future<Output = u64>;
    /// As [`WaitWord::rmw`], as part of the running step.
    fn rmw_in_step(&self, op: Rmw) -> u64;
    /// Adds or subtracts as part of the running step and returns nothing, so that such changes of several
    /// threads commute.
    /// For words that no thread waits for while they fall again: sleep sets lose states otherwise.
    fn add_in_step(&self, op: Rmw) {
        self.rmw_in_step(op);
    }
    /// Waits until the word is at least `min`; returns the value seen. A full acquire.
    fn wait_event(&self, min: u64) -> impl Future<Output = u64>;
    /// As [`WaitWord::wait_event`], but returns `None` when nothing else in the system can run and
    /// no such wait of an earlier thread is pending.
    ///
    /// This models a timeout: it is longer than all that the kernel still does.
    fn wait_event_timeout(&self, min: u64) -> impl Future<Output = Option<u64>>;
}

/// The kinds of object that the model allocates, in the kernel's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `struct io_ring_ctx`.
    Ctx,
    /// `struct io_zcrx_ifq`.
    Ifq,
    /// `struct io_zcrx_ifq` that is a proxy.
    Proxy,
    /// `struct io_zcrx_area` with its niovs.
    Area,
    /// `struct io_kiocb`.
    Req,
    /// `struct file`.
    File,
    /// `struct page_pool`.
    PagePool,
    /// A TCP connection: `struct sock` and its queues.
    Sock,
    /// `struct net_device`.
    Netdev,
    /// Memory of user space that the kernel may pin: areas and refill rings.
    UserMem,
    /// `struct completion` on a stack.
    Completion,
    /// State of the harness, alive for a whole run.
    Harness,
}

impl Kind {
    /// Short name, as in `ifq0`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ctx => "ring",
            Kind::Ifq => "ifq",
            Kind::Proxy => "proxy",
            Kind::Area => "area",
            Kind::Req => "req",
            Kind::File => "file",
            Kind::PagePool => "pp",
            Kind::Sock => "sock",
            Kind::Netdev => "netdev",
            Kind::UserMem => "mem",
            Kind::Completion => "completion",
            Kind::Harness => "harness",
        }
    }
}

/// A handle to an allocated object. It is a C pointer: a clone of it is no reference.
pub trait ObjPtr<T>: Clone + Deref<Target = T> + 'static {
    /// The pointer as a word for an [`AtomicWord`] or [`PlainWord`]. Never zero, and below 2^40.
    fn to_word(&self) -> u64;
}

/// A thread to start.
pub struct NewThread {
    /// A number that no two threads of a run share. It does not depend on the order in which threads
    /// start. Zero is the thread that runs the set-up.
    pub slot: u32,
    /// The object that the thread works on, as a word.
    pub object: u64,
    /// The name of its column in a trace.
    pub name: Box<dyn Fn() -> String>,
    /// Runs the thread.
    pub body: Pin<Box<dyn Future<Output = ()>>>,
}

impl fmt::Debug for NewThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&(self.name)())
    }
}

/// Slots from here on are threads of the kernel; lower slots are threads of user space.
pub const FIRST_KERNEL_SLOT: u32 = 0x100;

/// The machine that the model runs on.
pub trait Platform: Sized + 'static {
    /// Atomic memory.
    type Atomic: AtomicWord + fmt::Debug + 'static;
    /// Ordinary memory.
    type Plain: PlainWord + fmt::Debug + 'static;
    /// Locks.
    type Lock: RawLock + fmt::Debug + 'static;
    /// Words to wait for.
    type WaitQueue: WaitWord + fmt::Debug + 'static;
    /// Pointers to objects.
    type Ptr<T: 'static>: ObjPtr<T>;
    /// Leaves a kernel function when dropped.
    type Func: 'static;
    /// Ends a [scope](Platform::scope) when dropped.
    type Scope: 'static;

    /// Makes an atomic word. `label` is the kernel's field name, and says what the values refer to.
    fn atomic(label: impl Into<Label>, init: u64) -> Self::Atomic;
    /// Makes a plain word.
    fn plain(label: impl Into<Label>, init: u64) -> Self::Plain;
    /// Makes a lock, free.
    fn lock(label: &'static str) -> Self::Lock;
    /// Makes a word to wait for.
    fn wait_queue(label: &'static str, init: u64) -> Self::WaitQueue;

    /// Allocates an object. `number` tells objects of one kind apart in reports (ring 0, ring 1).
    fn alloc<T: 'static>(kind: Kind, number: u32, make: impl FnOnce() -> T) -> Self::Ptr<T>;
    /// Frees an object. Freeing twice is a violation of I2.
    fn free<T: 'static>(ptr: &Self::Ptr<T>);
    /// The pointer that [`ObjPtr::to_word`] made into `word`, also if the object is freed: the
    /// violation is the access, not the pointer. `None` for zero, and for a word that is no pointer
    /// to a `T`.
    fn from_word<T: 'static>(word: u64) -> Option<Self::Ptr<T>>;

    /// Starts a thread: a work item, an RCU callback, a thread of the test.
    fn start_thread(thread: NewThread);
    /// Whether this fault point fails now. The engine decides. A point that the test does not name never
    /// fails.
    fn fault(point: FaultPoint) -> bool;
    /// Reports a violation of an invariant. The run ends at the next scheduling point. Until then
    /// the caller continues and must not panic.
    fn violation(invariant: Invariant, what: fmt::Arguments<'_>);
    /// An operation of user space has ended. An engine may forget the values that the thread has
    /// read: no local variable of the thread may depend on them after this call.
    fn op_boundary();
    /// Begins a scope. An engine may forget what the thread reads in it when it ends: what the thread does
    /// afterwards may depend on the memory and on what it read before, but not on what it read in the scope.
    /// The scope creates no objects and words, and ends with the locks with which it began. Scopes nest.
    ///
    /// This is dead-variable reduction, as model checkers of programs compute it by live-variable analysis.
    fn scope() -> Self::Scope;
    /// Enters a kernel function, for the trace.
    fn func(name: &'static str) -> Self::Func;
    /// Number of live objects of a kind.
    fn live(kind: Kind) -> usize;
}

/// A C pointer to an object of the model.
///
/// A thin wrapper of [`Platform::Ptr`] from which the compiler can tell the platform.
pub struct Ptr<P: Platform, T: 'static>(P::Ptr<T>);

impl<P: Platform, T: 'static> Ptr<P, T> {
    /// [`Platform::alloc`].
    pub fn alloc(kind: Kind, number: u32, make: impl FnOnce() -> T) -> Self {
        Ptr(P::alloc(kind, number, make))
    }

    /// [`Platform::free`].
    pub fn free(&self) {
        P::free(&self.0);
    }

    /// [`ObjPtr::to_word`].
    #[must_use]
    pub fn to_word(&self) -> u64 {
        self.0.to_word()
    }

    /// [`Platform::from_word`].
    #[must_use]
    pub fn from_word(word: u64) -> Option<Self> {
        P::from_word(word).map(Ptr)
    }
}

impl<P: Platform, T: 'static> Clone for Ptr<P, T> {
    fn clone(&self) -> Self {
        Ptr(self.0.clone())
    }
}

impl<P: Platform, T: 'static> Deref for Ptr<P, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<P: Platform, T: 'static> fmt::Debug for Ptr<P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.to_word())
    }
}
