//! What each target does with its input, apart from libFuzzer.

use std::rc::Rc;

use ifq_model::invariant::{Invariant, Violation};
use ifq_model::outcome::Outcome;
use ifq_model::revision::{Defect, Variant};
use ifq_model::scenario::{Expect, Schedule, Test};
use ifq_sim::exec::{RunResult, run_once};
use ifq_sim::file::{from_json, parse, print, to_json, validate};
use ifq_sim::schedule::Bytes;

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

/// Runs a decoded input once on each of its revisions, with some defects switched on.
///
/// # Errors
/// The run that broke an invariant.
pub fn run(world: &World, defects: &[Defect]) -> Result<Vec<Outcome>, Box<Failure>> {
    let test = Rc::new(world.test.clone());
    let mut outcomes = Vec::new();
    for &revision in &test.revisions {
        let variant = Variant { revision, defects: defects.to_vec() };
        let scheduler = Box::new(Bytes::new(&world.schedule));
        let RunResult { outcome, violation, decisions, .. } = run_once(&test, &variant, scheduler);
        // A run that neither ends nor breaks anything was given up after too many steps.
        let endless =
            || Violation { invariant: Invariant::I4, what: "the run does not end".to_owned() };
        match (outcome, violation) {
            (Some(outcome), None) => outcomes.push(outcome),
            (_, violation) => {
                let violation = violation.unwrap_or_else(endless);
                return Err(Box::new(failure(&test, &variant, violation, decisions)));
            }
        }
    }
    Ok(outcomes)
}

fn failure(test: &Test, variant: &Variant, violation: Violation, decisions: Vec<u32>) -> Failure {
    let mut test = test.clone();
    let defects = variant.defects.clone();
    test.revisions = vec![variant.revision];
    if !defects.is_empty() {
        let violates = Some(violation.invariant);
        test.expect.push(Expect { defects: defects.clone(), violates });
    }
    test.schedule = Some(Schedule { defects, decisions });
    Failure { violation, test }
}

/// The target `world`.
///
/// # Panics
/// A sound revision breaks an invariant; the message holds the test file.
pub fn world(world: &World) {
    if let Err(failure) = run(world, &[]) {
        panic!("{failure}");
    }
}

/// The target `canary`: must fail for some inputs.
///
/// # Panics
/// As [`world`], with [`Defect::EarlyPut`] on.
pub fn canary(world: &World) {
    if let Err(failure) = run(world, &[Defect::EarlyPut]) {
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
