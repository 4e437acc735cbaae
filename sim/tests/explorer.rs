//! Goal: the visited set changes nothing but the time, counterexamples replay, and runs are a function of
//! their seed.
//!
//! Method: the explorer, the reference search, and replays on whole tests.

use std::path::Path;
use std::rc::Rc;

use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::test::Test;
use ifq_sim::executor::run::{run_once, run_traced};
use ifq_sim::executor::scheduler::{Random, Replay};
use ifq_sim::format::{load, parse};
use ifq_sim::search::explore::{Limits, explore};
use ifq_sim::search::reference;

fn library(name: &str) -> Test {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
    load(folder.join(name).with_extension("ifq")).unwrap()
}

fn unmodified() -> Variant {
    Variant::of(Revision::Import73)
}

fn early_put() -> Variant {
    Variant::with(Revision::Import73, &[Defect::EarlyPut])
}

/// Small enough for the reference search: two packets race.
const SMALL: &str = "test packets-race
about A packet and the end of the stream arrive at the same time.
revision import-7.3
ring A
socket s
thread a
    x = s: send 128
thread b
    y = s: shutdown
observe x y
expect holds
";

#[test]
fn the_visited_set_preserves_the_outcomes_of_the_search_without_one() {
    let test = parse("packets-race", SMALL).unwrap();
    let found = explore(&test, &unmodified(), &Limits::default(), &mut |_| {});
    let limits = Limits { remember_states: false, max_states: 100_000, ..Limits::default() };
    let without_visited_set = explore(&test, &unmodified(), &limits, &mut |_| {});
    let reference_result = reference::explore(&test, &unmodified(), &limits);
    for seen in [&without_visited_set, &reference_result] {
        assert!(seen.exhaustive, "{} states", seen.states);
        assert_eq!(found.outcomes, seen.outcomes);
    }
    assert!(found.exhaustive);
    assert_eq!(found.outcomes.len(), 2);
    assert!(found.transitions < without_visited_set.transitions);
}

#[test]
fn a_search_counts_the_same_each_time() {
    let test = library("import/box-close-races-with-import");
    let first = explore(&test, &unmodified(), &Limits::default(), &mut |_| {});
    let second = explore(&test, &unmodified(), &Limits::default(), &mut |_| {});
    assert_eq!(first.states, second.states);
    assert_eq!(first.transitions, second.transitions);
    assert_eq!(first.steps, second.steps);
    assert_eq!(first.outcomes, second.outcomes);
}

#[test]
fn a_search_that_reaches_a_limit_is_not_exhaustive() {
    let limits = Limits { max_states: 50, ..Limits::default() };
    let found = explore(&library("teardown/exits-race"), &unmodified(), &limits, &mut |_| {});
    assert!(!found.exhaustive);
    assert!(found.states <= 50);
    assert_eq!(found.counterexample, None);
}

#[test]
fn a_counterexample_replays_exactly() {
    let test = library("teardown/exits-race");
    let found = explore(&test, &early_put(), &Limits::default(), &mut |_| {});
    let cex = found.counterexample.expect("early-put breaks I1");
    let test = Rc::new(test);
    let replay = || run_traced(&test, &early_put(), Box::new(Replay::new(&cex.decisions)));
    let (first, second) = (replay(), replay());
    assert_eq!(first, second);
    assert_eq!(first.violation.as_ref(), Some(&cex.violation));
    assert_eq!(first.decisions, cex.decisions);
    assert_eq!(first.steps, cex.steps);
}

#[test]
fn a_replay_of_an_impossible_schedule_reports_the_divergence() {
    let test = Rc::new(library("teardown/exits-race"));
    let replay = Replay::new(&[0, 7]);
    let diverged = replay.diverged();
    let run = run_once(&test, &unmodified(), Box::new(replay));
    assert_eq!(diverged.get(), Some(1));
    assert_eq!(run.outcome, None);
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    let test = Rc::new(library("import/import-races-with-owner-exit"));
    let run = |seed| run_traced(&test, &unmodified(), Box::new(Random::new(seed)));
    assert_eq!(run(5), run(5));
    assert_ne!(run(5).decisions, run(6).decisions);
}

#[test]
fn random_runs_stay_inside_the_explored_outcomes() {
    for name in ["import/box-close-races-with-import", "faults/register-fails-cleanly"] {
        let test = library(name);
        let allowed = explore(&test, &unmodified(), &Limits::default(), &mut |_| {}).outcomes;
        let test = Rc::new(test);
        for seed in 0..300 {
            let run = run_once(&test, &unmodified(), Box::new(Random::new(seed)));
            assert_eq!(run.violation, None);
            assert!(allowed.contains(&run.outcome.expect("a run ends with an outcome")));
        }
    }
}
