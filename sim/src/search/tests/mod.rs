//! The explorer on programs of a few lines whose runs can be counted by hand.
//!
//! Method: each program is searched completely. Its outcomes and its verdict must be those of sequential
//! consistency, and those of a search without a visited set.

mod lasso;
mod length;
mod preemptions;
mod schedule;
mod scope;
mod sleep;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use ifq_model::fault::FaultPoint;
use ifq_model::invariant::Invariant;
use ifq_model::kernel::WorkCounter;
use ifq_model::outcome::{Outcome, Value};
use ifq_model::platform::{AtomicWord, Kind, Order, PlainWord, Platform, RawLock, Rmw, WaitWord};
use ifq_model::prim::percpu_ref::PercpuRef;
use ifq_model::prim::refcount::Refcount;

use crate::executor::Det;
use crate::executor::buffer_symmetry::BufferSymmetry;
use crate::executor::lasso::LASSO_FROM;
use crate::executor::machine::with;
use crate::executor::run::{MAX_STEPS, Program};
use crate::search::explore::{Exploration, Limits, search};
use crate::search::reference;

type Main = Pin<Box<dyn Future<Output = Outcome>>>;

/// Spawns a thread.
fn spawn(slot: u32, future: impl Future<Output = ()> + 'static) {
    with(|m| m.spawn(slot, 0, &|| format!("t{slot}"), Box::pin(future)));
}

fn numbers(values: &[u64]) -> Outcome {
    Outcome(values.iter().map(|v| Value::Number(v.cast_signed())).collect())
}

fn explore(main: &dyn Fn() -> Main) -> Exploration {
    explore_with(main, &[], 0)
}

/// A program without faults.
fn program(main: &dyn Fn() -> Main) -> Program<'_> {
    Program {
        main,
        faults: &[],
        max_faults: 0,
        symmetry: BufferSymmetry::NONE,
        symmetric_test: None,
        max_steps: MAX_STEPS,
        lasso_from: LASSO_FROM,
        tolerated: &[],
        thread_faults_only: false,
    }
}

/// Searches a program with and without a visited set, and checks that both agree.
fn explore_with(main: &dyn Fn() -> Main, faults: &[FaultPoint], max_faults: u32) -> Exploration {
    let program = Program { faults, max_faults, ..program(main) };
    let found = search(&program, &Limits::default(), &mut |_| {});
    let reference = Limits { remember_states: false, ..Limits::default() };
    let reference = reference::search(&program, None, &reference, &mut |_| true);
    let violated = |e: &Exploration| e.counterexample.as_ref().map(|c| c.violation.invariant);
    assert_eq!(violated(&found), violated(&reference));
    if violated(&found).is_none() {
        assert_eq!(found.outcomes, reference.outcomes);
    }
    found
}

fn violated(found: &Exploration) -> Option<Invariant> {
    found.counterexample.as_ref().map(|c| c.violation.invariant)
}

/// Two threads on shared state of type `T`, whose final value is the outcome.
fn two<T: 'static, A, B, R>(
    make: fn() -> T,
    a: fn(Rc<T>) -> A,
    b: fn(Rc<T>) -> B,
    result: fn(Rc<T>) -> R,
) -> impl Fn() -> Main
where
    A: Future<Output = ()> + 'static,
    B: Future<Output = ()> + 'static,
    R: Future<Output = Vec<u64>> + 'static,
{
    move || {
        Box::pin(async move {
            let state = Rc::new(make());
            let done = Rc::new(Det::wait_queue("done", 0));
            let (sa, sb) = (state.clone(), state.clone());
            let (da, db) = (done.clone(), done.clone());
            spawn(1, async move {
                a(sa).await;
                da.rmw(Rmw::Add(1)).await;
            });
            spawn(2, async move {
                b(sb).await;
                db.rmw(Rmw::Add(1)).await;
            });
            done.wait_event(2).await;
            numbers(&result(state).await)
        })
    }
}

type Cells = [<Det as Platform>::Atomic; 4];

fn cells() -> Cells {
    [Det::atomic("x", 0), Det::atomic("y", 0), Det::atomic("r0", 0), Det::atomic("r1", 0)]
}

#[test]
fn store_buffering_has_the_three_outcomes_of_sequential_consistency() {
    let program = two(
        cells,
        |c| async move {
            c[0].store(1, Order::Relaxed).await;
            let r = c[1].load(Order::Relaxed).await;
            c[2].store_in_step(r);
        },
        |c| async move {
            c[1].store(1, Order::Relaxed).await;
            let r = c[0].load(Order::Relaxed).await;
            c[3].store_in_step(r);
        },
        |c| async move { vec![c[2].load_in_step(), c[3].load_in_step()] },
    );
    let found = explore(&program);
    let expected: BTreeSet<Outcome> = [[0, 1], [1, 0], [1, 1]].iter().map(|v| numbers(v)).collect();
    assert_eq!(found.outcomes, expected);
    assert!(found.exhaustive);
}

#[test]
fn an_increment_in_two_steps_loses_updates_and_an_atomic_one_does_not() {
    let in_two_steps = two(
        cells,
        |c| async move {
            let x = c[0].load(Order::Relaxed).await;
            c[0].store(x + 1, Order::Relaxed).await;
        },
        |c| async move {
            c[0].rmw(Rmw::Add(1), Order::Relaxed).await;
        },
        |c| async move { vec![c[0].load_in_step()] },
    );
    assert_eq!(explore(&in_two_steps).outcomes, [numbers(&[1]), numbers(&[2])].into());
    let atomic = two(
        cells,
        |c| async move {
            c[0].rmw(Rmw::Add(1), Order::Relaxed).await;
        },
        |c| async move {
            c[0].rmw(Rmw::Add(1), Order::Relaxed).await;
        },
        |c| async move { vec![c[0].load_in_step()] },
    );
    assert_eq!(explore(&atomic).outcomes, [numbers(&[2])].into());
}

struct Guarded {
    lock: <Det as Platform>::Lock,
    other: <Det as Platform>::Lock,
    flag: <Det as Platform>::Atomic,
    data: <Det as Platform>::Plain,
}

fn guarded() -> Guarded {
    Guarded {
        lock: Det::lock("a"),
        other: Det::lock("b"),
        flag: Det::atomic("flag", 0),
        data: Det::plain("data", 0),
    }
}

async fn add_locked(g: Rc<Guarded>) {
    let _guard = g.lock.lock().await;
    g.data.set(g.data.get() + 1);
}

async fn data(g: Rc<Guarded>) -> Vec<u64> {
    vec![g.data.get()]
}

#[test]
fn plain_memory_under_one_lock_does_not_race() {
    let found = explore(&two(guarded, add_locked, add_locked, data));
    assert_eq!(violated(&found), None);
    assert_eq!(found.outcomes, [numbers(&[2])].into());
}

#[test]
fn plain_memory_under_two_locks_races() {
    let found = explore(&two(
        guarded,
        add_locked,
        |g| async move {
            let _guard = g.other.lock().await;
            g.data.set(g.data.get() + 1);
        },
        data,
    ));
    assert_eq!(violated(&found), Some(Invariant::I8));
}

#[test]
fn a_flag_published_with_release_orders_plain_memory_and_an_unchecked_read_races() {
    async fn publish(g: Rc<Guarded>) {
        let _guard = g.other.lock().await;
        g.data.set(7);
        g.flag.store(1, Order::Release).await;
    }
    let checked = two(
        guarded,
        publish,
        |g| async move {
            if g.flag.load(Order::Acquire).await == 1 {
                assert_eq!(g.data.get(), 7);
            }
        },
        data,
    );
    assert_eq!(violated(&explore(&checked)), None);
    let unchecked = two(
        guarded,
        publish,
        |g| async move {
            g.flag.load(Order::Acquire).await;
            g.data.get();
        },
        data,
    );
    assert_eq!(violated(&explore(&unchecked)), Some(Invariant::I8));
}

#[test]
fn locks_in_opposite_order_deadlock_and_in_the_same_order_do_not() {
    async fn ab(g: Rc<Guarded>) {
        let _a = g.lock.lock().await;
        let _b = g.other.lock().await;
    }
    async fn ba(g: Rc<Guarded>) {
        let _b = g.other.lock().await;
        let _a = g.lock.lock().await;
    }
    assert_eq!(violated(&explore(&two(guarded, ab, ba, data))), Some(Invariant::I4));
    assert_eq!(violated(&explore(&two(guarded, ab, ab, data))), None);
}

#[test]
fn a_lock_taken_twice_or_held_at_the_end_is_found() {
    async fn nothing(_: Rc<Guarded>) {}
    let twice = two(
        guarded,
        |g| async move {
            let _one = g.lock.lock().await;
            let _two = g.lock.lock().await;
        },
        nothing,
        data,
    );
    assert_eq!(violated(&explore(&twice)), Some(Invariant::I4));
    let forgotten = two(
        guarded,
        |g| async move {
            std::mem::forget(g.lock.lock().await);
        },
        nothing,
        data,
    );
    assert_eq!(violated(&explore(&forgotten)), Some(Invariant::I4));
}

struct Counted {
    refs: Refcount<Det>,
    object: <Det as Platform>::Ptr<<Det as Platform>::Atomic>,
}

fn counted(refs: u64) -> Counted {
    Counted {
        refs: Refcount::new("refs", refs),
        object: Det::alloc(Kind::Ifq, 0, || Det::atomic("field", 0)),
    }
}

async fn put(c: Rc<Counted>) {
    c.object.load(Order::Relaxed).await;
    if c.refs.dec_and_test().await {
        Det::free(&c.object);
    }
}

async fn live(_: Rc<Counted>) -> Vec<u64> {
    vec![Det::live(Kind::Ifq) as u64]
}

#[test]
fn the_last_of_two_puts_frees_once() {
    let found = explore(&two(|| counted(2), put, put, live));
    assert_eq!(violated(&found), None);
    assert_eq!(found.outcomes, [numbers(&[0])].into());
}

#[test]
fn one_put_too_many_makes_the_count_negative_or_uses_freed_memory() {
    let found = explore(&two(|| counted(1), put, put, live));
    assert!(matches!(violated(&found), Some(Invariant::I1 | Invariant::I2)));
}

#[test]
fn a_use_after_free_needs_only_one_interleaving() {
    let found = explore(&two(
        || counted(1),
        put,
        |c| async move {
            c.object.load(Order::Relaxed).await;
        },
        live,
    ));
    assert_eq!(violated(&found), Some(Invariant::I1));
}

#[test]
fn a_double_free_and_an_increment_from_zero_are_found() {
    async fn free(c: Rc<Counted>) {
        c.refs.read().await;
        Det::free(&c.object);
    }
    assert_eq!(violated(&explore(&two(|| counted(1), free, free, live))), Some(Invariant::I2));
    let increment = two(|| counted(0), |c| async move { c.refs.inc().await }, |_| async {}, live);
    assert_eq!(violated(&explore(&increment)), Some(Invariant::I2));
}

#[test]
fn a_percpu_ref_is_released_exactly_once_after_the_kill() {
    struct Ref {
        refs: PercpuRef<Det>,
        released: <Det as Platform>::Atomic,
    }
    let program = two(
        || Ref { refs: PercpuRef::new("refs"), released: Det::atomic("released", 0) },
        |r| async move {
            r.refs.get().await;
            if r.refs.put().await {
                r.released.rmw(Rmw::Add(1), Order::Full).await;
            }
        },
        |r| async move {
            r.refs.get().await;
            r.refs.kill().await;
            if r.refs.switch_to_atomic_rcu().await {
                r.released.rmw(Rmw::Add(1), Order::Full).await;
            }
            if r.refs.put().await {
                r.released.rmw(Rmw::Add(1), Order::Full).await;
            }
        },
        |r| async move { vec![r.released.load_in_step()] },
    );
    let found = explore(&program);
    // The first thread may find the ref released: a use error of the program, reported as such.
    assert_eq!(violated(&found), Some(Invariant::I2));
}

#[test]
fn each_allowed_fault_is_taken_and_not_taken() {
    let main = || -> Main {
        Box::pin(async {
            let first = Det::fault(FaultPoint::XaAlloc);
            let second = Det::fault(FaultPoint::XaStore);
            let other = Det::fault(FaultPoint::CopyToUser);
            numbers(&[first.into(), second.into(), other.into()])
        })
    };
    let points = [FaultPoint::XaAlloc, FaultPoint::XaStore];
    let one = explore_with(&main, &points, 1);
    let expected = |rows: &[[u64; 3]]| rows.iter().map(|r| numbers(r)).collect::<BTreeSet<_>>();
    assert_eq!(one.outcomes, expected(&[[0, 0, 0], [1, 0, 0], [0, 1, 0]]));
    let two = explore_with(&main, &points, 2);
    assert_eq!(two.outcomes, expected(&[[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]));
}

#[test]
fn a_wait_times_out_only_if_no_thread_can_run() {
    struct Waits {
        event: <Det as Platform>::WaitQueue,
        result: <Det as Platform>::Atomic,
    }
    fn checked() -> Waits {
        Waits { event: Det::wait_queue("event", 0), result: Det::atomic("result", 9) }
    }
    async fn wait(w: Rc<Waits>) {
        let woken = w.event.wait_event_timeout(1).await.is_some();
        w.result.store_in_step(woken.into());
    }
    async fn result(w: Rc<Waits>) -> Vec<u64> {
        vec![w.result.load_in_step()]
    }
    let satisfied = two(
        checked,
        wait,
        |w| async move {
            w.event.rmw(Rmw::Add(1)).await;
        },
        result,
    );
    assert_eq!(explore(&satisfied).outcomes, [numbers(&[1])].into());
    let timed_out = two(checked, wait, |_| async {}, result);
    assert_eq!(explore(&timed_out).outcomes, [numbers(&[0])].into());
}

#[test]
fn a_refcount_below_zero_breaks_i2() {
    let program = || -> Main {
        Box::pin(async {
            let count = Refcount::<Det>::new("refs", 1);
            let _ = count.dec_and_test().await;
            let _ = count.dec_and_test().await;
            numbers(&[])
        })
    };
    assert_eq!(violated(&explore(&program)), Some(Invariant::I2));
}

#[test]
fn a_flush_also_waits_for_work_that_work_queues() {
    let program = || -> Main {
        Box::pin(async {
            let count = Rc::new(WorkCounter::<Det>::new());
            let x = Rc::new(Det::atomic("x", 0));
            count.begin();
            let (work, y) = (count.clone(), x.clone());
            spawn(1, async move {
                work.begin();
                let later = work.clone();
                spawn(2, async move {
                    y.store(1, Order::Relaxed).await;
                    later.done();
                });
                work.done();
            });
            count.flush().await;
            numbers(&[x.load(Order::Relaxed).await])
        })
    };
    assert_eq!(explore(&program).outcomes, [numbers(&[1])].into());
}
