//! What each target does with its input, apart from libFuzzer.

use std::rc::Rc;

use ifq_model::invariant::Violation;
use ifq_model::outcome::Outcome;
use ifq_model::revision::{Defect, Revision, Variant};
use ifq_model::test::Test;
use ifq_sim::executor::counterexample::Counterexample;
use ifq_sim::executor::run::run_once;
use ifq_sim::executor::scheduler::FuzzSchedule;
use ifq_sim::format::{from_json, parse, print, to_json, validate};

use crate::decode::World;

/// A run that broke an invariant.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What broke.
    pub violation: Violation,
    /// The test with the schedule in it.
    pub test: Test,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}", self.violation)?;
        writeln!(f, "save what follows as FILE.ifq, then: ifq replay FILE.ifq")?;
        writeln!(f)?;
        f.write_str(&print(&self.test))
    }
}

/// Runs a decoded input once on a variant of the kernel.
///
/// # Errors
/// The run that broke an invariant, or did not end.
///
/// # Panics
/// The run ends without an outcome and nothing broke: a defect of the machine.
pub fn run(world: &World, variant: &Variant) -> Result<Outcome, Box<Failure>> {
    let test = Rc::new(world.test.clone());
    let run = run_once(&test, variant, Box::new(FuzzSchedule::new(&world.schedule)));
    let Some(violation) = run.failure() else {
        return Ok(run.outcome.expect("a run that breaks nothing comes to its end"));
    };
    let (decisions, steps) = (run.decisions, run.steps);
    let found = Counterexample { violation, decisions, steps };
    let test = found.in_test(&test, variant);
    Err(Box::new(Failure { violation: found.violation, test }))
}

/// What the target `world` runs an input on: its revision, with all that is known to be wrong in it
/// fixed.
#[must_use]
pub fn sound(world: &World) -> Variant {
    Variant::fixed(world.test.revisions[0])
}

/// What the target `canary` runs every input on.
#[must_use]
pub fn ailing() -> Variant {
    Variant::with(Revision::Import73, &[Defect::EarlyPut])
}

/// The target `world`.
///
/// # Panics
/// A fixed revision breaks an invariant; the message holds the test file.
pub fn world(world: &World) {
    if let Err(failure) = run(world, &sound(world)) {
        panic!("{failure}");
    }
}

/// The target `canary`: must fail for some inputs.
///
/// # Panics
/// As [`world`], on [`ailing`].
pub fn canary(world: &World) {
    if let Err(failure) = run(world, &ailing()) {
        panic!("{failure}");
    }
}

/// The target `parse`: bytes as a test file.
///
/// # Panics
/// Reading does, or a test that was read is not valid or does not survive being written and read.
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

/// Both formats hold the whole of a test.
///
/// # Panics
/// One does not, or the test is not valid.
pub fn check_round_trips(test: &Test) {
    validate(test).expect("what was read is valid");
    let text = print(test);
    let again = parse("printed.ifq", &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(&again, test, "printed as text:\n{text}");
    let json = to_json(test);
    let again = from_json(&json).unwrap_or_else(|e| panic!("{e}\n{json}"));
    assert_eq!(&again, test, "printed as JSON:\n{json}");
}
