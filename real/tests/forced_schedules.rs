//! Goal: a stock kernel follows a schedule, has each outcome that the model allows, and a schedule that it cannot follow
//! is never reported as followed.
//! Method: run a schedule of the library on Debian's 7.3 in QEMU, the same with a place that the kernel does not have,
//! and the schedules of all outcomes of a race. Without that kernel the test prints the reason and checks nothing.
#![cfg(target_os = "linux")]

mod not_run;

use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use ifq_model::outcome::Outcome;
use ifq_model::test::Test;
use ifq_model::test::schedule::{Place, Switch};
use ifq_real::conform::force::{attempt, plain, wanted};
use ifq_real::conform::oracle::{Explorer, Oracle};
use ifq_real::forced::{Case, kernel_lines, run};
use ifq_real::job::Report;
use ifq_real::machine::{Qemu, Series};

fn file(name: &str) -> Test {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
    ifq_sim::format::load(library.join(format!("{name}.ifq"))).unwrap()
}

/// The lines with another function in the place of the first one.
fn elsewhere(mut lines: Vec<Switch>) -> Vec<Switch> {
    let Place::At(place) = &mut lines[0].until else { panic!("{lines:?}") };
    place.function = Some("io_pin_pages".to_owned());
    lines
}

#[test]
#[ignore = "not run by default: boots an emulated kernel; .ci/run runs it, \
            cargo test -p ifq-real -- --ignored in_qemu"]
fn in_qemu_a_kernel_follows_schedules_and_has_each_allowed_outcome_of_a_race() {
    let test = file("import/an-importer-stands-while-the-owner-exits");
    let lines = kernel_lines(test.schedule.as_ref().and_then(|all| all.switches()).unwrap());
    let test = plain(&test);
    let wrong = elsewhere(lines.clone());
    let race = plain(&file("import/a-close-races-with-two-imports"));
    let oracle = Explorer::new(Duration::from_secs(60));
    let variant = oracle.variant(&race, "7.3.4").unwrap();
    let wanted = wanted(&race, &variant, &oracle, Duration::from_secs(60)).unwrap();
    assert!(wanted.len() > 1, "{wanted:?}");
    let mut cases: Vec<Case> =
        [lines, wrong].map(|lines| Case { test: test.clone(), lines }).into_iter().collect();
    for one in &wanted {
        cases.push(Case { test: race.clone(), lines: one.lines.clone().unwrap() });
    }
    let machine = Qemu::debian(Path::new(env!("CARGO_BIN_EXE_ifq")), Series::new(7, 3), 1);
    let reply = match machine.and_then(|machine| run(&machine, &cases, &mut |_| {})) {
        Ok(reply) => reply,
        Err(failure) => return not_run::not_run(failure),
    };
    let followed = reply.runs[0].as_ref().expect("the first schedule was run");
    assert_eq!(followed.failure, None, "{followed:?}");
    let reached: Vec<&str> = followed.lines.iter().filter_map(|l| l.reached.as_deref()).collect();
    assert_eq!(reached.len(), cases[0].lines.len(), "{followed:?}");
    assert!(reached[0].contains("zcrx+0x"), "the importer stands in the kernel: {reached:?}");
    let Report::Completed { histogram, problems, .. } = &reply.reply.reports[0] else {
        panic!("{:?}", reply.reply.reports[0])
    };
    assert_eq!(histogram[0].0.display(&test), "x=0; imp=0; f=0;");
    assert!(problems.is_empty(), "{problems:?}");
    let failed = reply.runs[1].as_ref().expect("the second schedule was run");
    let reason = failed.failure.as_deref().expect("the kernel has no such place");
    assert!(reason.contains("io_pin_pages"), "{reason}");
    let allowed: BTreeSet<Outcome> = wanted.iter().map(|one| one.outcome.clone()).collect();
    let results = reply.runs[2..].iter().cloned().zip(reply.reply.reports[2..].iter().map(Some));
    for (one, result) in wanted.iter().zip(results) {
        let attempt = attempt(&race, one, &allowed, result);
        assert_eq!((&attempt.not_forced, &attempt.outside), (&None, &Vec::new()), "{attempt:?}");
    }
    assert_eq!(reply.reply.how.boots, 1, "one boot for all");
}

/// What `ifq replay` prints for the schedule of the library with another first line, and its exit code.
fn replayed(first: &str) -> (String, Option<i32>) {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
    let file = library.join("import/an-importer-stands-while-the-owner-exits.ifq");
    let text = std::fs::read_to_string(file).unwrap();
    let known = "b until import_zcrx: before lock(mmap_lock)";
    assert!(text.contains(known), "{text}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changed.ifq");
    std::fs::write(&path, text.replace(known, first)).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_ifq"))
        .args([std::ffi::OsStr::new("replay"), path.as_os_str()])
        .args(["--on", "qemu:7.3"])
        .output()
        .unwrap();
    (String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code())
}

#[test]
fn a_wrong_line_of_a_schedule_is_an_error_at_its_place_before_a_kernel_boots() {
    for (line, column, expected) in [
        ("b until import_zcr: before lock(mmap_lock)", 13, "did you mean `import_zcrx`?"),
        ("b until import_zcrx: before lock(mmap_loc)", 38, "did you mean `mmap_lock`?"),
        ("q until import_zcrx: before lock(mmap_lock)", 5, "expected `a` or `b`"),
        ("exit(Q) until done", 10, "expected `A` or `B`"),
        ("b until import_zcrx: before lock(ifq7.mmap_lock)", 5, "it came to `import_zcrx: before"),
    ] {
        let (error, code) = replayed(line);
        assert!(error.contains(&format!("changed.ifq:20:{column}: ")), "{line}: {error}");
        assert!(error.contains(expected), "{line}: {error}");
        assert_eq!(code, Some(2), "{line}: {error}");
    }
}

#[test]
fn the_counterexample_of_each_defect_replays_in_the_model_of_each_kernel_that_has_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/defects");
    let files = ifq_sim::format::test_files(&folder).unwrap();
    assert!(!files.is_empty());
    for file in files {
        let test = ifq_sim::format::load(&file).unwrap();
        let schedule = test.schedule.clone().expect("a schedule");
        for revision in &test.revisions {
            let test = Rc::new(Test { revisions: vec![*revision], ..test.clone() });
            let replayed = ifq_sim::commands::replay::replay(&test, &schedule);
            let name = format!("{} on {revision}", test.name);
            assert!(replayed.unfollowed.is_none(), "{name}: {:?}", replayed.unfollowed);
            let violated = replayed.run.failure().map(|violation| violation.invariant);
            let expected = test.expected(&replayed.variant);
            assert!(expected.is_some() && violated == expected, "{name}: {violated:?}");
        }
    }
}
