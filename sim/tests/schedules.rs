//! Goal: a schedule in words repeats exactly the run that it was made from, and a search with a schedule sees exactly the
//! runs that match.
//!
//! Method: the counterexamples of the whole library, and random runs of it, become files that are parsed and replayed.

use std::path::PathBuf;
use std::rc::Rc;

use ifq_model::revision::Variant;
use ifq_model::test::Test;
use ifq_sim::commands::replay::replay;
use ifq_sim::executor::counterexample::Counterexample;
use ifq_sim::executor::run::run_once;
use ifq_sim::executor::schedule::switches;
use ifq_sim::executor::scheduler::Random;
use ifq_sim::format;
use ifq_sim::search::explore::{Limits, explore};

fn library() -> impl Iterator<Item = Test> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
    let tests = format::test_files(folder).unwrap().into_iter();
    // Files that have a schedule of their own are about matching.
    tests.map(|path| format::load(path).unwrap()).filter(|test| test.schedule.is_none())
}

/// The file of a counterexample, after printing and parsing.
fn stored(test: &Test, variant: &Variant, found: &Counterexample) -> Test {
    let file = found.in_test(test, variant);
    let text = format::print(&file);
    let parsed = format::parse("stored.ifq", &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(parsed, file, "{text}");
    parsed
}

#[test]
fn every_counterexample_of_the_library_in_words_replays_to_the_same_violation() {
    let (mut count, mut lines) = (0, 0);
    for test in library() {
        for variant in test.variants().into_iter().filter(|v| test.expected(v).is_some()) {
            let seen = explore(&test, &variant, &Limits::default(), &mut |_| {});
            let found = seen.counterexample.expect("the expected violation");
            let file = Rc::new(stored(&test, &variant, &found));
            let schedule = file.schedule.as_ref().expect("a schedule");
            let text = format::print(&file);
            lines += schedule.switches().unwrap_or_else(|| panic!("no words: {text}")).len();
            let again = replay(&file, schedule);
            assert_eq!(again.variant, variant);
            assert_eq!(again.unfollowed, None, "{text}");
            assert_eq!(again.run.violation.as_ref(), Some(&found.violation), "{text}");
            assert_eq!(again.run.decisions, found.decisions, "{text}");
            count += 1;
        }
    }
    println!("{count} counterexamples, {lines} lines");
    assert!(count > 100, "only {count} counterexamples");
}

#[test]
fn a_random_run_in_words_replays_to_the_same_outcome() {
    let mut count = 0;
    for test in library().filter(|test| test.threads.len() > 1) {
        let Some(variant) = test.variants().into_iter().rev().find(|v| test.expected(v).is_none())
        else {
            continue;
        };
        let program = Rc::new(test.clone());
        for seed in 0..4 {
            let run = run_once(&program, &variant, Box::new(Random::new(seed)));
            if run.outcome.is_none() {
                continue;
            }
            let words = switches(&test, &variant, &run.decisions);
            let words = words.unwrap_or_else(|| panic!("{} on {variant}, seed {seed}", test.name));
            let (again, deviation) =
                ifq_sim::executor::schedule::run_following(&program, &variant, &words);
            assert_eq!(deviation, None);
            assert_eq!(again, run, "{} on {variant}, seed {seed}", test.name);
            count += 1;
        }
    }
    assert!(count > 500, "only {count} runs");
}
