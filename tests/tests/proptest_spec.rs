//! Goal: one operation after the other, the model returns what the sequential specification says,
//! and breaks no invariant. Method: sequences made up by proptest, run on the deterministic
//! executor, under a random order of what goes on in the background; a failure is shrunk, printed
//! as a test file, and its seed kept in `proptest-regressions`.
//!
//! `PROPTEST_CASES` and `PROPTEST_RNG_SEED` make it run longer and elsewhere.

use std::rc::Rc;

use ifq_model::errno::EBADF;
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
        Err(TestError::Fail(reason, (shape, words, _))) => {
            (sequence(&shape, &words), reason.to_string())
        }
        other => panic!("the planted difference was not found: {other:?}"),
    }
}

#[test]
fn a_sequence_of_operations_returns_what_the_specification_says() {
    let variant = Variant::sound(REVISION);
    let result = TestRunner::new(config(3000)).run(&cases(60), |(shape, words, seed)| {
        compare(sequence(&shape, &words), seed, &variant, |_, _| {})
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn a_reference_put_too_early_is_found_and_shrunk() {
    let variant = Variant { revision: REVISION, defects: vec![Defect::EarlyPut] };
    let (test, reason) = shrunk(&variant, |_, _| {});
    assert!(reason.contains("I1: "), "{reason}");
    assert!(test.finally.len() <= 2, "{reason}");
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

/// Each operation of a sequence, by its name, and whether it succeeded.
fn seen(test: &Test) -> Vec<(String, bool)> {
    let answer = spec::run(test, REVISION).expect("no threads");
    let name = |op: &Op| format!("{op:?}").split([' ', '{']).next().unwrap_or("").to_owned();
    test.finally.iter().zip(&answer.results).map(|(s, (_, r))| (name(&s.op), *r >= 0)).collect()
}

#[test]
fn the_sequences_do_everything_and_nearly_all_of_it_applies() {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..config(300) });
    let found = std::cell::RefCell::new(std::collections::BTreeMap::new());
    let result = runner.run(&cases(60), |(shape, words, _)| {
        for key in seen(&sequence(&shape, &words)) {
            *found.borrow_mut().entry(key).or_insert(0_u32) += 1;
        }
        Ok(())
    });
    assert!(result.is_ok(), "{result:?}");
    let found = found.into_inner();
    let count = |name: &str, good| found.get(&(name.to_owned(), good)).copied().unwrap_or(0);
    for name in ["Register", "Export", "Import", "Flush", "Exit", "Close", "Recv", "Wait", "Return"]
    {
        assert!(count(name, true) >= 100, "{name} succeeds too seldom: {found:?}");
        assert!(count(name, false) >= 10, "{name} fails too seldom: {found:?}");
    }
    assert!(count("Send", true) >= 100 && count("Shutdown", true) >= 100, "{found:?}");
    let good: u32 = found.iter().filter(|((_, good), _)| *good).map(|(_, n)| n).sum();
    let all: u32 = found.values().sum();
    assert!(good * 10 >= all * 6, "{good} of {all} succeed: {found:?}");
}
