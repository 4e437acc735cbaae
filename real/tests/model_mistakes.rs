//! Goal: one comparison with a kernel detects a mistake in the model. Method: add a defect to the model
//! or change an allowed outcome, run the test on user-mode Linux and compare; without the mistake the
//! same test agrees. Without that kernel the test prints the reason and checks nothing.
#![cfg(target_os = "linux")]

mod not_run;
mod race;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use ifq_model::errno::{EBADF, EINVAL, ENOMEM};
use ifq_model::outcome::{Outcome, Value};
use ifq_model::revision::{Defect, Variant};
use ifq_model::test::Test;
use ifq_real::conform::compare::{Allowed, Verdict};
use ifq_real::conform::oracle::{Explorer, Oracle};
use ifq_real::conform::progress::Progress;
use ifq_real::conform::run::{AllowedCache, IDLE_TIMEOUT_MS, RunOptions, TestResult, run_tests};
use ifq_real::machine::Uml;
use race::RACE;

/// Two rings use an ifq; each result is deterministic.
const LIFE: &str = "\
test a-life
about Two buffers are received, returned and received into again by owner and importer.
revision import-7.1 import-7.2 import-7.3
ring a b
socket s
observe imp bad c d r f e g

setup
  i = a: register nodev buffers=2 entries=8
  box = a: export i
  imp = b: import box
  close box
  bad = b: import box
  a: recv i s
  s: send 100
  s: send 50
  c = a: wait
  d = a: wait
  r = return c to i
  f = a: flush i
  s: send 30
  e = a: wait
  s: send 20
  g = a: wait
expect holds
";

/// A receive that runs out of buffers, and steps that do not matter for it.
const STALL: &str = "\
test a-stream-goes-on
revision import-7.1 import-7.2 import-7.3
ring a b
socket s
observe f c d

setup
  i = a: register nodev buffers=1 entries=1
  box = a: export i
  j = b: import box
  f = b: flush j
  a: recv i s
  s: send 4097
  c = a: wait
  d = a: wait
expect holds
";

/// The number of steps of [`STALL`] that show the defect M7.
const STALL_STEPS: usize = 5;

/// Changes an outcome.
type Change = fn(&mut Vec<Value>);

/// The explorer with changed outcomes.
struct Mistaken {
    explorer: Explorer,
    change: Change,
}

impl Oracle for Mistaken {
    fn variant(&self, test: &Test, kernel: &str) -> Result<Variant, String> {
        self.explorer.variant(test, kernel)
    }

    fn allowed(&self, test: &Test, variant: &Variant) -> Result<Allowed, String> {
        let Allowed { set, by_fault, exhaustive, stalls, repeats, overwrites, crashes } =
            self.explorer.allowed(test, variant)?;
        let changed = |Outcome(mut values): Outcome| {
            let before = values.clone();
            (self.change)(&mut values);
            assert_ne!(values, before, "the change has no effect");
            Outcome(values)
        };
        Ok(Allowed {
            set: set.into_iter().map(changed).collect(),
            by_fault,
            exhaustive,
            stalls,
            repeats,
            overwrites,
            crashes,
        })
    }

    fn finds(&self, test: &Test, variant: &Variant, outcome: &Outcome) -> bool {
        self.explorer.finds(test, variant, outcome)
    }

    fn soon_finds(&self, _: &Test, _: &Variant, _: &BTreeSet<Outcome>) -> bool {
        false
    }
}

fn explorer() -> Explorer {
    Explorer::new(Duration::from_secs(60))
}

/// MachineResults of one comparison, or `None` after the reason why there is none has been printed.
fn compared(texts: &[&str], oracle: impl Oracle + 'static) -> Option<Vec<TestResult>> {
    let parse = |text: &&str| ifq_sim::format::parse("test", text).unwrap();
    let tests: Arc<Vec<Test>> = Arc::new(texts.iter().map(parse).collect());
    let machine = match Uml::new(Path::new(env!("CARGO_BIN_EXE_ifq"))) {
        Ok(machine) => machine,
        Err(failure) => return say_not_run(&failure.to_string()),
    };
    let options =
        RunOptions { times: 20, seed: 1, idle_timeout_ms: IDLE_TIMEOUT_MS, observed_first: false };
    let (oracle, cache): (Arc<dyn Oracle>, _) =
        (Arc::new(oracle), Arc::new(AllowedCache::default()));
    let results =
        run_tests(&machine, &tests, &options, &oracle, &cache, &Arc::new(Progress::new())).unwrap();
    match results.failure {
        Some(reason) => say_not_run(&reason),
        None => Some(results.result),
    }
}

fn say_not_run<T>(reason: &str) -> Option<T> {
    not_run::not_run(reason);
    None
}

/// Indices of the observed results of [`LIFE`].
const BAD: usize = 1;
const C: usize = 2;
const D: usize = 3;
const E: usize = 6;
const G: usize = 7;

#[test]
fn without_a_mistake_the_kernel_agrees() {
    let Some(result) = compared(&[LIFE, RACE, STALL], explorer()) else { return };
    for (result, outcome) in result.iter().zip(["c=100; d=50; r=0; f=0; e=30; g=-ENOMEM;", "", ""])
    {
        let comparison = &result.comparison;
        assert_eq!(comparison.verdict, Verdict::Agrees, "{comparison:?}");
        assert!(comparison.rows[0].outcome.contains(outcome), "{comparison:?}");
    }
}

#[test]
fn each_mistake_in_an_outcome_is_detected_in_one_run() {
    let mistakes: [(&str, Change); 6] = [
        ("the errno of an import", |o| o[BAD] = Value::Number(-EINVAL)),
        ("the order of two completions", |o| o.swap(C, D)),
        ("a lost buffer: the flush returns none", |o| o[E] = Value::Number(-ENOMEM)),
        ("an additional buffer", |o| o[G] = Value::Number(20)),
        ("the number of bytes of a completion", |o| o[C] = Value::Number(128)),
        ("the errno of a receive", |o| o[G] = Value::Number(-EBADF)),
    ];
    for (what, change) in mistakes {
        let planted = Mistaken { explorer: explorer(), change };
        let Some(result) = compared(&[LIFE], planted) else { return };
        let comparison = &result[0].comparison;
        assert_eq!(comparison.verdict, Verdict::Differs, "{what}: {comparison:?}");
        assert!(comparison.reason.starts_with("not allowed: "), "{what}: {comparison:?}");
    }
}

#[test]
fn a_missing_outcome_of_a_race_is_detected() {
    let change: Change = |o| o[0] = Value::Number(-EINVAL);
    let Some(result) = compared(&[RACE], Mistaken { explorer: explorer(), change }) else {
        return;
    };
    assert_eq!(result[0].comparison.verdict, Verdict::Differs);
    assert_eq!(result[0].comparison.seen(), 0);
}

#[test]
fn a_defect_in_the_model_is_detected_and_stored_by_the_command_and_agrees_without_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(path("stall.ifq"), STALL).unwrap();
    let conform = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_ifq")).arg("conform").args(arguments).output().unwrap()
    };
    // On a kernel with the defect the fixed model is the wrong one.
    let explorer = explorer();
    let switch = |kernel: &str| {
        let test = ifq_sim::format::parse("test", STALL).unwrap();
        let has = explorer.variant(&test, kernel).unwrap().has(Defect::M7);
        if has { "--without" } else { "--defect" }
    };
    let plain = conform(&[&path("stall.ifq"), "--on", "uml", "--times", "2", "--json"]);
    let line: serde_json::Value = serde_json::from_slice(&plain.stdout).unwrap();
    if line["result"] == "not-run" {
        return not_run::not_run(&line["reason"]);
    }
    assert_eq!((plain.status.code(), &line["result"]), (Some(0), &"agrees".into()), "{line}");
    let switch = switch(line["kernel"].as_str().unwrap());
    let out = path("differences");
    let planted = conform(&[
        &path("stall.ifq"),
        "--on",
        "uml",
        "--times",
        "2",
        "--json",
        "--out",
        &out,
        switch,
        "M7",
    ]);
    assert_eq!(planted.status.code(), Some(1), "{planted:?}");
    let line: serde_json::Value = serde_json::from_slice(&planted.stdout).unwrap();
    assert_eq!(line["result"], "differs");
    let stored = line["stored"].as_str().unwrap();
    let text = std::fs::read_to_string(stored).unwrap();
    let comments: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
    for (side, mark) in [("seen", " NO "), ("allowed", " yes ")] {
        assert!(comments.iter().any(|line| line.contains(mark)), "{side} is missing:\n{text}");
    }
    let test = ifq_sim::format::parse(stored, &text).unwrap();
    assert_eq!(test.steps().count(), STALL_STEPS, "not minimised:\n{text}");
    let again = conform(&[stored, "--on", "uml", "--times", "2"]);
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    let again =
        conform(&[stored, "--on", "uml", "--times", "2", "--out", &path("again"), switch, "M7"]);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
}
