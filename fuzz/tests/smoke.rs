//! Goal: the fuzz targets work, and the canary target can find its planted defect. Method: run the bodies of
//! the targets on random inputs and on the corpora, without libFuzzer.

use std::mem::discriminant;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ifq_fuzz::decode::FuzzInput;
use ifq_fuzz::encode::encode;
use ifq_fuzz::targets::{
    Failure, canary, canary_variant, check_round_trips, fixed_variant, parse_bytes, run, world,
};
use ifq_model::outcome::Value;
use ifq_model::revision::{Defect, Variant};
use ifq_model::test::{Step, Test};
use ifq_sim::commands::replay::replay;
use ifq_sim::executor::rng::Rng;
use ifq_sim::executor::run::{run_fuzzed, run_once};
use ifq_sim::executor::scheduler::FuzzSchedule;
use ifq_sim::format::{load, print, validate};

/// Length of a random input in bytes: the largest number of operations, and a schedule.
const LEN: usize = 512;

fn input(seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    (0..LEN).map(|_| rng.below(256) as u8).collect()
}

#[test]
fn every_input_decodes_to_a_valid_test() {
    for seed in 0..2000 {
        let mut bytes = input(seed);
        bytes.truncate(seed as usize % LEN);
        let FuzzInput { test, .. } = FuzzInput::decode(&bytes);
        if let Err(invalid) = validate(&test) {
            panic!("seed {seed}: {invalid}\n{}", print(&test));
        }
    }
}

#[test]
fn every_decoded_test_survives_both_formats() {
    (0..200).for_each(|seed| check_round_trips(&FuzzInput::decode(&input(seed)).test));
}

/// The bounds of the decoder were chosen with this measurement.
#[test]
fn random_inputs_hold_and_most_of_their_operations_succeed() {
    const INPUTS: u64 = 2000;
    let (mut steps, mut effective) = (0, 0);
    for seed in 0..INPUTS {
        let fuzz_input = FuzzInput::decode(&input(seed));
        let outcome = run(&fuzz_input, &fixed_variant(&fuzz_input));
        let outcome = outcome.unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
        for value in &outcome.0 {
            steps += 1;
            effective += u64::from(matches!(value, Value::Fd | Value::Number(0..)));
        }
    }
    let percent = 100 * effective / steps;
    println!("{} operations an input, {percent} % with an effect", steps / INPUTS);
    assert!(steps / INPUTS > 10);
    assert!(percent > 80, "only {percent} %");
}

/// The target leaves out fingerprints where no lasso can be found.
#[test]
fn a_run_of_the_target_is_the_run_of_the_executor() {
    for seed in 0..100 {
        let FuzzInput { test, schedule } = FuzzInput::decode(&input(seed));
        let test = Rc::new(test);
        for variant in [Variant::fixed(test.revisions[0]), canary_variant()] {
            let scheduler = Box::new(FuzzSchedule::new(&schedule));
            let expected = run_once(&test, &variant, scheduler);
            assert_eq!(run_fuzzed(&test, &variant, &schedule), expected, "seed {seed}");
        }
    }
}

#[test]
fn the_canary_fails_within_a_hundred_inputs_and_fails_again_in_a_replay() {
    let found = (0..100).find_map(|seed| {
        let failure = run(&FuzzInput::decode(&input(seed)), &canary_variant()).err()?;
        Some((seed, failure))
    });
    let (seed, failure) = found.expect("early-put breaks an invariant");
    println!("seed {seed}: {}", failure.violation);
    check_round_trips(&failure.test);
    let Failure { test, violation } = *failure;
    let schedule = test.schedule.clone().expect("a schedule");
    assert_eq!(schedule.defects, [Defect::EarlyPut]);
    let again = replay(&Rc::new(test), &schedule);
    assert!(again.unfollowed.is_none() && again.diverged_at.is_none());
    assert_eq!(again.run.violation, Some(violation));
}

fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let bytes = std::fs::read(path).expect("a file");
        (path.display().to_string(), bytes)
    };
    paths.iter().map(read).collect()
}

#[test]
fn the_seeds_of_world_hold_and_some_of_them_fail_on_the_canary() {
    let mut failures = 0;
    let seeds = files("corpus/world");
    assert!(seeds.len() >= 10, "{} seeds", seeds.len());
    for (name, bytes) in &seeds {
        let input = FuzzInput::decode(bytes);
        println!("{name}: {} steps", input.test.steps().count());
        world(&input);
        failures += usize::from(run(&input, &canary_variant()).is_err());
    }
    assert!(failures > 0);
}

#[test]
fn the_seeds_of_canary_hold_on_the_canary() {
    let seeds = files("corpus/canary");
    assert!(!seeds.is_empty());
    seeds.iter().for_each(|(_, bytes)| canary(&FuzzInput::decode(bytes)));
}

#[test]
fn the_seeds_of_parse_survive_a_round_trip() {
    let seeds = files("corpus/parse");
    assert!(seeds.len() >= 3, "{} seeds", seeds.len());
    seeds.iter().for_each(|(_, bytes)| parse_bytes(bytes));
}

#[test]
fn a_library_test_is_encoded_to_bytes_that_decode_to_its_steps() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/library/teardown/exits-race.ifq");
    let wanted = load(path).expect("a test of the library");
    let bytes = encode(&wanted, &[1, 2, 3]).expect("all of its steps can be decoded");
    let FuzzInput { test, schedule } = FuzzInput::decode(&bytes);
    assert_eq!(schedule, [1, 2, 3]);
    let op = |step: &Step| (discriminant(&step.op), step.op.ring());
    let ops = |test: &Test| -> Vec<Vec<_>> {
        let lists = [&test.setup].into_iter().chain(test.threads.iter().map(|t| &t.steps));
        lists.map(|list| list.iter().map(op).collect()).collect()
    };
    assert_eq!(ops(&test), ops(&wanted));
}
