//! [`Platform`] on the deterministic machine.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use ifq_model::fault::FaultPoint;
use ifq_model::invariant::Invariant;
use ifq_model::platform::{
    AtomicWord, Kind, Label, NewThread, ObjPtr, Order, PlainWord, Platform, RawLock, Rmw, WaitWord,
};
use ifq_model::test::schedule::AccessKind;

use super::event::Update;
use super::machine::{Machine, with};
use super::step_log::kind_of_rmw;
use super::threads::Pending;

/// The deterministic platform. Runs inside [`crate::executor::run::run_once`] only.
#[derive(Clone, Copy, Debug)]
pub struct Det;

/// A word of the machine's memory.
#[derive(Clone, Copy, Debug)]
pub struct Word(u32);

/// Waits to be scheduled, then does `act` in one step.
struct ScheduledAccess<F> {
    pending: Pending,
    kind: AccessKind,
    act: Option<F>,
}

impl<F, R> Future for ScheduledAccess<F>
where
    F: FnOnce(&mut Machine, bool) -> R + Unpin,
{
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<R> {
        with(|machine| match machine.take_grant() {
            Some(granted) => {
                let act = self.act.take().expect("a future is not polled after it is ready");
                if let Some(word) = self.pending.word() {
                    machine.log_access(self.kind, word);
                }
                Poll::Ready(act(machine, granted))
            }
            None => {
                machine.wait_for(self.pending, self.kind);
                Poll::Pending
            }
        })
    }
}

/// A future that waits to be scheduled, then does `act`.
fn scheduled<F, R>(pending: Pending, kind: AccessKind, act: F) -> impl Future<Output = R>
where
    F: FnOnce(&mut Machine, bool) -> R + Unpin,
{
    ScheduledAccess { pending, kind, act: Some(act) }
}

/// Reads a word and writes its new value.
fn read_modify_write(machine: &mut Machine, word: u32, op: Rmw) -> u64 {
    let old = machine.read(word);
    if let Some(new) = op.apply(old) {
        machine.write(word, new);
    }
    old
}

impl AtomicWord for Word {
    fn load(&self, order: Order) -> impl Future<Output = u64> {
        let word = self.0;
        let acquire = matches!(order, Order::Acquire | Order::Full);
        let pending = Pending::Access { word, write: false, acquire };
        scheduled(pending, AccessKind::Load, move |m, _| m.read(word))
    }

    fn store(&self, value: u64, _: Order) -> impl Future<Output = ()> {
        let word = self.0;
        let pending = Pending::Access { word, write: true, acquire: false };
        scheduled(pending, AccessKind::Store, move |m, _| m.write(word, value))
    }

    fn rmw(&self, op: Rmw, order: Order) -> impl Future<Output = u64> {
        let word = self.0;
        let acquire = matches!(order, Order::Acquire | Order::Full);
        let pending = Pending::Access { word, write: true, acquire };
        scheduled(pending, kind_of_rmw(op), move |m, _| read_modify_write(m, word, op))
    }

    fn rmw_capped(&self, op: Rmw, order: Order, cap: u64) -> impl Future<Output = u64> {
        let word = self.0;
        let acquire = matches!(order, Order::Acquire | Order::Full);
        let pending = Pending::Access { word, write: true, acquire };
        let update = Update { word, op, cap, is_counter: false };
        scheduled(pending, kind_of_rmw(op), move |m, _| m.update(update))
    }

    fn load_in_step(&self) -> u64 {
        with(|m| m.read(self.0))
    }

    fn store_in_step(&self, value: u64) {
        with(|m| {
            m.log_access(AccessKind::Store, self.0);
            m.write(self.0, value);
            m.release(self.0);
        });
    }
}

impl PlainWord for Word {
    fn get(&self) -> u64 {
        with(|m| {
            m.log_access(AccessKind::Read, self.0);
            m.plain_access(self.0, false);
            m.read(self.0)
        })
    }

    fn set(&self, value: u64) {
        with(|m| {
            m.log_access(AccessKind::Write, self.0);
            m.plain_access(self.0, true);
            m.write(self.0, value);
        });
    }

    fn observe(&self) -> u64 {
        with(|m| m.read(self.0))
    }
}

/// A word with a wait queue.
#[derive(Clone, Copy, Debug)]
pub struct WaitQueue(Word);

impl WaitWord for WaitQueue {
    fn load(&self) -> impl Future<Output = u64> {
        self.0.load(Order::Acquire)
    }

    fn rmw(&self, op: Rmw) -> impl Future<Output = u64> {
        let word = self.0.0;
        let pending = Pending::Access { word, write: true, acquire: true };
        scheduled(pending, AccessKind::Wake, move |m, _| read_modify_write(m, word, op))
    }

    fn rmw_in_step(&self, op: Rmw) -> u64 {
        with(|m| {
            m.log_access(AccessKind::Wake, self.0.0);
            let old = read_modify_write(m, self.0.0, op);
            m.release(self.0.0);
            old
        })
    }

    fn add_in_step(&self, op: Rmw) {
        with(|m| {
            m.log_access(AccessKind::Wake, self.0.0);
            m.update(Update { word: self.0.0, op, cap: 0, is_counter: true });
            m.release(self.0.0);
        });
    }

    fn wait_event(&self, min: u64) -> impl Future<Output = u64> {
        let word = self.0.0;
        let pending = Pending::WaitUntil { word, min, quiesce: false };
        scheduled(pending, AccessKind::Wait, move |m, _| m.read(word))
    }

    fn wait_event_timeout(&self, min: u64) -> impl Future<Output = Option<u64>> {
        let word = self.0.0;
        let pending = Pending::WaitUntil { word, min, quiesce: true };
        scheduled(pending, AccessKind::Wait, move |m, granted| granted.then(|| m.read(word)))
    }
}

/// A lock: zero, or the holder's slot plus one.
#[derive(Clone, Copy, Debug)]
pub struct Lock(u32);

/// Releases a [`Lock`] when dropped.
#[derive(Debug)]
pub struct Guard(u32);

impl RawLock for Lock {
    type Guard<'a> = Guard;

    fn lock(&self) -> impl Future<Output = Guard> {
        let word = self.0;
        scheduled(Pending::Lock { word }, AccessKind::Lock, move |m, _| {
            let me = u64::from(m.threads[m.current].slot) + 1;
            if m.read(word) == me {
                let what = format!("{} taken twice by one thread", m.word_name(word));
                m.violate(Invariant::I4, what);
            }
            m.write_lock(word, me);
            let current = m.current;
            m.threads[current].locks.push(word);
            Guard(word)
        })
    }

    fn assert_held(&self) {
        with(|m| {
            if m.read(self.0) == 0 {
                let what = format!("{} is not held where it must be", m.word_name(self.0));
                m.violate(Invariant::I4, what);
            }
        });
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        with(|m| m.unlock(self.0));
    }
}

/// A pointer to an object of the machine.
pub struct DetPtr<T> {
    target: Rc<T>,
    pointer: u64,
}

impl<T> fmt::Debug for DetPtr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.pointer)
    }
}

impl<T> Clone for DetPtr<T> {
    fn clone(&self) -> Self {
        DetPtr { target: Rc::clone(&self.target), pointer: self.pointer }
    }
}

impl<T> Deref for DetPtr<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.target
    }
}

impl<T: 'static> ObjPtr<T> for DetPtr<T> {
    fn to_word(&self) -> u64 {
        self.pointer
    }
}

/// Leaves a kernel function when dropped.
#[derive(Debug)]
pub struct Func(bool);

impl Drop for Func {
    fn drop(&mut self) {
        if self.0 {
            with(Machine::leave);
        }
    }
}

/// Ends a scope when dropped.
#[derive(Debug)]
pub struct Scope;

impl Drop for Scope {
    fn drop(&mut self) {
        with(Machine::end_scope);
    }
}

impl Platform for Det {
    type Atomic = Word;
    type Plain = Word;
    type Lock = Lock;
    type WaitQueue = WaitQueue;
    type Ptr<T: 'static> = DetPtr<T>;
    type Func = Func;
    type Scope = Scope;

    fn atomic(label: impl Into<Label>, init: u64) -> Word {
        Word(with(|m| m.new_word(label.into(), init)))
    }

    fn plain(label: impl Into<Label>, init: u64) -> Word {
        Word(with(|m| m.new_word(label.into(), init)))
    }

    fn lock(label: &'static str) -> Lock {
        Lock(with(|m| m.new_lock(label)))
    }

    fn wait_queue(label: &'static str, init: u64) -> WaitQueue {
        WaitQueue(Word(with(|m| m.new_word(label.into(), init))))
    }

    fn alloc<T: 'static>(kind: Kind, number: u32, make: impl FnOnce() -> T) -> DetPtr<T> {
        let (index, outer) = with(|m| m.begin_object(kind, number));
        let target = Rc::new(make());
        let pointer = with(|m| m.finish_object(index, outer, target.clone()));
        DetPtr { target, pointer }
    }

    fn free<T: 'static>(ptr: &DetPtr<T>) {
        with(|m| m.free(ptr.pointer));
    }

    fn from_word<T: 'static>(word: u64) -> Option<DetPtr<T>> {
        if word == 0 {
            return None;
        }
        let target = with(|m| m.target(word))?.downcast().ok()?;
        Some(DetPtr { target, pointer: word })
    }

    fn start_thread(thread: NewThread) {
        let NewThread { slot, object, name, body } = thread;
        with(|m| m.spawn(slot, object, &name, body));
    }

    fn fault(point: FaultPoint) -> bool {
        with(|m| m.choose_fault(point))
    }

    fn violation(invariant: Invariant, what: fmt::Arguments<'_>) {
        let what = what.to_string();
        with(|m| m.violate(invariant, what));
    }

    fn op_boundary() {
        with(Machine::op_boundary);
    }

    fn scope() -> Scope {
        with(Machine::begin_scope);
        Scope
    }

    fn func(name: &'static str) -> Func {
        Func(with(|m| m.enter(name)))
    }

    fn live(kind: Kind) -> usize {
        with(|m| m.live(kind))
    }
}
