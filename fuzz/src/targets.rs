//! The bodies of the fuzz targets, without libFuzzer.

use std::rc::Rc;

use ifq_model::invariant::Violation;
use ifq_model::outcome::Outcome;
use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::test::Test;
use ifq_sim::executor::counterexample::Counterexample;
use ifq_sim::executor::run::run_fuzzed;
use ifq_sim::format::{from_json, parse, print, to_json, validate};

use crate::decode::FuzzInput;

/// A run that broke an invariant.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The violation.
    pub violation: Violation,
    /// The test with the schedule of the run.
    pub test: Test,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.violation)?;
        writeln!(f, "save the following lines as FILE.ifq and run: ifq replay FILE.ifq")?;
        writeln!(f)?;
        f.write_str(&print(&self.test))
    }
}

/// Runs a decoded input once on a variant of the kernel.
///
/// # Errors
/// The run breaks an invariant or does not end.
///
/// # Panics
/// The run ends without an outcome and without a violation, which is a defect of the executor.
pub fn run(input: &FuzzInput, variant: &Variant) -> Result<Outcome, Box<Failure>> {
    let test = Rc::new(input.test.clone());
    let run = run_fuzzed(&test, variant, &input.schedule);
    let Some(violation) = run.failure() else {
        return Ok(run.outcome.expect("a run without a violation has an outcome"));
    };
    let (decisions, steps) = (run.decisions, run.steps);
    let found = Counterexample { violation, decisions, steps };
    let test = found.in_test(&test, variant);
    Err(Box::new(Failure { violation: found.violation, test }))
}

/// The variant of the target `world`: the input's revision without its own defects.
#[must_use]
pub fn fixed_variant(input: &FuzzInput) -> Variant {
    Variant::fixed(input.test.revisions[0])
}

/// The variant of the target `canary`: the newest revision with the defect `early-put`.
#[must_use]
pub fn canary_variant() -> Variant {
    Variant::with(Revision::Import73, &[Defect::EarlyPut])
}

/// The target `world`.
///
/// # Panics
/// The run breaks an invariant. The message contains the test file.
pub fn world(input: &FuzzInput) {
    if let Err(failure) = run(input, &fixed_variant(input)) {
        panic!("{failure}");
    }
}

/// The target `canary`. It must fail for some inputs.
///
/// # Panics
/// As [`world`], on [`canary_variant`].
pub fn canary(input: &FuzzInput) {
    if let Err(failure) = run(input, &canary_variant()) {
        panic!("{failure}");
    }
}

/// The target `parse`: bytes as a test file.
///
/// # Panics
/// Parsing panics, or a parsed test is not valid or changes when it is printed and parsed again.
pub fn parse_bytes(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match parse("fuzzed.ifq", text) {
        Ok(test) => check_round_trips(&test),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match from_json(text) {
        Ok(test) => check_round_trips(&test),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Checks that a valid test stays the same when it is printed and parsed, in both formats.
///
/// # Panics
/// The test changes or is not valid.
pub fn check_round_trips(test: &Test) {
    validate(test).expect("a parsed test is valid");
    let text = print(test);
    let again = parse("printed.ifq", &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(&again, test, "printed as text:\n{text}");
    let json = to_json(test);
    let again = from_json(&json).unwrap_or_else(|e| panic!("{e}\n{json}"));
    assert_eq!(&again, test, "printed as JSON:\n{json}");
}
