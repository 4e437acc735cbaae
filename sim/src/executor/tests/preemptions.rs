//! Searches of runs with few preemptions.

use std::rc::Rc;

use ifq_model::outcome::Outcome;
use ifq_model::platform::{AtomicWord, Order, Platform, Rmw, WaitWord};

use super::{Main, numbers, program, spawn};
use crate::executor::Det;
use crate::search::explore::{Exploration, Limits, search};

/// Two threads write their numbers behind one another into a word, twice each.
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

fn explored(preemptions: u32, small: u64) -> Exploration {
    let limits = Limits { preemptions: Some(preemptions), small, ..Limits::default() };
    search(&program(&two_writers), &limits, &mut |_| {})
}

#[test]
fn who_starts_threads_is_not_preempted_by_their_start() {
    let none = explored(0, 50_000);
    // One after the other: first 2 and 20, then twice 10; or first 1 and 10, then twice 20.
    let set: Vec<Outcome> = none.outcomes.into_iter().collect();
    assert_eq!(set, [numbers(&[42]), numbers(&[51])]);
}

#[test]
fn more_preemptions_show_more_states_until_there_are_no_more() {
    let counts: Vec<u64> = (0..8).map(|most| explored(most, 50_000).states).collect();
    assert!(counts[..3].windows(2).all(|two| two[0] < two[1]), "{counts:?}");
    assert_eq!(counts[6], counts[7]);
    assert!(explored(7, 50_000).exhaustive && !explored(1, 50_000).exhaustive);
}

#[test]
fn a_bounded_search_counts_the_same_states_however_it_is_prepared() {
    for most in 0..4 {
        assert_eq!(explored(most, 50_000).states, explored(most, 10).states, "{most}");
    }
}
