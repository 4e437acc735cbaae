//! Goal: what the explorer leaves out changes neither the verdict nor what user space can see.
//!
//! Method: each small file of the library on each of its kernels, by the plain search on the futures
//! themselves, by the tables without reductions, with each of them, with all, and by two processors.
//! Large searches go another way than small ones: here they begin at 300 states.

use std::collections::BTreeSet;
use std::path::PathBuf;

use ifq_model::invariant::Invariant;
use ifq_model::outcome::Outcome;
use ifq_model::revision::Variant;
use ifq_model::scenario::Test;
use ifq_sim::explore::{Exploration, Limits, explore};
use ifq_sim::{file, reference};

/// States up to which the plain search is quick enough for a test.
const SMALL: u64 = 3_000;

fn library() -> impl Iterator<Item = (Test, Variant)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().flat_map(|path| {
        let test = file::load(path).unwrap();
        let variants = test.variants();
        variants.into_iter().map(move |variant| (test.clone(), variant))
    })
}

/// What must not depend on how it was searched. A search ends with a violation: the outcomes that it
/// saw before are those of its order.
fn essence(found: Exploration) -> (Option<Invariant>, Option<BTreeSet<Outcome>>) {
    let broken = found.counterexample.map(|c| c.violation.invariant);
    (broken, broken.is_none().then_some(found.outcomes))
}

fn none() -> Limits {
    Limits { persistent_sets: false, sleep_sets: false, ..Limits::default() }
}

fn ways() -> Vec<(&'static str, Limits)> {
    let large = Limits { small: 300, ..Limits::default() };
    vec![
        ("no reduction", none()),
        ("persistent sets", Limits { persistent_sets: true, ..none() }),
        ("sleep sets", Limits { sleep_sets: true, ..none() }),
        ("both", Limits { persistent_sets: true, sleep_sets: true, ..none() }),
        ("a large search", large),
        ("a large search with sleep sets", Limits { sleep_sets: true, ..large }),
        ("two processors", Limits { workers: 2, ..large }),
        ("two processors, no reduction", Limits { workers: 2, persistent_sets: false, ..large }),
    ]
}

#[test]
fn every_way_to_search_gives_the_verdict_and_the_outcomes_of_the_plain_search() {
    let mut compared = 0;
    for (test, variant) in library() {
        let limits = Limits { max_states: SMALL, ..Limits::default() };
        let plain = reference::explore(&test, &variant, &limits);
        if plain.counterexample.is_none() && !plain.exhaustive {
            continue;
        }
        let plain = essence(plain);
        for (way, limits) in ways() {
            let found = essence(explore(&test, &variant, &limits, &mut |_| {}));
            assert_eq!(found, plain, "{} on {variant}: {way}", test.name);
        }
        compared += 1;
    }
    assert!(compared > 250, "only {compared} searches are small");
}

#[test]
fn sleep_sets_leave_out_no_state_and_persistent_sets_some() {
    let (mut plain, mut asleep, mut persistent) = (0, 0, 0);
    for (test, variant) in library().filter(|(test, variant)| test.expected(variant).is_none()) {
        let explore = |limits: Limits| explore(&test, &variant, &limits, &mut |_| {});
        let all = explore(none());
        let sleeping = explore(Limits { sleep_sets: true, ..none() });
        assert_eq!(sleeping.states, all.states, "{} on {variant}", test.name);
        assert!(sleeping.transitions <= all.transitions, "{} on {variant}", test.name);
        plain += all.transitions;
        asleep += sleeping.transitions;
        persistent += explore(Limits { persistent_sets: true, ..none() }).transitions;
    }
    assert!(asleep * 3 < plain * 2, "{asleep} of {plain} transitions");
    assert!(persistent * 3 < plain, "{persistent} of {plain} transitions");
}

#[test]
fn two_processors_count_what_one_counts() {
    for (test, variant) in library().filter(|(test, variant)| test.expected(variant).is_none()) {
        for persistent_sets in [false, true] {
            let one = Limits { small: 300, persistent_sets, ..Limits::default() };
            let [one, two] = [one, Limits { workers: 2, ..one }]
                .map(|limits| explore(&test, &variant, &limits, &mut |_| {}));
            let counts = |e: &Exploration| (e.states, e.transitions, e.passes);
            assert_eq!(counts(&one), counts(&two), "{} on {variant}", test.name);
        }
    }
}

#[test]
fn without_a_bound_on_preemptions_that_matters_the_bounded_search_is_complete() {
    for (test, variant) in library().filter(|(test, variant)| test.expected(variant).is_none()) {
        let plain = explore(&test, &variant, &none(), &mut |_| {});
        if plain.states > SMALL {
            continue;
        }
        let bounded = |preemptions| Limits { preemptions: Some(preemptions), ..none() };
        let all = explore(&test, &variant, &bounded(u32::MAX), &mut |_| {});
        assert!(all.exhaustive);
        assert_eq!(all.outcomes, plain.outcomes, "{} on {variant}", test.name);
        let few = explore(&test, &variant, &bounded(0), &mut |_| {});
        assert!(few.outcomes.is_subset(&plain.outcomes), "{} on {variant}", test.name);
        assert!(few.transitions <= plain.transitions);
    }
}
