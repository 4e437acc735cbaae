//! Goal: one operation after the other, the model returns what the sequential specification says,
//! and breaks no invariant. Method: sequences made up by proptest, run on the deterministic
//! executor, under a random order of what goes on in the background; a failure is shrunk, printed
//! as a test file, and its seed kept in `proptest-regressions`.
//!
//! `PROPTEST_CASES` and `PROPTEST_RNG_SEED` make it run longer and elsewhere.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use ifq_model::errno::{self, EBADF};
use ifq_model::io_uring::{cq, tw};
use ifq_model::net::{page_pool, sock};
use ifq_model::prim::xarray;
use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::scenario::{Op, Test, VarId};
use ifq_model::spec::{self, Answer};
use ifq_sim::exec::run_once;
use ifq_sim::file;
use ifq_sim::schedule::Random;
use ifq_tests::generate::{Shape, Word, sequence, shape, words};
use proptest::prelude::*;
use proptest::test_runner::{
    Config, FileFailurePersistence, RngSeed, TestCaseError, TestError, TestRunner,
};

const REVISION: Revision = Revision::Import73;

fn config(cases: u32) -> Config {
    let mut config = Config::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(7_3);
    }
    config.failure_persistence =
        Some(Box::new(FileFailurePersistence::Direct("proptest-regressions/proptest_spec.txt")));
    config
}

type Case = (Shape, Vec<Word>, u64);

fn cases(max: usize) -> impl Strategy<Value = Case> {
    (shape(), words(max), any::<u64>())
}

/// Runs a sequence and compares; `change` may falsify the specification's answer first.
fn compare(
    test: Test,
    seed: u64,
    variant: &Variant,
    change: impl Fn(&Test, &mut Answer),
) -> Result<(), TestCaseError> {
    let fail = |test: &Test, what: String| {
        Err(TestCaseError::fail(format!("{what}\nschedule seed {seed}\n{}", file::print(test))))
    };
    if let Err(invalid) = file::validate(&test) {
        return fail(&test, format!("not a valid test: {invalid}"));
    }
    let Some(mut answer) = spec::run(&test, variant.revision) else {
        return fail(&test, "not sequential".to_owned());
    };
    change(&test, &mut answer);
    if !answer.left.is_empty() {
        return fail(&test, format!("specified to be left at the end: {:?}", answer.left));
    }
    let test = Rc::new(test);
    let result = run_once(&test, variant, Box::new(Random::new(seed)));
    if let Some(violation) = result.violation {
        return fail(&test, violation.to_string());
    }
    let Some(found) = result.outcome else { return fail(&test, "no outcome".to_owned()) };
    let specified = answer.outcome(&test);
    if found != specified {
        let differ = (0..).zip(found.0.iter().zip(&specified.0)).find(|(_, (f, s))| f != s);
        let what = differ.map_or_else(String::new, |(i, (f, s))| {
            let var: VarId = test.observe[i];
            format!("{} is {f}, specified {s}", test.vars[usize::from(var)].name)
        });
        return fail(&test, what);
    }
    Ok(())
}

/// The shortest sequence that proptest comes to for which `compare` fails, and what it says.
fn shrunk(variant: &Variant, change: impl Fn(&Test, &mut Answer)) -> (Test, String) {
    let mut config = config(2000);
    config.failure_persistence = None;
    let result = TestRunner::new(config).run(&cases(40), |(shape, words, seed)| {
        compare(sequence(&shape, &words), seed, variant, &change)
    });
    match result {
        Err(TestError::Fail(_, (shape, words, seed))) => {
            let fails =
                |words: &[Word]| compare(sequence(&shape, words), seed, variant, &change).err();
            let (words, reason) = minimal(words, fails);
            (sequence(&shape, &words), reason)
        }
        other => panic!("the planted difference was not found: {other:?}"),
    }
}

/// Leaves words out, one at a time, as long as it still fails. proptest does that before it makes
/// the words simpler, and not again after it.
fn minimal(
    mut words: Vec<Word>,
    fails: impl Fn(&[Word]) -> Option<TestCaseError>,
) -> (Vec<Word>, String) {
    let mut reason = fails(&words).map_or_else(String::new, |e| e.to_string());
    let mut at = 0;
    while at < words.len() {
        let mut fewer = words.clone();
        fewer.remove(at);
        match fails(&fewer) {
            Some(error) => {
                (words, reason) = (fewer, error.to_string());
                at = 0;
            }
            None => at += 1,
        }
    }
    (words, reason)
}

/// Panics with what a failed property says: the test file is the counterexample, not its bytes.
fn passed<T: std::fmt::Debug>(result: Result<(), TestError<T>>) {
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, _)) => panic!("{reason}"),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_specification_has_the_bounds_of_the_model() {
    assert_eq!(spec::COMPLETIONS as u64, cq::CQ_ENTRIES);
    assert_eq!(spec::REQUESTS, tw::MAX_REQS);
    assert_eq!(spec::IDS, xarray::SLOTS);
    assert_eq!(spec::SEGMENTS as u64, sock::RCVQ);
    assert_eq!(spec::CACHE, page_pool::ALLOC_CACHE);
    assert_eq!(spec::RECYCLED, page_pool::PTR_RING);
}

#[test]
fn a_sequence_of_operations_returns_what_the_specification_says() {
    let variant = Variant::sound(REVISION);
    let check = |shape: &Shape, words: &[Word], seed| {
        compare(sequence(shape, words), seed, &variant, |_, _| {})
    };
    let result = TestRunner::new(config(6000))
        .run(&cases(60), |(shape, words, seed)| check(&shape, &words, seed));
    if let Err(TestError::Fail(_, (shape, words, seed))) = result {
        panic!("{}", minimal(words, |words| check(&shape, words, seed).err()).1);
    }
    passed(result);
}

#[test]
fn a_reference_put_too_early_is_found_and_shrunk() {
    let variant = Variant { revision: REVISION, defects: vec![Defect::EarlyPut] };
    let (test, reason) = shrunk(&variant, |_, _| {});
    assert!(reason.contains("I1: "), "{reason}");
    assert!(test.finally.len() <= 6, "{reason}");
}

#[test]
fn an_answer_that_is_wrong_is_found_and_shrunk() {
    // The second close of a descriptor is said to succeed.
    let (test, reason) = shrunk(&Variant::sound(REVISION), |test, answer| {
        for step in &test.finally {
            let Op::Close { .. } = step.op else { continue };
            for (var, result) in &mut answer.results {
                if step.bind == Some(*var) && *result == -EBADF {
                    *result = 0;
                }
            }
        }
    });
    assert!(reason.contains("-EBADF, specified 0"), "{reason}");
    assert!(test.finally.len() <= 6, "{reason}");
}

/// How often each operation came to each result, `ok` or an errno.
type Tally = BTreeMap<(&'static str, &'static str), u32>;

fn tally(test: &Test, into: &mut Tally) {
    let answer = spec::run(test, REVISION).expect("a sequence has no threads");
    for (step, (_, result)) in test.finally.iter().zip(&answer.results) {
        let name = match step.op {
            Op::Register { .. } => "register",
            Op::Export { .. } => "export",
            Op::Import { .. } => "import",
            Op::Flush { .. } => "flush",
            Op::Exit { .. } => "exit",
            Op::Close { .. } => "close",
            Op::Recv { .. } => "recv",
            Op::Wait { .. } => "wait",
            Op::Return { .. } => "return",
            Op::Send { .. } => "send",
            Op::Shutdown { .. } => "shutdown",
        };
        let errno = if *result < 0 { errno::name(*result) } else { Some("ok") };
        *into.entry((name, errno.unwrap_or("unknown"))).or_default() += 1;
    }
}

#[test]
fn the_sequences_meet_every_result_and_nearly_all_operations_apply() {
    let tallied = RefCell::new(Tally::new());
    let config = Config { failure_persistence: None, ..config(2000) };
    let result = TestRunner::new(config).run(&cases(60), |(shape, words, _)| {
        tally(&sequence(&shape, &words), &mut tallied.borrow_mut());
        Ok(())
    });
    passed(result);
    let tally = tallied.into_inner();
    for (op, errnos) in [
        ("register", &["ok", "EBADF", "EINVAL", "EEXIST"][..]),
        ("export", &["ok", "EBADF", "ENXIO"]),
        ("import", &["ok", "EBADF"]),
        ("flush", &["ok", "EBADF", "ENXIO"]),
        ("exit", &["ok", "EBADF"]),
        ("close", &["ok", "EBADF"]),
        ("recv", &["ok", "EBADF"]),
        ("wait", &["ok", "EBADF", "ETIME", "EINVAL", "ENOMEM", "ENOSPC", "EFAULT"]),
        ("return", &["ok", "ENODATA", "EAGAIN"]),
        ("send", &["ok", "EPIPE", "EAGAIN", "ENOSPC"]),
        ("shutdown", &["ok"]),
    ] {
        for errno in errnos {
            let n = tally.get(&(op, errno)).copied().unwrap_or(0);
            assert!(n >= 5, "{op} comes to {errno} {n} times only: {tally:#?}");
        }
    }
    let good: u32 = tally.iter().filter(|((_, errno), _)| *errno == "ok").map(|(_, n)| n).sum();
    let all: u32 = tally.values().sum();
    assert!(good * 10 >= all * 6, "{good} of {all} succeed: {tally:#?}");
}
