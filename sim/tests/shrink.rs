//! Goal: shrinking makes a failing test and its run smaller, and keeps the violated invariant.
//!
//! Method: shrink every file of the library on every variant with a violation, and one test with many
//! unnecessary parts.

use std::path::Path;
use std::sync::LazyLock;

use ifq_model::revision::{Revision, Variant};
use ifq_model::test::Test;
use ifq_sim::commands::find_violation::find_violation;
use ifq_sim::commands::selection::Selection;
use ifq_sim::executor::counterexample::Counterexample;
use ifq_sim::format::{load, parse, print, test_files, validate};
use ifq_sim::search::explore::{Limits, explore};
use ifq_sim::shrink::{Length, STATES, Shrunk, Size, shrink, smaller};

fn library() -> Vec<Test> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
    test_files(folder).unwrap().iter().map(|path| load(path).unwrap()).collect()
}

fn find_violation_in(test: &Test, variant: &Variant) -> Option<Counterexample> {
    let limits = Limits { max_states: STATES, ..Limits::default() };
    explore(test, variant, &limits, &mut |_| {}).counterexample
}

fn shrink_run(test: &Test, variant: &Variant, found: &Counterexample) -> Shrunk {
    shrink(test, variant, found, &limits(STATES), &mut |_, _| {})
}

/// A file on a variant that violates an invariant, and what shrinking makes of it.
struct Case {
    test: Test,
    variant: Variant,
    found: Counterexample,
    shrunk: Shrunk,
}

/// Every file of the library on each variant with a violation, shrunk once for all tests.
static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let library = library();
    // Two threads take every other file, because files of one folder take a similar time.
    let half = |first: usize| {
        let tests = library.iter().skip(first).step_by(2);
        tests
            .flat_map(|test| test.variants().into_iter().map(move |variant| (test, variant)))
            .filter(|(test, variant)| test.expected(variant).is_some())
            .map(|(test, variant)| {
                let found = find_violation_in(test, &variant).expect("the expected violation");
                let shrunk = shrink_run(test, &variant, &found);
                Case { test: test.clone(), variant, found, shrunk }
            })
            .collect::<Vec<_>>()
    };
    let cases: Vec<Case> = std::thread::scope(|scope| {
        let second = scope.spawn(|| half(1));
        half(0).into_iter().chain(second.join().unwrap()).collect()
    });
    assert!(cases.len() > 50, "only {} variants have a violation", cases.len());
    cases
});

/// Two threads count one buffer twice. The test has no unnecessary part.
const RACE: &str = "test race
revision proxy-v1
ring A
socket t@0
queues 1
setup
    ifq = A: register queue=0 buffers=1 entries=1
    A: recv ifq t
    t: send 1
    c = A: wait
    return c to ifq
thread a
    A: exit
thread t
    t: send 1
observe nothing
expect violates I2
";

/// [`RACE`] with unnecessary rings, sockets, threads, steps, faults, numbers and names.
const PADDED: &str = "test race
revision proxy-v1
ring B with no-cqe32
ring A
ring C
socket s t@1 u
queues 2
setup
    own = B: register queue=0 buffers=3 entries=4 with resv
    ifq = A: register queue=1 buffers=1 entries=2
    r = A: recv ifq t len=100 after own
    t: send 100
    c = A: wait
    b = return c to ifq unlocked
thread c
    u: shutdown
    z = C: exit
thread a
    x = A: exit
thread t
    y = t: send 100
finally
    s: send 300
    e = B: exit after z
fault area-alloc copy-to-user max 2
expect holds
";

#[test]
fn shrinking_removes_unnecessary_parts() {
    let test = parse("padded", PADDED).unwrap();
    let race = parse("race", RACE).unwrap();
    let variant = Variant::of(Revision::ProxyV1);
    let found = find_violation_in(&test, &variant).expect("a violation");
    let shrunk = shrink_run(&test, &variant, &found);
    assert_eq!(shrunk.counterexample.violation.invariant, found.violation.invariant);
    let bare = Test { schedule: None, ..shrunk.test };
    assert_eq!(print(&bare), print(&race));
}

#[test]
fn the_result_is_valid_and_smaller_and_its_run_replays_to_the_same_violation() {
    for Case { test, variant, found, shrunk } in CASES.iter() {
        let small = &shrunk.test;
        assert_eq!(shrunk.counterexample.violation.invariant, found.violation.invariant);
        assert!(Size::of(small) <= Size::of(test), "{} on {variant}", test.name);
        assert_eq!(validate(small), Ok(()));
        assert_eq!(&parse("small", &print(small)).unwrap(), small);
        assert!(shrunk.counterexample.replays(small, variant));
        let schedule = small.schedule.as_ref().expect("the run is in the test");
        assert_eq!(schedule.decisions(), Some(&shrunk.counterexample.decisions[..]));
    }
}

#[test]
fn shrinking_the_result_again_changes_nothing() {
    for Case { variant, shrunk: first, .. } in CASES.iter() {
        let second = shrink_run(&first.test, variant, &first.counterexample);
        assert_eq!(print(&first.test), print(&second.test));
        assert_eq!(first.length, second.length);
    }
}

#[test]
fn the_run_of_a_minimal_test_only_loses_preemptions_or_steps() {
    let mut fewer = 0;
    for Case { test, variant, shrunk, .. } in CASES.iter() {
        let small = Test { schedule: None, ..shrunk.test.clone() };
        let found = find_violation_in(&small, variant).expect("a violation");
        let before = Length::of(&small, variant, &found);
        let shrunk = shrink_run(&small, variant, &found);
        assert!(shrunk.length <= before, "{} on {variant}", test.name);
        fewer += u64::from(shrunk.length.preemptions < before.preemptions);
    }
    assert!(fewer > 0, "no run lost a preemption");
}

#[test]
fn a_run_loses_preemptions_even_if_its_test_cannot_be_searched() {
    let (mut before, mut after) = (0, 0);
    for Case { test, variant, found, .. } in CASES.iter() {
        let greedy = shrink(test, variant, found, &limits(1), &mut |_, _| {});
        assert!(greedy.counterexample.replays(&greedy.test, variant));
        let length = Length::of(test, variant, found);
        assert!(greedy.length <= length, "{} on {variant}", test.name);
        before += length.preemptions;
        after += greedy.length.preemptions;
    }
    assert!(after < before / 2, "{before} preemptions became {after}");
}

#[test]
fn each_smaller_test_is_valid_and_listed_once() {
    let mut all = 0;
    for test in library() {
        let found = smaller(&test);
        let mut texts: Vec<String> = found.iter().map(print).collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), found.len(), "{}", test.name);
        for small in &found {
            assert!(Size::of(small) < Size::of(&test), "{}", test.name);
            assert_eq!(validate(small), Ok(()));
        }
        all += found.len();
    }
    assert!(all > 1000, "{all} changes in the whole library");
    let empty = parse("empty", "test t\nrevision import-7.3\nring A\nexpect holds\n").unwrap();
    assert_eq!(smaller(&empty), Vec::new());
}

#[test]
fn an_undecided_change_is_rejected() {
    let test = parse("padded", PADDED).unwrap();
    let variant = Variant::of(Revision::ProxyV1);
    let found = find_violation_in(&test, &variant).expect("a violation");
    let shrunk = shrink(&test, &variant, &found, &limits(1), &mut |_, _| {});
    assert_eq!(shrunk.undecided, shrunk.tried);
    assert!(!shrunk.exact);
    assert_eq!(Size::of(&shrunk.test), Size::of(&test));
    assert!(shrunk.counterexample.replays(&shrunk.test, &variant));
}

fn limits(max_states: u64) -> Limits {
    Limits { max_states, ..Limits::default() }
}

fn only(revision: Option<Revision>) -> Selection {
    Selection { revision, ..Selection::default() }
}

#[test]
fn a_test_without_violations_is_not_shrunk_and_the_error_names_its_variants() {
    let test = parse("race", &RACE.replace("    t: send 1\n", "")).unwrap();
    let selection = Selection { fixed: true, ..Selection::default() };
    let error =
        find_violation(&selection, &test, &limits(STATES), &mut |_| {}).unwrap_err().to_string();
    let start = "there is nothing to shrink: every invariant holds on proxy-v1 without ";
    assert!(error.starts_with(start), "{error}");
}

#[test]
fn a_search_that_reached_its_limit_does_not_prove_that_a_test_holds() {
    let test = parse("race", RACE).unwrap();
    let error =
        find_violation(&only(None), &test, &limits(1), &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("within 1 states"), "{error}");
    assert!(error.contains("--max-states"), "{error}");
}

#[test]
fn the_schedule_of_a_counterexample_gives_variant_and_run() {
    let test = parse("race", RACE).unwrap();
    let variant = Variant::of(Revision::ProxyV1);
    let found = find_violation_in(&test, &variant).expect("a violation");
    let kept = found.in_test(&test, &variant);
    let (same, run) = find_violation(&only(None), &kept, &limits(STATES), &mut |_| {}).unwrap();
    assert_eq!((same, run), (variant, found));
    let only_v1 = only(Some(Revision::ProxyV1));
    let error = find_violation(&only_v1, &kept, &limits(STATES), &mut |_| {}).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("has a schedule"), "{error}");
}
