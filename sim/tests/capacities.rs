//! Goal: a test may use as much as the test language allows, and every result is the kernel's.
//!
//! Method: generate sequential tests that use one kind of thing N times, for N beyond all round numbers, and
//! compare the results of every revision with what the kernel returns. A list of the model that is too small
//! panics.

use std::fmt::Write;
use std::rc::Rc;

use ifq_model::capacity::{IfqCapacity, RingCapacity, SockCapacity};
use ifq_model::errno::{EINVAL, ETIME};
use ifq_model::outcome::Value;
use ifq_model::revision::Variant;
use ifq_model::test::capacities::capacities;
use ifq_model::test::index::TestIndex;
use ifq_model::test::{Test, VarId, limits};
use ifq_sim::executor::run::run_once;
use ifq_sim::executor::scheduler::Random;
use ifq_sim::format;
use ifq_sim::search::explore::{Limits, explore};

/// A test on these revisions with one ring, one socket and these steps in `setup`.
fn sequential(revisions: &str, head: &str, steps: &[String], observe: &str) -> Test {
    let mut text = format!("test generated\nrevision {revisions}\n{head}\nsetup\n");
    for step in steps {
        writeln!(text, "    {step}").expect("a string grows");
    }
    writeln!(text, "observe {observe}\nexpect holds").expect("a string grows");
    format::parse("generated", &text).unwrap_or_else(|error| panic!("{error}"))
}

/// Steps up to which a test is searched. A longer one runs once, with random background work.
const SEARCHED: usize = 200;

/// The observed results of a test, from all its runs if it is small enough.
fn outcome(test: &Test, variant: &Variant) -> Vec<Value> {
    if test.setup.len() > SEARCHED {
        let run = run_once(&Rc::new(test.clone()), variant, Box::new(Random::new(1)));
        assert_eq!(run.violation.map(|violation| violation.to_string()), None, "{variant}");
        return run.outcome.expect("the run ends").0;
    }
    let search = explore(test, variant, &Limits::default(), &mut |_| {});
    assert!(search.exhaustive, "{variant}: {:?}", search.counterexample);
    let outcomes: Vec<_> = search.outcomes.iter().map(|outcome| outcome.0.clone()).collect();
    let [outcome] = outcomes.as_slice() else { panic!("{variant}: {outcomes:?}") };
    outcome.clone()
}

/// The observed results, the same on all revisions of the test.
fn results(test: &Test) -> Vec<Value> {
    let mut found: Option<Vec<Value>> = None;
    for &revision in &test.revisions {
        let outcome = outcome(test, &Variant::fixed(revision));
        let expected = found.get_or_insert_with(|| outcome.clone());
        assert_eq!(outcome, *expected, "{revision}");
    }
    found.expect("the test has a revision")
}

fn numbered(count: usize, step: impl Fn(usize) -> String) -> impl Iterator<Item = String> {
    (0..count).map(step)
}

const NODEV: &str = "import-7.1 import-7.2 import-7.3";

fn ok(number: i64) -> Value {
    Value::Number(number)
}

fn errno(errno: i64) -> Value {
    Value::Number(-errno)
}

#[test]
fn a_ring_can_have_a_thousand_requests() {
    for count in [9, 90, 1024] {
        let mut steps = vec!["ifq = A: register nodev buffers=1 entries=1".to_owned()];
        steps.extend(numbered(count, |i| format!("r{i} = A: recv ifq s{}", i % 32)));
        steps.push(format!("sent = s{}: send 10", (count - 1) % 32));
        steps.push("c = A: wait".to_owned());
        let sockets: Vec<String> = (0..32).map(|i| format!("s{i}")).collect();
        let head = format!("ring A\nsocket {}", sockets.join(" "));
        let last = format!("r{} sent c", count - 1);
        let test = sequential(NODEV, &head, &steps, &last);
        assert_eq!(results(&test), [ok(0), ok(0), ok(10)], "{count}");
    }
}

#[test]
fn an_ifq_can_have_as_many_areas_as_the_kernel_allows() {
    for count in [8, 127, 1023] {
        let mut steps = vec!["ifq = A: register nodev buffers=1 entries=1".to_owned()];
        steps.extend(numbered(count, |i| format!("a{i} = A: add-area ifq buffers=1")));
        if count == 1023 {
            steps.push("more = A: add-area ifq buffers=1".to_owned());
        }
        let last = format!("a{}", count - 1);
        let observe = if count == 1023 { last + " more" } else { last };
        let test = sequential("import-7.3", "ring A", &steps, &observe);
        let expected = [ok(0), errno(EINVAL)];
        assert_eq!(results(&test), expected[..test.observe.len()], "{count}");
    }
}

#[test]
fn a_ring_can_have_as_many_ids_as_it_imports() {
    for count in [16, 256, 1000] {
        let mut steps = vec![
            "ifq = A: register nodev buffers=1 entries=1".to_owned(),
            "box = A: export ifq".to_owned(),
        ];
        steps.extend(numbered(count, |i| format!("i{i} = A: import box")));
        steps.push(format!("f = A: flush i{}", count - 1));
        let test = sequential(NODEV, "ring A", &steps, &format!("i{} f", count - 1));
        assert_eq!(results(&test), [ok(count as i64), ok(0)], "{count}");
    }
}

#[test]
fn completions_wait_in_the_overflow_list_as_long_as_nobody_takes_them() {
    for count in [17, 20, 200, 1000] {
        let mut steps = vec!["ifq = A: register nodev buffers=1 entries=0".to_owned()];
        steps.extend(numbered(count, |_| "A: recv ifq s".to_owned()));
        steps.extend(numbered(count + 1, |i| format!("w{i} = A: wait")));
        let observe = format!("w0 w8 w15 w{} w{count}", count - 1);
        let test = sequential(NODEV, "ring A\nsocket s", &steps, &observe);
        let mut expected = vec![errno(EINVAL); 4];
        expected.push(errno(ETIME));
        assert_eq!(results(&test), expected, "{count}");
    }
}

#[test]
fn each_of_many_ifqs_of_a_ring_sends_its_event() {
    for count in [9, 90, 200] {
        let mut steps = Vec::new();
        for i in 0..count {
            steps.push(format!("q{i} = A: register nodev buffers=1 entries=1 with events"));
            steps.push(format!("x{i} = A: export q{i}"));
            steps.push(format!("m{i} = B: import x{i}"));
            steps.push(format!("B: recv m{i} s len=1"));
            steps.push("s: send 1".to_owned());
            steps.push(format!("c{i} = B: wait"));
            steps.push(format!("d{i} = B: wait"));
        }
        steps.extend(numbered(count + 1, |i| format!("e{i} = A: wait")));
        let last = count - 1;
        let observe = format!("c{last} e0 e{last} e{count}");
        let head = "ring A B\nsocket s";
        let test = sequential("import-7.2 import-7.3", head, &steps, &observe);
        // ZCRX_EVENT_COPY
        assert_eq!(results(&test), [ok(1), ok(1), ok(1), errno(ETIME)], "{count}");
    }
}

#[test]
fn many_requests_can_wait_for_one_connection() {
    for count in [7, 70] {
        let mut steps = Vec::new();
        for ring in ["A", "B", "C", "D", "E"] {
            steps.push(format!("q{ring} = {ring}: register nodev buffers=1 entries=1"));
            steps.extend(numbered(count, |_| format!("{ring}: recv q{ring} s")));
        }
        steps.push("s: send 1".to_owned());
        steps.push("a = A: wait".to_owned());
        steps.push("e = E: wait".to_owned());
        let test = sequential(NODEV, "ring A B C D E\nsocket s", &steps, "a e");
        assert_eq!(results(&test), [ok(1), errno(ETIME)], "{count}");
    }
}

#[test]
fn many_sends_can_wait_in_a_socket() {
    for count in [33, 330, 1000] {
        let mut steps =
            vec![format!("ifq = A: register nodev buffers={count} entries={}", 2 * count)];
        steps.extend(numbered(count, |i| format!("x{i} = s: send 1")));
        steps.push("A: recv ifq s".to_owned());
        steps.extend(numbered(9, |i| format!("w{i} = A: wait")));
        let observe = format!("x{} w0 w8", count - 1);
        let test = sequential(NODEV, "ring A\nsocket s", &steps, &observe);
        // A full completion queue delays the ninth completion.
        assert_eq!(results(&test), [ok(0), ok(1), ok(1)], "{count}");
    }
}

#[test]
fn a_process_can_export_many_descriptors() {
    for count in [70, 700] {
        let mut steps = vec!["ifq = A: register nodev buffers=1 entries=1".to_owned()];
        steps.extend(numbered(count, |i| format!("e{i} = A: export ifq")));
        steps.push(format!("i = A: import e{}", count - 1));
        steps.extend(numbered(count, |i| format!("close e{i}")));
        steps.push("again = A: export ifq".to_owned());
        let test = sequential(NODEV, "ring A", &steps, "i");
        assert_eq!(results(&test), [ok(1)], "{count}");
    }
}

#[test]
fn the_page_pool_takes_sixty_four_buffers_at_a_time() {
    // While 64 buffers are in the pool's cache, a copy finds only the rest.
    for (buffers, copied) in [(64, false), (65, true)] {
        let steps = [
            format!("ifq = A: register queue=0 buffers={buffers} entries=128"),
            "x = d: send 1".to_owned(),
            "A: recv ifq t".to_owned(),
            "y = t: send 1".to_owned(),
            "c = A: wait".to_owned(),
        ];
        let head = "ring A\nsocket d@0 t\nqueues 1";
        let test = sequential("import-7.1 import-7.2 import-7.3", head, &steps, "x y c");
        // -ENOMEM
        let c = if copied { ok(1) } else { Value::Number(-12) };
        assert_eq!(results(&test), [ok(0), ok(0), c], "{buffers}");
    }
}

#[test]
fn an_area_can_have_as_many_buffers_as_a_file_may_say() {
    let mut steps = vec!["ifq = A: register queue=0 buffers=4096 entries=8192".to_owned()];
    steps.extend(numbered(200, |i| format!("x{i} = d: send 1")));
    steps.push("A: recv ifq d".to_owned());
    steps.push("c = A: wait".to_owned());
    let head = "ring A\nsocket d@0\nqueues 1";
    let test = sequential("import-7.3", head, &steps, "x199 c");
    assert_eq!(results(&test), [ok(0), ok(1)]);
}

#[test]
fn the_index_of_a_test_agrees_with_the_text() {
    let folder = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
    for path in format::test_files(folder).expect("the library is there") {
        let test = format::load(path).expect("each file of the library is valid");
        let index = TestIndex::new(&test);
        for var in 0..test.vars.len() as VarId {
            assert_eq!(index.origin(var), test.origin(var), "{}", test.name);
            let binder = test.steps().position(|step| step.bind == Some(var));
            assert_eq!(index.binder(var), binder, "{}", test.name);
        }
    }
}

#[test]
fn the_capacities_of_a_test_are_what_its_steps_can_store() {
    let text = "test t\nrevision import-7.3\nring A B\nsocket d@0 s\nqueues 1\nsetup\n\
        x = A: register queue=0 buffers=3 entries=1 with events\n\
        box = A: export x\n y = B: import box\n A: add-area x buffers=4\n B: add-area y buffers=5\n\
        A: arm x copy\n B: arm y alloc-fail\n B: recv y d\n A: recv x d\n A: recv x s\n\
        d: send 4097\n d: send 1\n z = A: register nodev buffers=2 entries=1\nexpect holds\n";
    let test = format::parse("t", text).unwrap_or_else(|error| panic!("{error}"));
    let found = capacities(&test, &TestIndex::new(&test));
    let ring = |ids, requests, events| RingCapacity { ids, requests, events };
    assert_eq!(found.rings, [ring(2, 2, 4), ring(1, 1, 0)]);
    let sock = |fragments, waiters| SockCapacity { fragments, waiters, ..SockCapacity::default() };
    assert_eq!(found.socks, [sock(3, 2), sock(0, 1)]);
    let ifq = |areas, buffers| IfqCapacity { areas, buffers };
    assert_eq!(found.ifqs, [(0, ifq(3, 12)), (limits::RINGS as u32, ifq(1, 2))].into());
    assert_eq!((found.open_fds, found.exports), (2, 1));
}
