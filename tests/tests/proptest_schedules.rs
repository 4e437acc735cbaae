//! Goal: every invariant holds in small random tests under random schedules. Method: proptest generates
//! tests, and the deterministic executor runs each of them under a few random schedules. A failure is
//! shrunk and printed as a test file with its schedule.
//!
//! `PROPTEST_CASES` sets the number of tests, `PROPTEST_RNG_SEED` the seed.

use std::cell::Cell;
use std::rc::Rc;

use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::test::{Op, Schedule, ScheduleOrder, Test};
use ifq_sim::executor::run::{RunResult, run_once};
use ifq_sim::executor::scheduler::{Random, Replay};
use ifq_sim::format;
use ifq_sim::generate::{Threads, concurrent};
use ifq_tests::generate::threads;
use proptest::prelude::*;
use proptest::test_runner::{
    Config, FileFailurePersistence, RngSeed, TestCaseError, TestError, TestRunner,
};

/// Number of random schedules for each test.
const SCHEDULES: u64 = 4;

fn config(cases: u32) -> Config {
    let mut config = Config::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
        config.rng_seed = RngSeed::Fixed(7_3);
    }
    config.failure_persistence = Some(Box::new(FileFailurePersistence::Direct(
        "proptest-regressions/proptest_schedules.txt",
    )));
    config
}

fn cases() -> impl Strategy<Value = (Threads, u64)> {
    (threads(16, 20), any::<u64>())
}

/// The test as a file with the schedule of the run.
fn text(test: &Test, variant: &Variant, result: &RunResult) -> String {
    let schedule = Schedule {
        defects: variant.defects.clone(),
        without: variant.without.clone(),
        order: ScheduleOrder::Decisions(result.decisions.clone()),
    };
    format::print(&Test { schedule: Some(schedule), ..test.clone() })
}

fn check_invariants(from: &Threads, seed: u64, variant: &Variant) -> Result<(), TestCaseError> {
    let test = concurrent(variant.revision, from);
    if let Err(invalid) = format::validate(&test) {
        let text = format::print(&test);
        return Err(TestCaseError::fail(format!("not a valid test: {invalid}\n{text}")));
    }
    let test = Rc::new(test);
    for n in 0..SCHEDULES {
        let result = run_once(&test, variant, Box::new(Random::new(seed.wrapping_add(n))));
        let text = || text(&test, variant, &result);
        if let Some(violation) = &result.violation {
            return Err(TestCaseError::fail(format!("{violation}\n{}", text())));
        }
        if result.outcome.is_none() {
            return Err(TestCaseError::fail(format!("no outcome\n{}", text())));
        }
    }
    Ok(())
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

fn no_invariant_breaks(revision: Revision) {
    let variant = Variant::fixed(revision);
    let result = TestRunner::new(config(500))
        .run(&cases(), |(threads, seed)| check_invariants(&threads, seed, &variant));
    assert_passed(result);
}

#[test]
fn random_threads_break_no_invariant_of_proxy_v1_fixed() {
    no_invariant_breaks(Revision::ProxyV1);
}

#[test]
fn random_threads_break_no_invariant_of_proxy_fixed() {
    no_invariant_breaks(Revision::ProxyFixed);
}

#[test]
fn random_threads_break_no_invariant_of_import_6_19_fixed() {
    no_invariant_breaks(Revision::Import619);
}

#[test]
fn random_threads_break_no_invariant_of_import_7_0_fixed() {
    no_invariant_breaks(Revision::Import70);
}

#[test]
fn random_threads_break_no_invariant_of_import_7_1_fixed() {
    no_invariant_breaks(Revision::Import71);
}

#[test]
fn random_threads_break_no_invariant_of_import_7_2_fixed() {
    no_invariant_breaks(Revision::Import72);
}

#[test]
fn random_threads_break_no_invariant_of_import_7_3() {
    no_invariant_breaks(Revision::Import73);
}

#[test]
fn task_work_on_a_dying_ring_is_found() {
    let variant = Variant::with(Revision::Import73, &[Defect::DyingTwRuns]);
    // A counterexample suffices here, so a short shrink keeps the test fast.
    let mut config = Config { max_shrink_iters: 200, ..config(20_000) };
    config.failure_persistence = None;
    let result = TestRunner::new(config)
        .run(&cases(), |(threads, seed)| check_invariants(&threads, seed, &variant));
    let Err(TestError::Fail(reason, _)) = result else {
        panic!("the planted defect was not found: {result:?}");
    };
    assert!(reason.to_string().contains("dying-tw-runs"), "{reason}");
}

#[test]
fn a_recorded_schedule_repeats_its_run() {
    for revision in Revision::ALL {
        let variant = Variant::fixed(revision);
        let config = Config { failure_persistence: None, ..config(100) };
        let result = TestRunner::new(config).run(&cases(), |(threads, seed)| {
            let test = Rc::new(concurrent(revision, &threads));
            let first = run_once(&test, &variant, Box::new(Random::new(seed)));
            let again = run_once(&test, &variant, Box::new(Replay::new(&first.decisions)));
            prop_assert_eq!(first, again);
            Ok(())
        });
        assert_passed(result);
    }
}

#[test]
fn most_generated_tests_have_threads_that_share_an_ifq() {
    for revision in Revision::ALL {
        let counted = Cell::new((0, 0, 0));
        let config = Config { failure_persistence: None, ..config(300) };
        let result = TestRunner::new(config).run(&cases(), |(threads, _)| {
            let test = concurrent(revision, &threads);
            let (all, several, shared) = counted.get();
            let sharing = if revision.has_clone() {
                test.steps().any(|s| matches!(s.op, Op::Clone { ring, from, .. } if ring != from))
            } else {
                test.steps().any(|s| matches!(s.op, Op::Import { .. }))
            };
            counted.set((
                all + 1,
                several + u32::from(test.threads.len() > 1),
                shared + u32::from(test.threads.len() > 1 && sharing),
            ));
            Ok(())
        });
        assert_passed(result);
        let (all, several, shared) = counted.get();
        assert!(several * 10 >= all * 7, "{revision}: {several} of {all} have two threads");
        assert!(shared * 10 >= all * 4, "{revision}: {shared} of {all} share an ifq");
    }
}
