//! The length of runs: shortest counterexamples, and the maximum number of steps.
//!
//! Method: programs whose steps can be counted. The start of a thread is one step, and so is every access.

use ifq_model::invariant::Invariant;
use ifq_model::platform::{AtomicWord, Order, Platform, Rmw};

use super::{Main, numbers, spawn};
use crate::executor::Det;
use crate::executor::run::{MAX_STEPS, Program, run};
use crate::executor::scheduler::Random;
use crate::search::explore::{Exploration, Limits, search};
use crate::search::shortest::{self, Shortest};

fn program(main: &dyn Fn() -> Main, max_steps: u64) -> Program<'_> {
    Program { max_steps, ..super::program(main) }
}

fn shortest(main: &dyn Fn() -> Main, wanted: Option<Invariant>, limits: &Limits) -> Shortest {
    shortest::search(&program(main, MAX_STEPS), wanted, limits, &mut |_| {})
}

fn fail(invariant: Invariant) {
    Det::violation(invariant, format_args!("on purpose"));
}

/// One thread reads a flag that another sets after three steps, and a third one after two.
fn two_paths() -> Main {
    Box::pin(async {
        let flag = std::rc::Rc::new(Det::atomic("flag", 0));
        let own = std::rc::Rc::new(Det::atomic("own", 0));
        for (slot, steps) in [(1, 2), (2, 3)] {
            let (flag, own) = (flag.clone(), own.clone());
            spawn(slot, async move {
                for _ in 1..steps {
                    own.rmw(Rmw::Add(1), Order::Relaxed).await;
                }
                flag.store(1, Order::Relaxed).await;
            });
        }
        spawn(3, async move {
            if flag.load(Order::Relaxed).await == 1 {
                fail(Invariant::I9);
            }
        });
        numbers(&[])
    })
}

#[test]
fn the_shortest_of_two_counterexamples_is_found() {
    let found = shortest(&two_paths, None, &Limits::default());
    let shortest = found.counterexample.expect("the flag is seen");
    // Four starts, two steps of the first thread, one read.
    assert_eq!(shortest.steps, 4 + 2 + 1);
    assert!(found.exact);
    let first = search(&program(&two_paths, MAX_STEPS), &Limits::default(), &mut |_| {});
    let first = first.counterexample.expect("the explorer finds one, too");
    assert!(first.steps > shortest.steps, "there is something to shorten");
}

/// The second thread reaches the same state on a longer and on a shorter path, the longer one first.
fn detour() -> Main {
    Box::pin(async {
        let words = || std::rc::Rc::new([Det::atomic("x", 0), Det::atomic("y", 0)]);
        let (words, own) = (words(), Det::atomic("own", 0));
        let theirs = words.clone();
        spawn(1, async move { theirs[0].store(1, Order::Relaxed).await });
        spawn(2, async move {
            if words[0].load(Order::Relaxed).await == 0 {
                words[1].store(1, Order::Relaxed).await;
                words[1].store(0, Order::Relaxed).await;
            }
            Det::op_boundary();
            own.store(1, Order::Relaxed).await;
            if words[0].load(Order::Relaxed).await == 1 {
                fail(Invariant::I9);
            }
        });
        numbers(&[])
    })
}

#[test]
fn a_state_that_is_reached_again_with_fewer_steps_is_expanded_again() {
    let found = shortest(&detour, None, &Limits::default());
    // Three starts, the store, then three steps without the detour.
    assert_eq!(found.counterexample.expect("the store is seen").steps, 3 + 1 + 3);
    assert!(found.exact);
}

#[test]
fn only_the_wanted_invariant_counts() {
    let either = || -> Main {
        Box::pin(async {
            let x = std::rc::Rc::new(Det::atomic("x", 0));
            let other = x.clone();
            spawn(1, async move { other.store(1, Order::Relaxed).await });
            spawn(2, async move {
                let first = x.load(Order::Relaxed).await == 0;
                fail(if first { Invariant::I8 } else { Invariant::I9 });
            });
            numbers(&[])
        })
    };
    let steps = |wanted| shortest(&either, wanted, &Limits::default()).counterexample;
    assert_eq!(steps(None).map(|c| c.steps), Some(3 + 1));
    assert_eq!(steps(Some(Invariant::I9)).map(|c| c.steps), Some(3 + 1 + 1));
    let none = shortest(&either, Some(Invariant::I1), &Limits::default());
    assert_eq!(none.counterexample, None);
    assert!(none.exact && none.other.is_some());
}

#[test]
fn a_search_that_reaches_a_limit_is_not_exact() {
    let limits = Limits { max_states: 3, ..Limits::default() };
    assert!(!shortest(&two_paths, None, &limits).exact);
}

fn counting_to(end: u64) -> impl Fn() -> Main {
    move || {
        Box::pin(async move {
            let x = Det::atomic("x", 0);
            while x.rmw(Rmw::Add(1), Order::Relaxed).await + 1 < end {}
            numbers(&[end])
        })
    }
}

fn explored(main: &dyn Fn() -> Main, max_steps: u64) -> Exploration {
    search(&program(main, max_steps), &Limits::default(), &mut |_| {})
}

#[test]
fn a_run_of_too_many_steps_is_truncated_and_violates_i4() {
    let endless = counting_to(u64::MAX);
    let result = run(&program(&endless, 100), Box::new(Random::new(1)), false);
    assert!(result.step_limit_hit);
    assert_eq!((result.steps, result.outcome.as_ref()), (100, None));
    let failure = result.failure().expect("a violation");
    assert_eq!(failure.to_string(), "I4: no end after 100 steps");
    let found = explored(&endless, 100);
    assert_eq!((found.truncated_paths, found.exhaustive, found.counterexample), (1, false, None));
    assert!(
        !shortest::search(&program(&endless, 100), None, &Limits::default(), &mut |_| {}).exact
    );
}

#[test]
fn a_run_that_ends_with_its_last_step_is_not_truncated() {
    // One step is the start.
    let counting = counting_to(99);
    let result = run(&program(&counting, 100), Box::new(Random::new(1)), false);
    assert_eq!((result.steps, result.step_limit_hit, result.failure()), (100, false, None));
    assert!(result.outcome.is_some());
    assert!(explored(&counting, 100).exhaustive);
}
