//! Goal: what the explorer leaves out changes neither the verdict nor what user space can see.
//!
//! Method: each small file of the library on each of its kernels, by the plain search on the futures
//! themselves, by the tables without reductions, with each of them, with all, and by two processors.
//! Large searches go another way than small ones: here they begin at 300 states.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;

use ifq_model::invariant::Invariant;
use ifq_model::outcome::{Outcome, Value};
use ifq_model::platform::label::BufferIndex;
use ifq_model::platform::{AtomicWord, Kind, Label, ObjPtr, Order, Platform, Rmw, WaitWord};
use ifq_model::revision::{Defect, Variant};
use ifq_model::test::Test;
use ifq_sim::executor::Det;
use ifq_sim::format;
use ifq_sim::search::explore::{Exploration, Limits, explore};
use ifq_sim::search::plain;
use ifq_sim::search::program::{explore_symmetric, spawn};
use ifq_sim::symmetry::{Symmetries, Symmetry, renamings};
use proptest::prelude::*;

/// States up to which the plain search is quick enough for a test.
const SMALL: u64 = 1_000;

fn library() -> impl Iterator<Item = (Test, Variant)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
    format::test_files(folder).unwrap().into_iter().flat_map(|path| {
        let test = format::load(path).unwrap();
        let variants = test.variants();
        variants.into_iter().map(move |variant| (test.clone(), variant))
    })
}

/// Each file on the last of its kernels on which it holds.
fn newest_that_hold() -> impl Iterator<Item = (Test, Variant)> {
    let holds = |(test, variant): &(Test, Variant)| test.expected(variant).is_none();
    let mut newest: Vec<(Test, Variant)> = Vec::new();
    for (test, variant) in library().filter(holds) {
        match newest.last_mut().filter(|(last, _)| last.name == test.name) {
            Some(last) => *last = (test, variant),
            None => newest.push((test, variant)),
        }
    }
    newest.into_iter()
}

/// What must not depend on how it was searched. A search ends with a violation: the outcomes that it
/// saw before are those of its order.
fn essence(found: Exploration) -> (Option<Invariant>, Option<BTreeSet<Outcome>>) {
    let broken = found.counterexample.map(|c| c.violation.invariant);
    (broken, broken.is_none().then_some(found.outcomes))
}

fn none() -> Limits {
    Limits {
        persistent_sets: false,
        sleep_sets: false,
        symmetry: Symmetries::NONE,
        ..Limits::default()
    }
}

fn ways() -> Vec<(&'static str, Limits)> {
    let large = Limits { small: 300, ..Limits::default() };
    vec![
        ("no reduction", none()),
        ("persistent sets", Limits { persistent_sets: true, ..none() }),
        ("sleep sets", Limits { sleep_sets: true, ..none() }),
        ("symmetry of rings", Limits { symmetry: Symmetries::RINGS, ..none() }),
        ("symmetry of buffers", Limits { symmetry: Symmetries::BUFFERS, ..none() }),
        ("all", Limits { sleep_sets: true, symmetry: Symmetries::BOTH, ..Limits::default() }),
        ("a large search with all", Limits { sleep_sets: true, ..large }),
        ("two processors", Limits { workers: 2, ..large }),
    ]
}

#[test]
fn every_way_to_search_gives_the_verdict_and_the_outcomes_of_the_plain_search() {
    let mut compared = 0;
    for (test, variant) in library() {
        let limits = Limits { max_states: SMALL, ..Limits::default() };
        let plain = plain::explore(&test, &variant, &limits);
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
    for (test, variant) in newest_that_hold() {
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

/// Hands out and takes back buffers, by threads that hold on to them; the last in is the first out.
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

#[test]
fn symmetry_finds_as_many_states_as_the_plain_search_has_without_names_of_buffers() {
    const SYMMETRY: Symmetry = Symmetry { count: 4 };
    for threads in 2..=3 {
        let explore = |limits| explore_symmetric(move || pool(4, threads), SYMMETRY, &limits);
        let plain = explore(Limits { orbits: Symmetries::BUFFERS, ..none() });
        let symmetric = explore(Limits { symmetry: Symmetries::BUFFERS, ..none() });
        assert!(plain.exhaustive, "{:?}", plain.counterexample);
        assert!(symmetric.exhaustive, "{:?}", symmetric.counterexample);
        assert_eq!(symmetric.states, plain.orbits);
        assert!(plain.orbits < plain.states, "{} of {}", plain.orbits, plain.states);
    }
}

#[test]
fn symmetry_of_a_kernel_that_scrubs_in_order_finds_no_more_states_than_there_are() {
    let (mut by_name, mut found) = (0, 0);
    for (test, variant) in newest_that_hold() {
        let explore = |limits: Limits| explore(&test, &variant, &limits, &mut |_| {});
        let plain = explore(Limits { orbits: Symmetries::BUFFERS, max_states: SMALL, ..none() });
        if plain.exhaustive {
            let symmetric = explore(Limits { symmetry: Symmetries::BUFFERS, ..none() });
            assert!(symmetric.states <= plain.orbits, "{} on {variant}", test.name);
            by_name += plain.states;
            found += symmetric.states;
        }
    }
    assert!(found < by_name, "{found} of {by_name} states differ in more than names");
}

/// How many states there are by name and without names, if there are not too many to know.
fn orbits(test: &Test, variant: &Variant) -> Option<(u64, u64)> {
    let explore = |limits| explore(test, variant, &limits, &mut |_| {});
    let rings = Symmetries::RINGS;
    let plain = explore(Limits { orbits: rings, max_states: 50_000, ..none() });
    if !plain.exhaustive && plain.counterexample.is_none() {
        return None;
    }
    let symmetric = explore(Limits { symmetry: rings, orbits: rings, ..none() });
    let large = Limits { small: 300, ..Limits::default() };
    let [one, two] = [large, Limits { workers: 2, ..large }].map(explore);
    let counts = |e: &Exploration| (e.states, e.transitions);
    assert_eq!(counts(&one), counts(&two), "{} on {variant}", format::print(test));
    let asleep = explore(Limits { sleep_sets: true, ..Limits::default() });
    let all = [&symmetric, &one, &two, &asleep];
    if let Some(broken) = plain.counterexample {
        let breaks = |found: &Exploration| found.counterexample.is_some();
        assert!(
            all.into_iter().all(breaks),
            "{} on {variant}: {}",
            format::print(test),
            broken.violation
        );
        return None;
    }
    assert_eq!(symmetric.orbits, plain.orbits, "{} on {variant}", format::print(test));
    for found in all {
        assert!(found.exhaustive);
        assert_eq!(found.outcomes, plain.outcomes, "{} on {variant}", format::print(test));
    }
    Some((plain.states, symmetric.states))
}

#[test]
fn symmetry_of_rings_finds_as_many_states_as_the_plain_search_has_without_their_names() {
    let mut folded = 0;
    for (test, variant) in library().filter(|(test, _)| renamings(test) > 1) {
        let found = orbits(&test, &variant);
        folded += u32::from(found.is_some_and(|(by_name, without)| without < by_name));
    }
    assert!(folded >= 6, "only {folded} searches have names to do without");
}

/// What a ring may do that shares the ifq, between import and exit.
const DEEDS: [&str; 7] = [
    "RING: flush IFQ",
    "RING: mmap IFQ",
    "close box",
    "SOCKET: shutdown",
    "SOCKET: send 10",
    "OWN = RING: register nodev buffers=1 entries=1",
    "FD = RING: export IFQ",
];

/// And what it receives.
const RECEIVED: [&str; 4] =
    ["SOCKET: send 100", "RING: recv IFQ SOCKET len=100", "CQE = RING: wait", "return CQE to IFQ"];

/// Defects that such threads may meet.
const DEFECTS: [Option<Defect>; 6] = [
    None,
    Some(Defect::EarlyPut),
    Some(Defect::DyingTwRuns),
    Some(Defect::S1),
    Some(Defect::S3),
    Some(Defect::M8),
];

/// So many threads that do the same, each with its own ring.
fn alike(threads: usize, deeds: &[&str], faults: &str) -> Test {
    let mut text = format!(
        "test alike\nrevision import-7.1 import-7.2 import-7.3\nring O A B C\nsocket s t u\n{faults}\n\
         setup\nifq = O: register nodev buffers=2 entries=2\nbox = O: export ifq\nO: exit\n",
    );
    let mut observe = String::from("observe");
    for (thread, ring, socket) in
        [("a", "A", "s"), ("b", "B", "t"), ("c", "C", "u")].iter().take(threads)
    {
        text += &format!("thread {thread}\nIFQ = RING: import box\n");
        deeds.iter().for_each(|deed| text += &format!("{deed}\n"));
        text += "END = RING: exit\n";
        for (name, new) in [("RING", ring), ("SOCKET", socket)] {
            text = text.replace(name, new);
        }
        for name in ["IFQ", "CQE", "END", "OWN", "FD"] {
            text = text.replace(name, &format!("{}-{thread}", name.to_lowercase()));
        }
        observe += &format!(" end-{thread} ifq-{thread}");
    }
    format::parse("alike", &format!("{text}{observe}\nexpect holds\n")).unwrap()
}

/// A few of the deeds.
fn deeds() -> impl Strategy<Value = Vec<&'static str>> {
    let few = proptest::sample::subsequence(DEEDS.to_vec(), 0..3).prop_shuffle();
    let received = prop_oneof![Just(0..0), Just(0..3), Just(0..4)];
    (few, received).prop_map(|(few, received)| [few, RECEIVED[received].to_vec()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn threads_that_do_the_same_are_known_without_names(
        deeds in deeds(),
        faults in proptest::sample::select(vec!["", "fault xa-store", "fault copy-to-user copy-from-user"]),
        defect in proptest::sample::select(DEFECTS.to_vec()),
    ) {
        let threads = if deeds.is_empty() { 3 } else { 2 };
        let test = alike(threads, &deeds, faults);
        for mut variant in test.variants() {
            variant.defects.extend(defect);
            if let Some((by_name, without)) = orbits(&test, &variant) {
                prop_assert!(without < by_name || defect == Some(Defect::S3), "{without} of {by_name}: {}", format::print(&test));
            }
        }
    }
}

struct Late {
    gate: <Det as Platform>::WaitQueue,
}

/// A thread waits for a word that another one makes, and that is high enough at once.
async fn late_gate() -> Outcome {
    let x = Rc::new(Det::atomic("x", 0));
    let seen = Rc::new(Det::atomic("seen", 0));
    let pointer = Rc::new(Det::wait_queue("pointer", 0));
    let ended = Rc::new(Det::wait_queue("ended", 0));
    spawn(1, "maker", {
        let (pointer, ended) = (pointer.clone(), ended.clone());
        async move {
            let late = Det::alloc(Kind::Req, 0, || Late { gate: Det::wait_queue("late", 1) });
            pointer.rmw(Rmw::Add(late.to_word())).await;
            ended.rmw_in_step(Rmw::Add(1));
        }
    });
    spawn(2, "waiter", {
        let (x, pointer, ended) = (x.clone(), pointer.clone(), ended.clone());
        async move {
            let word = pointer.wait_event(1).await;
            if let Some(late) = Det::from_word::<Late>(word) {
                late.gate.wait_event(1).await;
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
fn a_word_that_is_made_later_lets_on_who_waits_for_it() {
    let outcomes = |limits: Limits| ifq_sim::search::program::explore(late_gate, &limits).outcomes;
    let plain = outcomes(none());
    assert_eq!(plain.len(), 2);
    assert_eq!(outcomes(Limits { persistent_sets: true, ..none() }), plain);
}

#[test]
fn two_processors_count_what_one_counts() {
    for (test, variant) in newest_that_hold() {
        for persistent_sets in [false, true] {
            let one = Limits { small: 300, persistent_sets, ..Limits::default() };
            let [one, two] = [one, Limits { workers: 2, ..one }]
                .map(|limits| explore(&test, &variant, &limits, &mut |_| {}));
            assert_eq!(essence(one.clone()), essence(two.clone()), "{} on {variant}", test.name);
            let counts = |e: &Exploration| (e.states, e.transitions);
            assert_eq!(counts(&one), counts(&two), "{} on {variant}", test.name);
        }
    }
}

#[test]
fn without_a_bound_on_preemptions_that_matters_the_bounded_search_is_complete() {
    for (test, variant) in newest_that_hold() {
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
