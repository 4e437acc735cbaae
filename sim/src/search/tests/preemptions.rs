//! Preemption-bounded search.
//!
//! Method: two threads append digits to a word, which shows the order of their steps.

use std::rc::Rc;

use ifq_model::outcome::Outcome;
use ifq_model::platform::{AtomicWord, Order, Platform, Rmw, WaitWord};

use super::{Main, numbers, program, spawn};
use crate::executor::Det;
use crate::search::explore::{Exploration, Limits, search};

/// Two threads append their numbers to a word, twice each.
fn two_writers() -> Main {
    Box::pin(async {
        let (order, ended) =
            (Rc::new(Det::atomic("order", 0)), Rc::new(Det::wait_queue("ended", 0)));
        for slot in [1_u32, 2] {
            let (order, ended) = (order.clone(), ended.clone());
            spawn(slot, async move {
                for _ in 0..2 {
                    let digit = if order.load(Order::Relaxed).await == 0 { 1 } else { 10 };
                    order.rmw(Rmw::Add(u64::from(slot) * digit), Order::Relaxed).await;
                }
                ended.rmw_in_step(Rmw::Add(1));
            });
        }
        ended.wait_event(2).await;
        numbers(&[order.load(Order::Relaxed).await])
    })
}

fn explored(preemptions: u32, sequential_states: u64) -> Exploration {
    let limits = Limits { preemptions: Some(preemptions), sequential_states, ..Limits::default() };
    search(&program(&two_writers), &limits, &mut |_| {})
}

#[test]
fn the_start_of_a_thread_is_not_a_preemption() {
    let none = explored(0, 50_000);
    // Without preemptions: first 2 and 20, then twice 10; or first 1 and 10, then twice 20.
    let set: Vec<Outcome> = none.outcomes.into_iter().collect();
    assert_eq!(set, [numbers(&[42]), numbers(&[51])]);
}

#[test]
fn a_higher_bound_reaches_more_states_until_all_are_reached() {
    let counts: Vec<u64> = (0..8).map(|bound| explored(bound, 50_000).states).collect();
    assert!(counts[..3].windows(2).all(|two| two[0] < two[1]), "{counts:?}");
    assert_eq!(counts[6], counts[7]);
    assert!(explored(7, 50_000).exhaustive && !explored(1, 50_000).exhaustive);
}

#[test]
fn a_bounded_search_counts_the_same_states_sequentially_and_in_parallel() {
    for bound in 0..4 {
        assert_eq!(explored(bound, 50_000).states, explored(bound, 10).states, "{bound}");
    }
}
