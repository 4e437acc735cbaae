//! Sleep sets lose no state: programs in which a step depends on another one in an indirect way.

use std::rc::Rc;

use ifq_model::platform::{AtomicWord, Order, Platform, Rmw, WaitWord};

use super::{Main, numbers, program, spawn};
use crate::executor::Det;
use crate::search::exploration::Exploration;
use crate::search::explore::{Limits, search};
use crate::symmetry::Symmetries;

/// Checks that sleep sets change neither states nor outcomes, and returns what the search finds.
fn explore_with_sleep_sets(main: &dyn Fn() -> Main) -> Exploration {
    let plain = Limits {
        persistent_sets: false,
        sleep_sets: false,
        symmetry: Symmetries::NONE,
        ..Limits::default()
    };
    let explore = |limits| search(&program(main), &limits, &mut |_| {});
    let all = explore(plain);
    let with_sleep_sets = explore(Limits { sleep_sets: true, ..plain });
    assert!(all.exhaustive && with_sleep_sets.exhaustive);
    assert_eq!(with_sleep_sets.outcomes, all.outcomes);
    assert_eq!(with_sleep_sets.states, all.states);
    assert!(with_sleep_sets.transitions < all.transitions, "no step sleeps");
    with_sleep_sets
}

/// Threads raise and lower a counter that another thread waits for. The first run does not lower it, so
/// the search learns late that the word is a counter.
#[test]
fn a_thread_that_waits_for_a_counter_does_not_sleep_when_the_counter_falls() {
    let main = || -> Main {
        Box::pin(async move {
            let counter = Rc::new(Det::wait_queue("counter", 1));
            let (x, y) = (Rc::new(Det::atomic("x", 0)), Rc::new(Det::atomic("y", 0)));
            let seen = Rc::new(Det::atomic("seen", 0));
            let done = Rc::new(Det::wait_queue("done", 0));
            spawn(1, {
                let (counter, x, seen, done) =
                    (counter.clone(), x.clone(), seen.clone(), done.clone());
                async move {
                    seen.store_in_step(counter.wait_event(1).await);
                    x.store(1, Order::Relaxed).await;
                    done.rmw_in_step(Rmw::Add(1));
                }
            });
            spawn(2, {
                let (counter, x, done) = (counter.clone(), x.clone(), done.clone());
                async move {
                    if x.load(Order::Relaxed).await == 0 {
                        counter.add_in_step(Rmw::Sub(1));
                    }
                    done.rmw_in_step(Rmw::Add(1));
                }
            });
            spawn(3, {
                let (counter, done) = (counter.clone(), done.clone());
                async move {
                    // The first load depends on nothing, so that it can sleep.
                    y.load(Order::Relaxed).await;
                    y.load(Order::Relaxed).await;
                    counter.add_in_step(Rmw::Add(2));
                    done.rmw_in_step(Rmw::Add(1));
                }
            });
            done.wait_event(3).await;
            numbers(&[seen.load_in_step()])
        })
    };
    assert_eq!(explore_with_sleep_sets(&main).outcomes.len(), 3, "before, between and after both");
}

/// A thread that a step spawns runs to its first scheduling point at once. What it does there belongs to the step.
#[test]
fn a_step_does_not_sleep_after_one_that_depends_on_a_thread_that_it_starts() {
    let main = || -> Main {
        Box::pin(async move {
            let (x, y) = (Rc::new(Det::atomic("x", 0)), Rc::new(Det::atomic("y", 0)));
            let seen = Rc::new(Det::atomic("seen", 0));
            let done = Rc::new(Det::wait_queue("done", 0));
            spawn(1, {
                let (x, y, done) = (x.clone(), y.clone(), done.clone());
                async move {
                    y.load(Order::Relaxed).await;
                    spawn(3, async move {
                        x.store_in_step(1);
                        y.load(Order::Relaxed).await;
                        done.rmw(Rmw::Add(1)).await;
                    });
                }
            });
            spawn(2, {
                let (x, y, seen, done) = (x.clone(), y.clone(), seen.clone(), done.clone());
                async move {
                    seen.store_in_step(x.load(Order::Relaxed).await);
                    y.load(Order::Relaxed).await;
                    done.rmw(Rmw::Add(1)).await;
                }
            });
            done.wait_event(2).await;
            numbers(&[seen.load_in_step()])
        })
    };
    assert_eq!(explore_with_sleep_sets(&main).outcomes.len(), 2);
}
