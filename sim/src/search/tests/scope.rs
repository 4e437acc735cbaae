//! Scopes: what a thread reads in a scope is no part of the state after it.
//!
//! Method: two threads count up in a scope and end with a step of their own. The order of their additions makes
//! different observations, and with a scope the same state.

use std::rc::Rc;

use ifq_model::platform::{AtomicWord, Order, Platform, RawLock, Rmw};

use super::{Exploration, Main, explore, numbers, spawn};
use crate::executor::Det;

/// Two threads add to a word, and set a word of their own afterwards. `scoped`: the additions are in a scope.
fn adders(scoped: bool) -> Exploration {
    explore(&move || -> Main {
        Box::pin(async move {
            let x = Rc::new(Det::atomic("x", 0));
            let last = Rc::new(Det::atomic("last", 0));
            for slot in 1..=2 {
                let (x, last) = (x.clone(), last.clone());
                spawn(slot, async move {
                    {
                        let _scope = scoped.then(Det::scope);
                        for _ in 0..2 {
                            x.rmw(Rmw::Add(1), Order::Relaxed).await;
                        }
                    }
                    last.store(u64::from(slot), Order::Relaxed).await;
                });
            }
            let done = Det::wait_queue("never", 1);
            ifq_model::platform::WaitWord::wait_event_timeout(&done, 2).await;
            numbers(&[x.load_in_step(), last.load_in_step()])
        })
    })
}

#[test]
fn states_that_differ_in_what_was_read_in_a_scope_are_merged() {
    let (with, without) = (adders(true), adders(false));
    assert_eq!(with.outcomes, without.outcomes);
    assert!(with.states < without.states, "{} and {} states", with.states, without.states);
}

/// One thread, with the code that `body` runs on a word that another thread sets.
fn reader<F: Future<Output = ()> + 'static>(
    body: fn(Rc<<Det as Platform>::Atomic>) -> F,
) -> Exploration {
    explore(&move || -> Main {
        Box::pin(async move {
            let x = Rc::new(Det::atomic("x", 0));
            let theirs = x.clone();
            spawn(1, async move { theirs.store(1, Order::Relaxed).await });
            spawn(2, body(x.clone()));
            numbers(&[])
        })
    })
}

#[test]
#[should_panic(expected = "is not a function of its observations")]
fn code_that_depends_on_what_was_read_in_an_ended_scope_is_detected() {
    reader(|x| async move {
        let seen = {
            let _scope = Det::scope();
            x.load(Order::Relaxed).await
        };
        if seen == 1 {
            x.store(2, Order::Relaxed).await;
        }
    });
}

#[test]
fn code_may_depend_on_what_was_read_before_the_scope_and_in_an_outer_scope() {
    let found = reader(|x| async move {
        let before = x.load(Order::Relaxed).await;
        let _outer = Det::scope();
        let outer = x.load(Order::Relaxed).await;
        {
            let _inner = Det::scope();
            x.load(Order::Relaxed).await;
        }
        if before != outer {
            x.store(2, Order::Relaxed).await;
        }
    });
    assert!(found.exhaustive && found.counterexample.is_none());
}

#[test]
fn nested_and_consecutive_scopes_that_read_nothing_before_are_told_apart() {
    let found = reader(|x| async move {
        {
            let _outer = Det::scope();
            {
                let _inner = Det::scope();
                x.load(Order::Relaxed).await;
            }
            x.store(3, Order::Relaxed).await;
        }
        x.store(4, Order::Relaxed).await;
        {
            let _next = Det::scope();
            x.load(Order::Relaxed).await;
        }
        x.store(5, Order::Relaxed).await;
    });
    assert!(found.exhaustive && found.counterexample.is_none());
}

#[test]
#[should_panic(expected = "has not released its locks")]
fn a_scope_that_ends_with_a_lock_that_it_has_taken_is_detected() {
    reader(|_| async move {
        let lock = Det::lock("l");
        let _guard = {
            let _scope = Det::scope();
            lock.lock().await
        };
    });
}
