//! Atomic words on loom, with the kernel's orderings.
//!
//! loom treats a `SeqCst` access as acquire and release only, so [`Order::Full`] is an access between two
//! fences. loom implements C11, not LKMM: a failed `cmpxchg` orders nothing in the kernel, but here the
//! fence before it does.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use ifq_model::platform::{AtomicWord, Order, Rmw};
use loom::sync::Condvar;
use loom::sync::atomic::{AtomicU64, Ordering, fence};
use loom::thread::ThreadId;

use crate::loom_platform::LoomLife;
use crate::objects::Owner;

fn load_order(order: Order) -> Ordering {
    match order {
        Order::Relaxed | Order::Full => Ordering::Relaxed,
        Order::Acquire => Ordering::Acquire,
        Order::Release => panic!("a load cannot release"),
    }
}

fn store_order(order: Order) -> Ordering {
    match order {
        Order::Relaxed | Order::Full => Ordering::Relaxed,
        Order::Release => Ordering::Release,
        Order::Acquire => panic!("a store cannot acquire"),
    }
}

fn rmw_order(order: Order) -> Ordering {
    match order {
        Order::Relaxed => Ordering::Relaxed,
        Order::Acquire => Ordering::Acquire,
        Order::Release => Ordering::Release,
        Order::Full => Ordering::AcqRel,
    }
}

fn with_fences<R>(order: Order, access: impl FnOnce() -> R) -> R {
    if order != Order::Full {
        return access();
    }
    fence(Ordering::SeqCst);
    let result = access();
    fence(Ordering::SeqCst);
    result
}

/// Atomic memory.
#[derive(Debug)]
pub struct LoomAtomic {
    owner: Owner<LoomLife>,
    word: AtomicU64,
    // The newest value, with which AddUnless begins to compare: it needs one try without interference.
    newest: Cell<u64>,
    readers: Readers,
}

/// Makes loom explore each store before the loads of other threads.
///
/// loom 0.7 remembers only the last access to a word. If a thread loads and then stores, its own load
/// hides an earlier load of another thread, and loom never explores the store before that load. So
/// each thread that loads has a condition variable without waiters. A notification creates no
/// happens-before, but it is a step that depends on every other notification: a reader notifies its own
/// variable before it loads, and a writer notifies those of all other readers before it stores.
#[derive(Debug, Default)]
struct Readers(RefCell<Vec<(ThreadId, Rc<Condvar>)>>);

impl Readers {
    fn before_load(&self) {
        let me = loom::thread::current().id();
        let mut readers = self.0.borrow_mut();
        let mine = match readers.iter().find(|(thread, _)| *thread == me) {
            Some((_, mine)) => Rc::clone(mine),
            None => {
                let mine = Rc::new(Condvar::new());
                readers.push((me, Rc::clone(&mine)));
                mine
            }
        };
        drop(readers);
        mine.notify_one();
    }

    fn before_store(&self) {
        let me = loom::thread::current().id();
        let others: Vec<_> =
            self.0.borrow().iter().filter(|(thread, _)| *thread != me).cloned().collect();
        for (_, other) in others {
            other.notify_one();
        }
    }
}

impl LoomAtomic {
    pub(crate) fn new(owner: Owner<LoomLife>, init: u64) -> Self {
        LoomAtomic {
            owner,
            word: AtomicU64::new(init),
            newest: Cell::new(init),
            readers: Readers::default(),
        }
    }

    fn load_word(&self, order: Ordering) -> u64 {
        self.readers.before_load();
        self.word.load(order)
    }

    fn store_word(&self, value: u64, order: Ordering) {
        self.readers.before_store();
        self.word.store(value, order);
        self.newest.set(value);
    }

    fn apply(&self, op: Rmw, order: Ordering) -> u64 {
        self.readers.before_store();
        let old = match op {
            Rmw::Add(n) => self.word.fetch_add(n, order),
            Rmw::Sub(n) => self.word.fetch_sub(n, order),
            Rmw::Xchg(n) => self.word.swap(n, order),
            Rmw::Or(n) => self.word.fetch_or(n, order),
            Rmw::And(n) => self.word.fetch_and(n, order),
            Rmw::CmpXchg { old, new } => self.compare_exchange(old, new, order),
            Rmw::AddUnless { add, unless } => self.add_unless(add, unless, order),
        };
        self.newest.set(op.apply(old).unwrap_or(old));
        old
    }

    fn compare_exchange(&self, old: u64, new: u64, order: Ordering) -> u64 {
        self.word.compare_exchange(old, new, order, Ordering::Relaxed).unwrap_or_else(|found| found)
    }

    fn add_unless(&self, add: u64, unless: u64, order: Ordering) -> u64 {
        let mut expected = self.newest.get();
        loop {
            // A value that forbids the addition is exchanged for itself, which does not change it.
            let new = if expected == unless { unless } else { expected.wrapping_add(add) };
            let found = self.compare_exchange(expected, new, order);
            if found == expected || found == unless {
                return found;
            }
            expected = found;
        }
    }
}

impl AtomicWord for LoomAtomic {
    async fn load(&self, order: Order) -> u64 {
        self.owner.touch();
        with_fences(order, || self.load_word(load_order(order)))
    }

    async fn store(&self, value: u64, order: Order) {
        self.owner.touch();
        with_fences(order, || self.store_word(value, store_order(order)));
    }

    async fn rmw(&self, op: Rmw, order: Order) -> u64 {
        self.owner.touch();
        with_fences(order, || self.apply(op, rmw_order(order)))
    }

    /// Divergence: loom has no access without a scheduling point, so this is one.
    fn load_in_step(&self) -> u64 {
        self.owner.touch();
        self.load_word(Ordering::Acquire)
    }

    /// Divergence: see [`AtomicWord::load_in_step`] of this type.
    fn store_in_step(&self, value: u64) {
        self.owner.touch();
        self.store_word(value, Ordering::Release);
    }
}
