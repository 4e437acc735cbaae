//! Runs without end: which loops break I4.

use ifq_model::invariant::Invariant;
use ifq_model::platform::{AtomicWord, Order, Platform};

use super::{Cells, Main, cells, explore_alone, numbers, two, violated};
use crate::det::Det;

/// Raises its flag, and takes it back as long as the other one's is up.
async fn after_you(c: &Cells, mine: usize, other: usize) {
    loop {
        c[mine].store(1, Order::Relaxed).await;
        if c[other].load(Order::Relaxed).await == 0 {
            break;
        }
        c[mine].store(0, Order::Relaxed).await;
    }
    c[mine].store(0, Order::Relaxed).await;
}

#[test]
fn two_threads_that_give_way_to_each_other_for_ever_break_i4() {
    let program = two(
        cells,
        |c| async move { after_you(&c, 0, 1).await },
        |c| async move { after_you(&c, 1, 0).await },
        |_| async { Vec::new() },
    );
    let found = explore_alone(&program);
    assert_eq!(violated(&found), Some(Invariant::I4));
    let what = found.counterexample.unwrap().violation.what;
    assert!(what.contains("repeat for ever"), "{what}");
}

#[test]
fn a_thread_alone_in_a_loop_breaks_i4() {
    let program = || -> Main {
        Box::pin(async {
            let x = Det::atomic("x", 0);
            while x.load(Order::Relaxed).await == 0 {}
            numbers(&[])
        })
    };
    assert_eq!(violated(&explore_alone(&program)), Some(Invariant::I4));
}

#[test]
fn a_loop_that_ends_when_another_thread_has_its_turn_breaks_nothing() {
    let program = two(
        cells,
        |c| async move { while c[0].load(Order::Relaxed).await == 0 {} },
        |c| async move { c[0].store(1, Order::Relaxed).await },
        |_| async { Vec::new() },
    );
    let found = explore_alone(&program);
    assert_eq!(found.counterexample, None);
    assert!(found.cut > 0 && !found.exhaustive, "the loop is not searched to its end");
    assert_eq!(found.outcomes, [numbers(&[])].into());
}
