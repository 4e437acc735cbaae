//! Goal: reductions change neither the verdict nor the set of outcomes.
//!
//! Method: each small test of the library on each of its kernels, by the reference search on the futures
//! themselves, by the explorer without reductions, with each reduction, with all, and on two workers. Large
//! searches use another code path than small ones; here they begin at 300 states.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;

use ifq_model::invariant::Invariant;
use ifq_model::outcome::{Outcome, Value};
use ifq_model::platform::label::BufferIndex;
use ifq_model::platform::{AtomicWord, Kind, Label, ObjPtr, Order, Platform, Rmw, WaitWord};
use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::test::Test;
use ifq_sim::executor::Det;
use ifq_sim::format;
use ifq_sim::search::explore::{Exploration, Limits, explore};
use ifq_sim::search::program::{explore_symmetric, spawn};
use ifq_sim::search::reference;
use ifq_sim::symmetry::{BufferSymmetry, Symmetries, permutation_count};
use proptest::prelude::*;

/// Number of states up to which the reference search is fast enough for a test.
const SMALL: u64 = 1_000;

fn library() -> impl Iterator<Item = (Test, Variant)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
    format::test_files(folder).unwrap().into_iter().flat_map(|path| {
        let test = format::load(path).unwrap();
        let variants = test.variants();
        variants.into_iter().map(move |variant| (test.clone(), variant))
    })
}

/// Each test on the newest of its kernels on which it holds, without the proposals after the newest release.
fn newest_that_hold() -> impl Iterator<Item = (Test, Variant)> {
    // A search with a schedule has no reductions.
    let holds = |(test, variant): &(Test, Variant)| {
        test.expected(variant).is_none()
            && variant.revision != Revision::ImportNext
            && test.schedule.is_none()
    };
    let mut newest: Vec<(Test, Variant)> = Vec::new();
    for (test, variant) in library().filter(holds) {
        match newest.last_mut().filter(|(last, _)| last.name == test.name) {
            Some(last) => *last = (test, variant),
            None => newest.push((test, variant)),
        }
    }
    newest.into_iter()
}

/// What must not depend on the search. A search ends with its first violation: the outcomes before that
/// depend on the order.
fn verdict_and_outcomes(found: Exploration) -> (Option<Invariant>, Option<BTreeSet<Outcome>>) {
    let broken = found.counterexample.map(|c| c.violation.invariant);
    (broken, broken.is_none().then_some(found.outcomes))
}

fn unreduced() -> Limits {
    Limits {
        persistent_sets: false,
        sleep_sets: false,
        symmetry: Symmetries::NONE,
        ..Limits::default()
    }
}

fn configurations() -> Vec<(&'static str, Limits)> {
    let large = Limits { sequential_states: 300, ..Limits::default() };
    vec![
        ("no reduction", unreduced()),
        ("persistent sets", Limits { persistent_sets: true, ..unreduced() }),
        ("sleep sets", Limits { sleep_sets: true, ..unreduced() }),
        ("symmetry of rings", Limits { symmetry: Symmetries::RINGS, ..unreduced() }),
        ("symmetry of buffers", Limits { symmetry: Symmetries::BUFFERS, ..unreduced() }),
        ("all", Limits { sleep_sets: true, symmetry: Symmetries::BOTH, ..Limits::default() }),
        ("a large search with all", Limits { sleep_sets: true, ..large }),
        ("two processors", Limits { workers: 2, ..large }),
    ]
}

#[test]
fn every_search_gives_the_verdict_and_the_outcomes_of_the_reference_search() {
    let mut compared = 0;
    for (test, variant) in library() {
        let limits = Limits { max_states: SMALL, ..Limits::default() };
        let expected = reference::explore(&test, &variant, &limits);
        if expected.counterexample.is_none() && !expected.exhaustive {
            continue;
        }
        let expected = verdict_and_outcomes(expected);
        for (configuration, limits) in configurations() {
            let found = verdict_and_outcomes(explore(&test, &variant, &limits, &mut |_| {}));
            assert_eq!(found, expected, "{} on {variant}: {configuration}", test.name);
        }
        compared += 1;
    }
    assert!(compared > 250, "only {compared} searches are small");
}

#[test]
fn sleep_sets_prune_transitions_but_no_states_and_persistent_sets_prune_states() {
    let (mut baseline, mut with_sleep_sets, mut persistent) = (0, 0, 0);
    for (test, variant) in newest_that_hold() {
        let explore = |limits: Limits| explore(&test, &variant, &limits, &mut |_| {});
        let all = explore(unreduced());
        let sleeping = explore(Limits { sleep_sets: true, ..unreduced() });
        assert_eq!(sleeping.states, all.states, "{} on {variant}", test.name);
        assert!(sleeping.transitions <= all.transitions, "{} on {variant}", test.name);
        baseline += all.transitions;
        with_sleep_sets += sleeping.transitions;
        persistent += explore(Limits { persistent_sets: true, ..unreduced() }).transitions;
    }
    assert!(with_sleep_sets * 3 < baseline * 2, "{with_sleep_sets} of {baseline} transitions");
    assert!(persistent * 3 < baseline, "{persistent} of {baseline} transitions");
}

/// A last-in-first-out pool of buffers, and threads that take and return them.
async fn pool(buffers: usize, threads: u32) -> Outcome {
    const INDEX: BufferIndex = BufferIndex { offset: 1, shift: 0, bits: 4 };
    let word = |label: Label| Rc::new(Det::atomic(label, 0));
    let own = Label::plain("own").per_buffer();
    let own: Rc<Vec<_>> = Rc::new((0..buffers).map(|_| word(own)).collect());
    let free = Label::plain("free").names_buffer(INDEX);
    let free: Rc<Vec<_>> =
        Rc::new((1..=buffers as u64).map(|n| Rc::new(Det::atomic(free, n))).collect());
    let count = Rc::new(Det::atomic("count", buffers as u64));
    let ended = Rc::new(Det::wait_queue("ended", 0));
    for slot in 1..=threads {
        let (own, free, count, ended) = (own.clone(), free.clone(), count.clone(), ended.clone());
        let held = word(Label::plain("held").names_buffer(INDEX));
        spawn(slot, "user", async move {
            for _ in 0..2 {
                let top = count.rmw(Rmw::Sub(1), Order::Full).await as usize - 1;
                held.store_in_step(free[top].load_in_step());
                free[top].store_in_step(0);
                Det::op_boundary();
                let buffer = held.load(Order::Relaxed).await;
                own[buffer as usize - 1].rmw(Rmw::Add(1), Order::Relaxed).await;
                Det::op_boundary();
                let top = count.rmw(Rmw::Add(1), Order::Full).await as usize;
                free[top].store_in_step(held.load_in_step());
                held.store_in_step(0);
                Det::op_boundary();
            }
            ended.rmw_in_step(Rmw::Add(1));
        });
    }
    ended.wait_event(u64::from(threads)).await;
    Outcome(Vec::new())
}

/// On 7.2 every exiting ring scrubs, and no lock orders them. Scopes merge the states that differ only in which
/// ring has scrubbed a buffer.
#[test]
fn rings_that_scrub_at_once_do_not_multiply_the_states() {
    let holds_buffers =
        |(test, _): &(Test, Variant)| test.name == "three-rings-exit-while-two-receive";
    let states: Vec<(Variant, u64)> = library()
        .filter(holds_buffers)
        .map(|(test, variant)| {
            let found = explore(&test, &variant, &Limits::default(), &mut |_| {});
            (variant, found.states)
        })
        .collect();
    let most = states.iter().map(|(_, states)| *states).max().unwrap();
    let fewest = states.iter().map(|(_, states)| *states).min().unwrap();
    assert!(states.len() >= 3 && most < 8 * fewest, "{states:?}");
}

#[test]
fn buffer_symmetry_finds_the_orbits_of_the_unreduced_search() {
    const SYMMETRY: BufferSymmetry = BufferSymmetry { count: 4 };
    for threads in 2..=3 {
        let explore = |limits| explore_symmetric(move || pool(4, threads), SYMMETRY, &limits);
        let all = explore(Limits { count_orbits: Symmetries::BUFFERS, ..unreduced() });
        let symmetric = explore(Limits { symmetry: Symmetries::BUFFERS, ..unreduced() });
        assert!(all.exhaustive, "{:?}", all.counterexample);
        assert!(symmetric.exhaustive, "{:?}", symmetric.counterexample);
        assert_eq!(symmetric.states, all.orbits);
        assert!(all.orbits < all.states, "{} of {}", all.orbits, all.states);
    }
}

#[test]
fn buffer_symmetry_of_a_kernel_that_scrubs_in_order_finds_at_most_the_orbits() {
    let (mut by_name, mut found) = (0, 0);
    for (test, variant) in newest_that_hold() {
        let explore = |limits: Limits| explore(&test, &variant, &limits, &mut |_| {});
        let all =
            explore(Limits { count_orbits: Symmetries::BUFFERS, max_states: SMALL, ..unreduced() });
        if all.exhaustive {
            let symmetric = explore(Limits { symmetry: Symmetries::BUFFERS, ..unreduced() });
            assert!(symmetric.states <= all.orbits, "{} on {variant}", test.name);
            by_name += all.states;
            found += symmetric.states;
        }
    }
    assert!(found < by_name, "{found} of {by_name} states after buffer symmetry");
}

/// Numbers of states and of orbits, if the state space is small.
fn orbits(test: &Test, variant: &Variant) -> Option<(u64, u64)> {
    let explore = |limits| explore(test, variant, &limits, &mut |_| {});
    let rings = Symmetries::RINGS;
    let all = explore(Limits { count_orbits: rings, max_states: 50_000, ..unreduced() });
    if !all.exhaustive && all.counterexample.is_none() {
        return None;
    }
    let symmetric = explore(Limits { symmetry: rings, count_orbits: rings, ..unreduced() });
    let large = Limits { sequential_states: 300, ..Limits::default() };
    let [one, two] = [large, Limits { workers: 2, ..large }].map(explore);
    let counts = |e: &Exploration| (e.states, e.transitions);
    assert_eq!(counts(&one), counts(&two), "{} on {variant}", format::print(test));
    let with_sleep_sets = explore(Limits { sleep_sets: true, ..Limits::default() });
    let searches = [&symmetric, &one, &two, &with_sleep_sets];
    if let Some(broken) = all.counterexample {
        let breaks = |found: &Exploration| found.counterexample.is_some();
        assert!(
            searches.into_iter().all(breaks),
            "{} on {variant}: {}",
            format::print(test),
            broken.violation
        );
        return None;
    }
    assert_eq!(symmetric.orbits, all.orbits, "{} on {variant}", format::print(test));
    for found in searches {
        assert!(found.exhaustive);
        assert_eq!(found.outcomes, all.outcomes, "{} on {variant}", format::print(test));
    }
    Some((all.states, symmetric.states))
}

#[test]
fn ring_symmetry_finds_the_orbits_of_the_unreduced_search() {
    let mut reduced = 0;
    for (test, variant) in library().filter(|(test, _)| permutation_count(test) > 1) {
        let found = orbits(&test, &variant);
        reduced += u32::from(found.is_some_and(|(by_name, merged)| merged < by_name));
    }
    assert!(reduced >= 6, "symmetry reduces only {reduced} searches");
}

/// Operations of a ring that shares the ifq, between import and exit.
const OPERATIONS: [&str; 7] = [
    "RING: flush IFQ",
    "RING: mmap IFQ",
    "close box",
    "SOCKET: shutdown",
    "SOCKET: send 10",
    "OWN = RING: register nodev buffers=1 entries=1",
    "FD = RING: export IFQ",
];

/// Operations that receive.
const RECEIVED: [&str; 4] =
    ["SOCKET: send 100", "RING: recv IFQ SOCKET len=100", "CQE = RING: wait", "return CQE to IFQ"];

/// Defects that such threads may expose.
const DEFECTS: [Option<Defect>; 6] = [
    None,
    Some(Defect::EarlyPut),
    Some(Defect::DyingTwRuns),
    Some(Defect::S1),
    Some(Defect::S3),
    Some(Defect::M8),
];

/// A test of identical threads, each with its own ring.
fn identical_threads(threads: usize, operations: &[&str], faults: &str) -> Test {
    let mut text = format!(
        "test identical-threads\nrevision import-7.1 import-7.2 import-7.3\nring O A B C\nsocket s t u\n{faults}\n\
         setup\nifq = O: register nodev buffers=2 entries=2\nbox = O: export ifq\nO: exit\n",
    );
    let mut observe = String::from("observe");
    for (thread, ring, socket) in
        [("a", "A", "s"), ("b", "B", "t"), ("c", "C", "u")].iter().take(threads)
    {
        text += &format!("thread {thread}\nIFQ = RING: import box\n");
        operations.iter().for_each(|operation| text += &format!("{operation}\n"));
        text += "END = RING: exit\n";
        for (name, new) in [("RING", ring), ("SOCKET", socket)] {
            text = text.replace(name, new);
        }
        for name in ["IFQ", "CQE", "END", "OWN", "FD"] {
            text = text.replace(name, &format!("{}-{thread}", name.to_lowercase()));
        }
        observe += &format!(" end-{thread} ifq-{thread}");
    }
    format::parse("identical-threads", &format!("{text}{observe}\nexpect holds\n")).unwrap()
}

/// A few operations.
fn operations() -> impl Strategy<Value = Vec<&'static str>> {
    let few = proptest::sample::subsequence(OPERATIONS.to_vec(), 0..3).prop_shuffle();
    let received = prop_oneof![Just(0..0), Just(0..3), Just(0..4)];
    (few, received).prop_map(|(few, received)| [few, RECEIVED[received].to_vec()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn states_of_identical_threads_are_merged(
        operations in operations(),
        faults in proptest::sample::select(vec!["", "fault xa-store", "fault copy-to-user copy-from-user"]),
        defect in proptest::sample::select(DEFECTS.to_vec()),
    ) {
        let threads = if operations.is_empty() { 3 } else { 2 };
        let test = identical_threads(threads, &operations, faults);
        for mut variant in test.variants() {
            variant.defects.extend(defect);
            if let Some((by_name, merged)) = orbits(&test, &variant) {
                prop_assert!(merged < by_name || defect == Some(Defect::S3), "{merged} of {by_name}: {}", format::print(&test));
            }
        }
    }
}

struct Delayed {
    event: <Det as Platform>::WaitQueue,
}

/// A thread waits for a word that another thread creates, with a value that satisfies the wait at once.
async fn wait_for_a_new_word() -> Outcome {
    let x = Rc::new(Det::atomic("x", 0));
    let seen = Rc::new(Det::atomic("seen", 0));
    let pointer = Rc::new(Det::wait_queue("pointer", 0));
    let ended = Rc::new(Det::wait_queue("ended", 0));
    spawn(1, "maker", {
        let (pointer, ended) = (pointer.clone(), ended.clone());
        async move {
            let new = Det::alloc(Kind::Req, 0, || Delayed { event: Det::wait_queue("event", 1) });
            pointer.rmw(Rmw::Add(new.to_word())).await;
            ended.rmw_in_step(Rmw::Add(1));
        }
    });
    spawn(2, "waiter", {
        let (x, pointer, ended) = (x.clone(), pointer.clone(), ended.clone());
        async move {
            let word = pointer.wait_event(1).await;
            if let Some(new) = Det::from_word::<Delayed>(word) {
                new.event.wait_event(1).await;
            }
            x.store(1, Order::Relaxed).await;
            ended.rmw_in_step(Rmw::Add(1));
        }
    });
    spawn(3, "reader", {
        let (x, seen, ended) = (x.clone(), seen.clone(), ended.clone());
        async move {
            seen.store_in_step(x.load(Order::Relaxed).await);
            ended.rmw_in_step(Rmw::Add(1));
        }
    });
    ended.wait_event(3).await;
    Outcome(vec![Value::Number(seen.load_in_step().cast_signed())])
}

#[test]
fn a_new_word_with_a_high_value_enables_the_thread_that_waits_for_it() {
    let outcomes =
        |limits: Limits| ifq_sim::search::program::explore(wait_for_a_new_word, &limits).outcomes;
    let all = outcomes(unreduced());
    assert_eq!(all.len(), 2);
    assert_eq!(outcomes(Limits { persistent_sets: true, ..unreduced() }), all);
}

#[test]
fn two_workers_count_the_states_that_one_counts() {
    for (test, variant) in newest_that_hold() {
        for persistent_sets in [false, true] {
            let one = Limits { sequential_states: 300, persistent_sets, ..Limits::default() };
            let [one, two] = [one, Limits { workers: 2, ..one }]
                .map(|limits| explore(&test, &variant, &limits, &mut |_| {}));
            assert_eq!(
                verdict_and_outcomes(one.clone()),
                verdict_and_outcomes(two.clone()),
                "{} on {variant}",
                test.name
            );
            let counts = |e: &Exploration| (e.states, e.transitions);
            assert_eq!(counts(&one), counts(&two), "{} on {variant}", test.name);
        }
    }
}

#[test]
fn a_preemption_bound_that_is_never_reached_leaves_the_search_complete() {
    for (test, variant) in newest_that_hold() {
        let all = explore(&test, &variant, &unreduced(), &mut |_| {});
        if all.states > SMALL {
            continue;
        }
        let bounded = |preemptions| Limits { preemptions: Some(preemptions), ..unreduced() };
        let complete = explore(&test, &variant, &bounded(u32::MAX), &mut |_| {});
        assert!(complete.exhaustive);
        assert_eq!(complete.outcomes, all.outcomes, "{} on {variant}", test.name);
        let few = explore(&test, &variant, &bounded(0), &mut |_| {});
        assert!(few.outcomes.is_subset(&all.outcomes), "{} on {variant}", test.name);
        assert!(few.transitions <= all.transitions);
    }
}
