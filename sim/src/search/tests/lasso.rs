//! Infinite runs.
//!
//! Method: programs with a lasso, fair or unfair, are searched, and their counterexamples are replayed.

use std::rc::Rc;

use ifq_model::invariant::Invariant;
use ifq_model::platform::{AtomicWord, Order, Platform, Rmw};

use super::{Main, numbers, spawn};
use crate::executor::Det;
use crate::executor::counterexample::Counterexample;
use crate::executor::run::{Program, RunResult, run};
use crate::executor::scheduler::Replay;
use crate::report::table::{Layout, render};
use crate::search::explore::{Exploration, Limits, search};

/// Cycles of up to five steps are found.
const LASSO_FROM: u64 = 1 << 10;

fn program(main: &dyn Fn() -> Main) -> Program<'_> {
    Program { lasso_from: LASSO_FROM, ..super::program(main) }
}

fn explored(main: &dyn Fn() -> Main, persistent_sets: bool) -> Exploration {
    let limits = Limits { persistent_sets, max_states: 200_000, ..Limits::default() };
    search(&program(main), &limits, &mut |_| {})
}

fn replayed(main: &dyn Fn() -> Main, found: &Counterexample, traced: bool) -> RunResult {
    run(&program(main), Box::new(Replay::new(&found.decisions)), traced)
}

/// Two threads that write a word forever, once a third one has set a flag: a livelock.
fn livelock() -> Main {
    Box::pin(async {
        let words = || [Det::atomic("flag", 0), Det::atomic("turn", 0)];
        let words = Rc::new(words());
        for slot in [1, 2] {
            let words = words.clone();
            spawn(slot, async move {
                while words[0].load(Order::Relaxed).await == 1 {
                    words[1].store(slot.into(), Order::Relaxed).await;
                }
            });
        }
        spawn(3, async move { words[0].store(1, Order::Relaxed).await });
        numbers(&[])
    })
}

#[test]
fn a_livelock_violates_i4_and_its_trace_shows_one_period() {
    for persistent_sets in [false, true] {
        let found = explored(&livelock, persistent_sets).counterexample.expect("there is no end");
        assert_eq!(found.violation.invariant, Invariant::I4);
        assert!(found.violation.what.contains("repeat forever"), "{}", found.violation);
        assert!(found.steps >= LASSO_FROM);
        let replay = replayed(&livelock, &found, false);
        assert_eq!((replay.failure(), replay.steps), (Some(found.violation.clone()), found.steps));
        let traced = replayed(&livelock, &found, true);
        assert_eq!(traced.failure(), Some(found.violation.clone()));
        let trace = traced.trace.expect("it was asked for");
        let lasso_period = traced.lasso_period.expect("it is a lasso");
        let from = trace.repeats_from.expect("it is folded");
        assert_eq!(trace.events.len(), from + lasso_period as usize);
        assert!(trace.events.len() < 60, "{} steps are shown", trace.events.len());
        let table = render(&trace, Some(&found.violation), Layout { width: 80, full: true });
        assert!(table.contains("repeat forever: I4"), "{table}");
    }
}

/// One thread spins until another one sets a flag.
fn unfair_spin() -> Main {
    Box::pin(async {
        let flag = Rc::new(Det::atomic("flag", 0));
        let raised = flag.clone();
        spawn(1, async move { while flag.load(Order::Relaxed).await == 0 {} });
        spawn(2, async move { raised.store(1, Order::Relaxed).await });
        numbers(&[])
    })
}

#[test]
fn an_unfair_spin_is_not_a_violation_and_truncates_the_path() {
    for persistent_sets in [false, true] {
        let found = explored(&unfair_spin, persistent_sets);
        assert_eq!(found.counterexample, None);
        assert!(found.truncated_paths > 0 && !found.exhaustive);
        assert!(found.states < 10 * LASSO_FROM, "{} states", found.states);
        assert_eq!(found.outcomes.len(), 1);
    }
}

/// A thread that spins for a value that no thread writes.
fn hopeless_spin() -> Main {
    Box::pin(async {
        let flag = Rc::new(Det::atomic("flag", 0));
        let other = flag.clone();
        spawn(1, async move { while flag.load(Order::Relaxed).await < 2 {} });
        spawn(2, async move {
            other.rmw(Rmw::Add(1), Order::Relaxed).await;
        });
        numbers(&[])
    })
}

#[test]
fn a_spin_that_no_thread_can_end_violates_i4() {
    for persistent_sets in [false, true] {
        let found = explored(&hopeless_spin, persistent_sets);
        let found = found.counterexample.expect("there is no end");
        assert_eq!(found.violation.invariant, Invariant::I4);
        assert!(
            found.violation.what.contains("the same step repeats forever"),
            "{}",
            found.violation
        );
        assert_eq!(replayed(&hopeless_spin, &found, false).failure(), Some(found.violation));
    }
}

/// A long run without a repeated state.
fn long() -> Main {
    Box::pin(async {
        let x = Det::atomic("x", 0);
        while x.rmw(Rmw::Add(1), Order::Relaxed).await < 3 * LASSO_FROM {}
        numbers(&[])
    })
}

#[test]
fn a_long_finite_run_is_searched_to_its_end() {
    let found = explored(&long, true);
    assert!(found.exhaustive && found.outcomes.len() == 1, "{found:?}");
}
