//! Litmus tests: small bodies that show which behaviours a platform explores. They are generic, so the
//! same source runs on loom and shuttle.

use std::rc::Rc;

use ifq_model::platform::{AtomicWord, Kind, Order, PlainWord, RawLock, Rmw, WaitWord};

use crate::block_on::block_on;
use crate::engine::Engine;

/// Two atomic words.
struct Pair<P: Engine> {
    x: P::Atomic,
    y: P::Atomic,
}

fn pair<P: Engine>() -> Rc<Pair<P>> {
    Rc::new(Pair { x: P::atomic("x", 0), y: P::atomic("y", 0) })
}

/// Runs `other` on a second thread and `main` on the current one.
fn both<P: Engine>(other: impl FnOnce() + 'static, main: impl FnOnce()) {
    let thread = P::spawn(other);
    main();
    P::join(thread);
}

/// Message passing (herd7's MP): a thread that reads the flag also reads the data.
///
/// # Panics
/// If a thread reads the flag without the data.
pub fn message_passing<P: Engine>(release: Order, acquire: Order) {
    let words = pair::<P>();
    let writer = Rc::clone(&words);
    both::<P>(
        move || {
            block_on(async {
                writer.x.store(1, Order::Relaxed).await;
                writer.y.store(1, release).await;
            });
        },
        || {
            block_on(async {
                if words.y.load(acquire).await == 1 {
                    assert_eq!(words.x.load(Order::Relaxed).await, 1, "the message is missing");
                }
            });
        },
    );
}

/// Store buffering (herd7's SB) with exchanges in place of stores: at least one thread reads the store of
/// the other.
///
/// # Panics
/// If neither does.
pub fn store_buffering<P: Engine>(order: Order) {
    let words = pair::<P>();
    let seen = Rc::new(P::plain("seen", 1));
    let (theirs, their_seen) = (Rc::clone(&words), Rc::clone(&seen));
    let other = P::spawn(move || {
        block_on(async {
            theirs.x.rmw(Rmw::Xchg(1), order).await;
            their_seen.set(theirs.y.load(Order::Relaxed).await);
        });
    });
    let mine = block_on(async {
        words.y.rmw(Rmw::Xchg(1), order).await;
        words.x.load(Order::Relaxed).await
    });
    P::join(other);
    assert_ne!((mine, seen.get()), (0, 0), "both stores were still in their buffers");
}

/// One thread frees an object that another thread reads, without any order.
pub fn use_after_free<P: Engine>() {
    let object = P::alloc(Kind::Ifq, 0, || P::atomic("refs", 1));
    let user = object.clone();
    both::<P>(
        move || {
            block_on(user.load(Order::Relaxed));
        },
        || P::free(&object),
    );
}

/// A release and an acquire order the free after the use.
pub fn free_after_last_use<P: Engine>() {
    let object = P::alloc(Kind::Ifq, 0, || P::atomic("refs", 2));
    let user = object.clone();
    let put = |object: &P::Ptr<P::Atomic>| {
        if block_on(object.rmw(Rmw::Sub(1), Order::Full)) == 1 {
            P::free(object);
        }
    };
    both::<P>(move || put(&user), || put(&object));
    assert_eq!(P::live(Kind::Ifq), 0);
}

/// Frees an object twice.
pub fn double_free<P: Engine>() {
    let object = P::alloc(Kind::Ifq, 0, || ());
    P::free(&object);
    P::free(&object);
}

/// One thread frees an object while another waits on a word of it.
pub fn freed_under_a_waiter<P: Engine>() {
    let object = P::alloc(Kind::Ctx, 0, || P::wait_queue("ref_comp", 0));
    let completer = object.clone();
    both::<P>(
        move || {
            block_on(completer.rmw(Rmw::Add(1)));
            P::free(&completer);
        },
        || {
            block_on(object.wait_event(1));
        },
    );
}

/// Two threads add to a plain word, with a lock or without one.
///
/// # Panics
/// If an addition is lost.
pub fn plain_counter<P: Engine>(locked: bool) {
    let words = Rc::new((P::lock("lock"), P::plain("count", 0)));
    let theirs = Rc::clone(&words);
    let add = move |words: &(P::Lock, P::Plain)| {
        block_on(async {
            let _guard = if locked { Some(words.0.lock().await) } else { None };
            words.1.set(words.1.get() + 1);
        });
    };
    both::<P>(move || add(&theirs), || add(&words));
    assert_eq!(words.1.get(), 2, "an addition was lost");
}

/// Calls `assert_held` on a lock that no thread holds.
pub fn lock_not_held<P: Engine>() {
    P::lock("uring_lock").assert_held();
}

/// Takes a lock twice in one thread.
pub fn lock_taken_twice<P: Engine>() {
    let lock = P::lock("uring_lock");
    block_on(async {
        let _first = lock.lock().await;
        let _second = lock.lock().await;
    });
}

/// A wait queue passes on the writes before the wake-up.
///
/// # Panics
/// If the waiter continues too early.
pub fn wait_queue_wakes<P: Engine>() {
    let words = Rc::new((P::wait_queue("ref_comp", 0), P::plain("data", 0)));
    let completer = Rc::clone(&words);
    both::<P>(
        move || {
            completer.1.set(7);
            block_on(completer.0.rmw(Rmw::Add(1)));
        },
        || {
            assert_eq!(block_on(words.0.wait_event(1)), 1);
            assert_eq!(words.1.get(), 7);
        },
    );
}

/// One thread drops a count to zero while another raises it unless it is zero.
///
/// # Panics
/// If the final count is not the sum of the changes that succeeded.
pub fn add_unless_zero<P: Engine>() {
    let word = Rc::new(P::atomic("refs", 1));
    let theirs = Rc::clone(&word);
    let op = Rmw::AddUnless { add: 1, unless: 0 };
    let other = P::spawn(move || {
        block_on(theirs.rmw(Rmw::Sub(1), Order::Full));
    });
    let found = block_on(word.rmw(op, Order::Full));
    P::join(other);
    assert_eq!(block_on(word.load(Order::Acquire)), u64::from(found != 0));
}

/// A word that holds a pointer leads to its object, freed or not, and to no other object.
///
/// # Panics
/// If it does not.
pub fn pointers_survive_words<P: Engine>() {
    use ifq_model::platform::ObjPtr;
    let object = P::alloc(Kind::Area, 3, || P::plain("pinned", 5));
    let word = object.to_word();
    let found: P::Ptr<P::Plain> = P::from_word(word).expect("it is a pointer");
    assert_eq!(found.get(), 5);
    assert!(P::from_word::<P::Atomic>(word).is_none(), "the pointer has another type");
    assert!(P::from_word::<P::Plain>(0).is_none());
    assert!(P::from_word::<P::Plain>(word + 1).is_none());
    assert_eq!(P::live(Kind::Area), 1);
    P::free(&found);
    assert_eq!(P::live(Kind::Area), 0);
    assert!(P::from_word::<P::Plain>(word).is_some());
}

/// Makes a false claim: one of two threads always runs both its steps first.
///
/// # Panics
/// In the executions in which each thread reads the store of the other.
pub fn store_buffering_interleaves<P: Engine>() {
    let words = pair::<P>();
    let theirs = Rc::clone(&words);
    let seen = Rc::new(P::atomic("seen", 0));
    let their_seen = Rc::clone(&seen);
    let other = P::spawn(move || {
        block_on(async {
            theirs.x.store(1, Order::Release).await;
            let y = theirs.y.load(Order::Acquire).await;
            their_seen.store(y, Order::Release).await;
        });
    });
    let mine = block_on(async {
        words.y.store(1, Order::Release).await;
        words.x.load(Order::Acquire).await
    });
    P::join(other);
    let other_saw = block_on(seen.load(Order::Acquire));
    assert_ne!((mine, other_saw), (1, 1), "each saw the other");
}

/// Makes a false claim: a thread never reads a store if the writer loads the word before it stores. loom
/// alone does not refute it.
///
/// # Panics
/// In the executions in which the thread reads the store.
pub fn load_before_store<P: Engine>() {
    let word = Rc::new(P::atomic("tail", 0));
    let theirs = Rc::clone(&word);
    both::<P>(
        move || {
            block_on(async {
                let tail = theirs.load(Order::Relaxed).await;
                theirs.store(tail + 1, Order::Release).await;
            });
        },
        || assert_eq!(block_on(word.load(Order::Acquire)), 0, "the store is seen"),
    );
}
