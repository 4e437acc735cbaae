//! Goal: a failing test becomes small and keeps failing in the same way, and so does its run.
//!
//! Method: every file of the library on every variant on which an invariant breaks; one of them
//! with much around it that has nothing to do with what breaks.

use std::path::Path;

use ifq_model::revision::{Revision, Variant};
use ifq_model::test::Test;
use ifq_sim::executor::counterexample::Counterexample;
use ifq_sim::format::{load, parse, print, test_files, validate};
use ifq_sim::search::explore::{Limits, explore};
use ifq_sim::selection::Selection;
use ifq_sim::shrink::{Length, STATES, Shrunk, Size, find_violation, shrink, smaller};

fn library() -> Vec<Test> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
    test_files(folder).unwrap().iter().map(|path| load(path).unwrap()).collect()
}

fn broken(test: &Test, variant: &Variant) -> Option<Counterexample> {
    let limits = Limits { max_states: STATES, ..Limits::default() };
    explore(test, variant, &limits, &mut |_| {}).counterexample
}

fn shrink_run(test: &Test, variant: &Variant, found: &Counterexample) -> Shrunk {
    shrink(test, variant, found, STATES, &mut |_, _| {})
}

/// Calls `f` with each file, variant and run that breaks an invariant there.
fn each_broken(mut f: impl FnMut(&Test, &Variant, &Counterexample)) {
    let mut count = 0;
    for test in library() {
        for variant in test.variants().iter().filter(|v| test.expected(v).is_some()) {
            let found = broken(&test, variant).expect("what is expected breaks");
            f(&test, variant, &found);
            count += 1;
        }
    }
    assert!(count > 50, "only {count} variants break");
}

/// A buffer is counted twice, by two threads; nothing else of it is needed.
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

/// [`RACE`] with rings, sockets, threads, steps, faults, numbers and names that it does not need.
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
fn what_a_test_does_not_need_goes() {
    let test = parse("padded", PADDED).unwrap();
    let race = parse("race", RACE).unwrap();
    let variant = Variant::of(Revision::ProxyV1);
    let found = broken(&test, &variant).expect("it breaks");
    let shrunk = shrink_run(&test, &variant, &found);
    assert_eq!(shrunk.counterexample.violation.invariant, found.violation.invariant);
    let bare = Test { schedule: None, ..shrunk.test };
    assert_eq!(print(&bare), print(&race));
}

#[test]
fn what_is_left_is_valid_smaller_and_breaks_the_same_invariant_in_a_run_that_repeats() {
    each_broken(|test, variant, found| {
        let shrunk = shrink_run(test, variant, found);
        let small = &shrunk.test;
        assert_eq!(shrunk.counterexample.violation.invariant, found.violation.invariant);
        assert!(Size::of(small) <= Size::of(test), "{} on {variant}", test.name);
        assert_eq!(validate(small), Ok(()));
        assert_eq!(&parse("small", &print(small)).unwrap(), small);
        assert!(shrunk.counterexample.replays(small, variant));
        let schedule = small.schedule.as_ref().expect("the run is in the test");
        assert_eq!(schedule.decisions, shrunk.counterexample.decisions);
    });
}

#[test]
fn what_is_left_is_as_small_as_it_gets() {
    each_broken(|test, variant, found| {
        let first = shrink_run(test, variant, found);
        let second = shrink_run(&first.test, variant, &first.counterexample);
        assert_eq!(print(&first.test), print(&second.test));
        assert_eq!(first.length, second.length);
    });
}

#[test]
fn the_run_of_a_test_that_cannot_get_smaller_loses_preemptions_or_steps_only() {
    let mut fewer = 0;
    each_broken(|test, variant, found| {
        let small = Test { schedule: None, ..shrink_run(test, variant, found).test };
        let found = broken(&small, variant).expect("it still breaks");
        let before = Length::of(&small, variant, &found);
        let shrunk = shrink_run(&small, variant, &found);
        assert!(shrunk.length <= before, "{} on {variant}", test.name);
        fewer += u64::from(shrunk.length.preemptions < before.preemptions);
    });
    assert!(fewer > 0, "no run lost a preemption");
}

#[test]
fn a_run_loses_preemptions_also_where_its_test_cannot_be_searched() {
    let (mut before, mut after) = (0, 0);
    each_broken(|test, variant, found| {
        let greedy = shrink(test, variant, found, 1, &mut |_, _| {});
        assert!(greedy.counterexample.replays(&greedy.test, variant));
        let length = Length::of(test, variant, found);
        assert!(greedy.length <= length, "{} on {variant}", test.name);
        before += length.preemptions;
        after += greedy.length.preemptions;
    });
    assert!(after < before / 2, "{before} preemptions became {after}");
}

#[test]
fn every_test_that_is_smaller_by_one_change_is_valid_and_comes_once() {
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
fn a_change_that_cannot_be_decided_is_not_taken() {
    let test = parse("padded", PADDED).unwrap();
    let variant = Variant::of(Revision::ProxyV1);
    let found = broken(&test, &variant).expect("it breaks");
    let shrunk = shrink(&test, &variant, &found, 1, &mut |_, _| {});
    assert_eq!(shrunk.undecided, shrunk.tried);
    assert!(!shrunk.exact);
    assert_eq!(Size::of(&shrunk.test), Size::of(&test));
    assert!(shrunk.counterexample.replays(&shrunk.test, &variant));
}

fn only(revision: Option<Revision>) -> Selection {
    Selection { revision, ..Selection::default() }
}

#[test]
fn a_test_that_holds_is_not_shrunk_and_the_reason_says_where_it_holds() {
    let test = parse("race", &RACE.replace("    t: send 1\n", "")).unwrap();
    let selection = Selection { fixed: true, ..Selection::default() };
    let error = find_violation(&selection, &test, STATES, &mut |_| {}).unwrap_err();
    let start = "there is nothing to shrink: every invariant holds on proxy-v1 without ";
    assert!(error.starts_with(start), "{error}");
}

#[test]
fn a_test_that_was_not_searched_to_its_end_does_not_count_as_one_that_holds() {
    let test = parse("race", RACE).unwrap();
    let error = find_violation(&only(None), &test, 1, &mut |_| {}).unwrap_err();
    assert!(error.contains("within 1 states"), "{error}");
    assert!(error.contains("--max-states"), "{error}");
}

#[test]
fn the_run_of_a_counterexample_says_what_is_kept() {
    let test = parse("race", RACE).unwrap();
    let variant = Variant::of(Revision::ProxyV1);
    let found = broken(&test, &variant).expect("it breaks");
    let kept = found.in_test(&test, &variant);
    let (same, run) = find_violation(&only(None), &kept, STATES, &mut |_| {}).unwrap();
    assert_eq!((same, run), (variant, found));
    let error =
        find_violation(&only(Some(Revision::ProxyV1)), &kept, STATES, &mut |_| {}).unwrap_err();
    assert!(error.contains("has a schedule"), "{error}");
}
