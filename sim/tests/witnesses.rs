//! Goal: each outcome has a witness that replays, and no shorter run ends with that outcome.
//!
//! Method: all outcomes of the small tests of the library, each on each of its kernels. Random runs look for
//! shorter ones.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;

use ifq_model::outcome::{Outcome, Value};
use ifq_model::revision::{Revision, Variant};
use ifq_model::test::Test;
use ifq_sim::commands::replay::replay;
use ifq_sim::executor::run::run_once;
use ifq_sim::executor::scheduler::Random;
use ifq_sim::format;
use ifq_sim::search::explore::{Limits, explore};
use ifq_sim::search::shortest_witness::{Witnesses, shortest_witnesses};

/// Number of states up to which a search without reductions is fast enough for a test.
const SMALL: u64 = 2_000;

fn library() -> impl Iterator<Item = Test> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
    let tests = format::test_files(folder).unwrap().into_iter();
    // A search with a schedule does not find the shortest runs.
    tests.map(|path| format::load(path).unwrap()).filter(|test| test.schedule.is_none())
}

fn witnesses(test: &Test, variant: &Variant, outcomes: &BTreeSet<Outcome>) -> Witnesses {
    shortest_witnesses(test, variant, outcomes, &Limits::default(), &mut |_| {})
}

#[test]
fn every_outcome_of_the_library_has_a_witness_that_replays_and_is_a_valid_file() {
    let mut count = 0;
    for test in library() {
        for variant in test.variants().into_iter().filter(|v| test.expected(v).is_none()) {
            let seen = explore(&test, &variant, &Limits::default(), &mut |_| {});
            if seen.states > SMALL {
                continue;
            }
            let found = witnesses(&test, &variant, &seen.outcomes);
            let shown: BTreeSet<Outcome> =
                found.witnesses.iter().map(|w| w.outcome.clone()).collect();
            assert!(found.exact);
            assert_eq!(shown, seen.outcomes, "{} on {variant}", test.name);
            for witness in &found.witnesses {
                assert!(witness.replays(&test, &variant), "{} on {variant}", test.name);
                let file = witness.in_test(&test, &variant);
                assert_eq!(format::parse("witness.ifq", &format::print(&file)).unwrap(), file);
                assert!(file.conditions.iter().all(|c| c.agrees(&file, &witness.outcome)));
                let schedule = file.schedule.as_ref().expect("a schedule");
                assert!(schedule.switches().is_some(), "{} on {variant}", test.name);
                let again = replay(&Rc::new(file.clone()), schedule);
                assert_eq!(again.run.decisions, witness.decisions, "{} on {variant}", test.name);
                assert_eq!(again.run.outcome.as_ref(), Some(&witness.outcome));
                count += 1;
            }
        }
    }
    assert!(count > 500, "only {count} witnesses");
}

#[test]
fn no_random_run_is_shorter_than_the_witness_of_its_outcome() {
    let mut compared = 0;
    for test in library().filter(|test| !test.threads.is_empty()) {
        let Some(variant) = test.variants().into_iter().rev().find(|v| test.expected(v).is_none())
        else {
            continue;
        };
        let seen = explore(&test, &variant, &Limits::default(), &mut |_| {});
        if seen.states > SMALL {
            continue;
        }
        let found = witnesses(&test, &variant, &seen.outcomes);
        let program = Rc::new(test.clone());
        for seed in 0..40 {
            let run = run_once(&program, &variant, Box::new(Random::new(seed)));
            let Some(outcome) = run.outcome else { continue };
            let witness = found.of(&outcome).expect("every outcome has a witness");
            assert!(witness.steps <= run.steps, "{} on {variant}: {outcome:?}", test.name);
            compared += 1;
        }
    }
    assert!(compared > 1_000, "only {compared} runs");
}

fn race() -> (Test, Variant) {
    let text = "test t\nrevision import-7.3\nring A B\nsetup\n\
                ifq = A: register nodev buffers=1 entries=1\nbox = A: export ifq\n\
                thread a\nx = close box\nthread b\ny = B: import box\nobserve y\nexpect holds\n";
    (format::parse("t.ifq", text).unwrap(), Variant::of(Revision::Import73))
}

#[test]
fn an_impossible_outcome_has_no_witness_and_the_search_says_that_it_is_complete() {
    let (test, variant) = race();
    let impossible = BTreeSet::from([Outcome(vec![Value::Number(7)])]);
    let found = witnesses(&test, &variant, &impossible);
    assert!(found.exact && found.witnesses.is_empty() && found.shortest().is_none());
}

#[test]
fn a_search_that_a_limit_ends_is_not_exact() {
    let (test, variant) = race();
    let impossible = BTreeSet::from([Outcome(vec![Value::Number(7)])]);
    let limits = Limits { max_states: 5, ..Limits::default() };
    let found = shortest_witnesses(&test, &variant, &impossible, &limits, &mut |_| {});
    assert!(!found.exact && found.witnesses.is_empty());
}
