//! Goal: in a sequence of operations the model of each revision returns the results of the sequential
//! specification and breaks no invariant. Method: proptest generates sequences, and the deterministic
//! executor runs each of them with a random order of background work. A failure is shrunk and printed as
//! a test file, and its seed is kept in `proptest-regressions`.
//!
//! The specification describes a revision without its own defects, so the model runs without them too.
//! `PROPTEST_CASES` sets the number of sequences, `PROPTEST_RNG_SEED` the seed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use ifq_model::errno::{self, EBADF};
use ifq_model::fault::FaultPoint;
use ifq_model::io_uring::{cq, zcrx};
use ifq_model::net::page_pool;
use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::spec::{self, SpecifiedResults};
use ifq_model::test::{Op, Test, VarId};
use ifq_sim::executor::run::run_once;
use ifq_sim::executor::scheduler::Random;
use ifq_sim::format;
use ifq_sim::generate::{Shape, Word, sequence};
use ifq_tests::generate::{shape, words};
use proptest::prelude::*;
use proptest::test_runner::{
    Config, FileFailurePersistence, RngSeed, TestCaseError, TestError, TestRunner,
};

/// A configuration that keeps the seeds of failures in one file for each revision.
fn config_with_persistence(revision: Revision, cases: u32) -> Config {
    let file: &'static str = match revision {
        Revision::ProxyV1 => "proptest-regressions/spec-proxy-v1.txt",
        Revision::ProxyV2 => "proptest-regressions/spec-proxy-v2.txt",
        Revision::ProxyV3 => "proptest-regressions/spec-proxy-v3.txt",
        Revision::ProxyV4 => "proptest-regressions/spec-proxy-v4.txt",
        Revision::ProxyFixed => "proptest-regressions/spec-proxy-fixed.txt",
        Revision::Import619 => "proptest-regressions/spec-import-6.19.txt",
        Revision::Import70 => "proptest-regressions/spec-import-7.0.txt",
        Revision::Import71 => "proptest-regressions/spec-import-7.1.txt",
        Revision::Import72 => "proptest-regressions/spec-import-7.2.txt",
        Revision::Import73 => "proptest-regressions/spec-import-7.3.txt",
        Revision::ImportNext => "proptest-regressions/spec-import-next.txt",
    };
    let persistence = FileFailurePersistence::Direct(file);
    Config { failure_persistence: Some(Box::new(persistence)), ..config(cases) }
}

fn config(cases: u32) -> Config {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(7_3);
    }
    config
}

type Case = (Shape, Vec<Word>, u64);

fn cases(max: usize) -> impl Strategy<Value = Case> {
    (shape(), words(max), any::<u64>())
}

/// Runs a sequence and compares the results with the specification. `change` may falsify the specified
/// results first.
fn compare(
    test: Test,
    seed: u64,
    variant: &Variant,
    change: impl Fn(&Test, &mut SpecifiedResults),
) -> Result<(), TestCaseError> {
    let fail = |test: &Test, what: String| {
        Err(TestCaseError::fail(format!(
            "{variant}: {what}\nschedule seed {seed}\n{}",
            format::print(test)
        )))
    };
    if let Err(invalid) = format::validate(&test) {
        return fail(&test, format!("not a valid test: {invalid}"));
    }
    let Some(mut specified) = spec::run(&test, variant.revision) else {
        return fail(&test, "the specification predicts no results".to_owned());
    };
    change(&test, &mut specified);
    if !specified.left.is_empty() {
        return fail(&test, format!("the specification leaks: {:?}", specified.left));
    }
    let test = Rc::new(test);
    let result = run_once(&test, variant, Box::new(Random::new(seed)));
    if let Some(violation) = result.violation {
        return fail(&test, violation.to_string());
    }
    let Some(found) = result.outcome else { return fail(&test, "no outcome".to_owned()) };
    let specified = specified.outcome(&test);
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

/// Searches for a failure and shrinks it. Returns the sequence and the error of `compare`. Short
/// sequences are tried first, because a long one may shrink to a local minimum only.
fn shrunk(variant: &Variant, change: impl Fn(&Test, &mut SpecifiedResults)) -> (Test, String) {
    let revision = variant.revision;
    for most in [6, 12, 24, 48] {
        let result = TestRunner::new(config(1500)).run(&cases(most), |(shape, words, seed)| {
            compare(sequence(revision, &shape, &words), seed, variant, &change)
        });
        if let Err(TestError::Fail(_, (shape, words, seed))) = result {
            return minimal(sequence(revision, &shape, &words), |test| {
                spec::run(test, revision)?;
                compare(test.clone(), seed, variant, &change).err()
            });
        }
        assert_passed(result);
    }
    panic!("the planted difference was not found");
}

/// Removes steps as long as the test still fails. proptest removes words instead, which changes the
/// meaning of the words that follow.
fn minimal(mut test: Test, fails: impl Fn(&Test) -> Option<TestCaseError>) -> (Test, String) {
    let mut reason = fails(&test).map_or_else(String::new, |e| e.to_string());
    let mut at = 0;
    while at < test.finally.len() {
        let fewer = without(&test, at);
        match fails(&fewer) {
            Some(error) => {
                (test, reason) = (fewer, error.to_string());
                at = 0;
            }
            None => at += 1,
        }
    }
    (test, reason)
}

/// A test without one of its steps and the steps that depend on its result.
fn without(test: &Test, at: usize) -> Test {
    let mut test = test.clone();
    let mut gone = BTreeSet::from([test.finally.remove(at).bind]);
    test.finally.retain(|step| {
        let stays = step.op.uses().all(|var| !gone.contains(&Some(var)));
        stays || !gone.insert(step.bind)
    });
    test.observe.retain(|var| !gone.contains(&Some(*var)));
    format::renumber(&mut test);
    test.vars.truncate(test.finally.len());
    test
}

/// Panics with the reason of a failed property, which contains the test file. proptest's own
/// counterexample would be a list of numbers.
fn assert_passed<T: std::fmt::Debug>(result: Result<(), TestError<T>>) {
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, _)) => panic!("{reason}"),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_specification_has_the_bounds_of_the_model() {
    assert_eq!(spec::COMPLETIONS as u64, cq::CQ_ENTRIES);
    assert_eq!(spec::AREAS, zcrx::ZCRX_MAX_AREAS);
    assert_eq!(spec::CACHE, page_pool::PP_ALLOC_CACHE_REFILL);
    assert_eq!(spec::RECYCLED, page_pool::RING_QSIZE);
}

fn returns_the_specified_results(revision: Revision) {
    let variant = Variant::fixed(revision);
    let result = TestRunner::new(config_with_persistence(revision, 1500)).run(
        &cases(60),
        |(shape, words, seed)| {
            compare(sequence(revision, &shape, &words), seed, &variant, |_, _| {})
        },
    );
    if let Err(TestError::Fail(_, (shape, words, seed))) = result {
        let (_, reason) = minimal(sequence(revision, &shape, &words), |test| {
            spec::run(test, revision)?;
            compare(test.clone(), seed, &variant, |_, _| {}).err()
        });
        panic!("{reason}");
    }
    assert_passed(result);
}

#[test]
fn proxy_v1_fixed_returns_the_specified_results() {
    returns_the_specified_results(Revision::ProxyV1);
}

#[test]
fn proxy_fixed_returns_the_specified_results() {
    returns_the_specified_results(Revision::ProxyFixed);
}

#[test]
fn import_6_19_fixed_returns_the_specified_results() {
    returns_the_specified_results(Revision::Import619);
}

#[test]
fn import_7_0_fixed_returns_the_specified_results() {
    returns_the_specified_results(Revision::Import70);
}

#[test]
fn import_7_1_fixed_returns_the_specified_results() {
    returns_the_specified_results(Revision::Import71);
}

#[test]
fn import_7_2_fixed_returns_the_specified_results() {
    returns_the_specified_results(Revision::Import72);
}

#[test]
fn import_7_3_returns_the_specified_results() {
    returns_the_specified_results(Revision::Import73);
}

/// A test with these lines in `finally` and all results observed.
fn written(revision: Revision, lines: &[String]) -> Test {
    let head =
        format!("test written\nrevision {revision}\nring A B\nsocket s\nqueues 1\nfinally\n");
    let mut test = format::parse("written", &(head + &lines.join("\n") + "\nexpect holds\n"))
        .unwrap_or_else(|error| panic!("{error}"));
    test.observe = (0..test.vars.len() as VarId).collect();
    test
}

/// A list of the model that is too small for a run panics. Defects that return buffers twice and faults
/// are part of the runs, because the capacities must hold for every run.
#[test]
fn no_run_of_a_long_sequence_exceeds_a_capacity() {
    let result = TestRunner::new(config(300)).run(&cases(400), |(shape, words, seed)| {
        for revision in [Revision::ProxyV1, Revision::Import71, Revision::Import73] {
            let mut test = sequence(revision, &shape, &words);
            for faults in [0, 3] {
                test.faults = if faults == 0 { Vec::new() } else { FaultPoint::ALL.to_vec() };
                test.max_faults = faults;
                let test = Rc::new(test.clone());
                for variant in [Variant::fixed(revision), Variant::of(revision)] {
                    run_once(&test, &variant, Box::new(Random::new(seed)));
                }
            }
        }
        Ok(())
    });
    assert_passed(result);
}

/// `io_parse_rqe` keeps a buffer's index in 32 bits, so it ignores bit 44 of an offset and the entry names
/// buffer 0. The flush does not stop at this entry, and the refill ring is empty after it.
#[test]
fn an_entry_names_its_buffer_by_32_bits() {
    let lines = [
        "ifq = A: register nodev buffers=2 entries=2",
        "A: recv ifq s",
        "s: send 128",
        "c = A: wait",
        "r = return c to ifq",
        "q = return c to ifq",
        "scribble ifq off=0 0x100000000000",
        "f = A: flush ifq",
        "u = return c to ifq",
        "v = return c to ifq",
    ];
    let revision = Revision::Import73;
    let test = written(revision, &lines.map(str::to_owned));
    let specified = spec::run(&test, revision).expect("it has no threads");
    assert!(specified.results.iter().all(|(_, result)| *result >= 0), "{specified:?}");
    let compared = compare(test, 1, &Variant::of(revision), |_, _| {});
    compared.unwrap_or_else(|error| panic!("{error}"));
}

/// Plants a defect and expects a difference that shrinks to at most `most` operations and is printed as a
/// test file.
/// `says`: the reason contains one of these.
fn assert_found_and_shrunk(revision: Revision, defect: Defect, says: &[&str], most: usize) {
    let (test, reason) = shrunk(&Variant::with(revision, &[defect]), |_, _| {});
    assert!(says.iter().any(|says| reason.contains(says)), "{reason}");
    assert!(test.finally.len() <= most, "{reason}");
    let printed = format::print(&test);
    assert!(reason.ends_with(&printed), "{reason}");
    assert_eq!(format::parse("printed", &printed).expect("a test file"), test);
}

#[test]
fn a_planted_flag_that_is_not_checked_is_found_and_shrunk() {
    assert_found_and_shrunk(Revision::Import73, Defect::M1, &["the specification says -EINVAL"], 5);
}

#[test]
fn a_planted_field_that_a_clone_does_not_check_is_found_and_shrunk() {
    assert_found_and_shrunk(
        Revision::ProxyFixed,
        Defect::P19,
        &["the specification says -EINVAL"],
        5,
    );
}

#[test]
fn a_planted_stalled_stream_is_found_and_shrunk() {
    // A request that should have ended can still be cancelled.
    let says = ["I10: ", "the specification says -ENOENT"];
    assert_found_and_shrunk(Revision::Import73, Defect::M7, &says, 6);
}

#[test]
fn a_reference_put_too_early_is_found_and_shrunk() {
    assert_found_and_shrunk(Revision::Import73, Defect::EarlyPut, &["I1: "], 6);
}

#[test]
fn a_wrong_specified_result_is_found_and_shrunk() {
    // Falsify the specification: the second close of a descriptor succeeds.
    let (test, reason) = shrunk(&Variant::of(Revision::Import73), |test, specified| {
        for step in &test.finally {
            let Op::Close { .. } = step.op else { continue };
            for (var, result) in &mut specified.results {
                if step.bind == Some(*var) && *result == -EBADF {
                    *result = 0;
                }
            }
        }
    });
    assert!(reason.contains("-EBADF, specified 0"), "{reason}");
    assert!(test.finally.len() <= 6, "{reason}");
}

/// How often each operation returned each result, `ok` or an errno.
type ResultCounts = BTreeMap<(&'static str, &'static str), u32>;

fn tally(test: &Test, revision: Revision, into: &mut ResultCounts) {
    let specified = spec::run(test, revision).expect("a sequence has no threads");
    for (step, (_, result)) in test.finally.iter().zip(&specified.results) {
        let errno = if *result < 0 { errno::name(*result) } else { Some("ok") };
        *into.entry((step.op.verb(), errno.unwrap_or("unknown"))).or_default() += 1;
    }
}

/// The results that each operation must return in some sequence.
fn wanted(revision: Revision) -> Vec<(&'static str, &'static [&'static str])> {
    let says_why = revision.mmap_fails_with_einval();
    let mut wanted: Vec<(_, &[_])> = vec![
        ("register", &["ok", "EBADF", "EPERM", "EFAULT", "EINVAL", "ENODEV", "EEXIST"]),
        ("mmap", if says_why { &["ok", "EBADF", "EINVAL"] } else { &["ok", "EBADF", "ENOMEM"] }),
        ("scribble", &["ok"]),
        ("unregister-netdev", &["ok"]),
        ("exit", &["ok", "EBADF"]),
        ("recv", &["ok", "EBADF"]),
        ("wait", &["ok", "EBADF", "ETIME", "EINVAL", "ENOMEM", "EFAULT"]),
        ("return", &["ok", "ENODATA", "EAGAIN"]),
        ("send", &["ok", "EPIPE", "EAGAIN", "ENODEV"]),
        ("shutdown", &["ok", "ENODEV"]),
    ];
    wanted.extend(match revision.has_clone() {
        true => vec![
            ("clone", &["ok", "EBADF", "EBADFD", "EPERM", "EFAULT", "EINVAL"][..]),
            ("export", &["EINVAL"]),
            ("import", &["EBADF", "EINVAL"]),
        ],
        false => vec![
            ("clone", &["EBADF", "EINVAL"][..]),
            ("export", &["ok", "EBADF", "ENXIO", "EINVAL", "EFAULT"]),
            ("import", &["ok", "EBADF", "EPERM", "EFAULT", "EINVAL"]),
            ("flush", &["ok", "EBADF", "ENXIO", "EINVAL", "EFAULT"]),
            ("close", &["ok", "EBADF"]),
        ],
    });
    if revision.has_events() {
        wanted.push(("arm", &["ok", "EBADF", "ENXIO", "EINVAL", "EFAULT"]));
    } else if revision.has_ctrl() {
        wanted.push(("arm", &["EOPNOTSUPP"]));
    }
    if revision.has_add_area() {
        wanted.push(("add-area", &["ok", "EBADF", "ENXIO", "EINVAL", "EFAULT"]));
    } else if revision.has_ctrl() {
        wanted.push(("add-area", &["EOPNOTSUPP"]));
    }
    wanted
}

#[test]
fn the_sequences_return_every_result_and_most_operations_succeed() {
    for revision in Revision::ALL {
        let tallied = RefCell::new(ResultCounts::new());
        let result = TestRunner::new(config(2000)).run(&cases(60), |(shape, words, _)| {
            tally(&sequence(revision, &shape, &words), revision, &mut tallied.borrow_mut());
            Ok(())
        });
        assert_passed(result);
        let tally = tallied.into_inner();
        for (op, errnos) in wanted(revision) {
            for errno in errnos {
                let n = tally.get(&(op, *errno)).copied().unwrap_or(0);
                assert!(n >= 5, "{revision}: {op} returned {errno} only {n} times: {tally:#?}");
            }
        }
        let good: u32 = tally.iter().filter(|((_, e), _)| *e == "ok").map(|(_, n)| n).sum();
        let all: u32 = tally.values().sum();
        assert!(good * 10 >= all * 6, "{revision}: {good} of {all} succeed: {tally:#?}");
    }
}
