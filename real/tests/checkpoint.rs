//! Goal: a command with many searches that is interrupted or killed continues from its checkpoint, and
//! prints in the end what an uninterrupted one prints.
//!
//! Method: interrupt it after its first verdict, kill it after the next one, and run it to the end.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Time between two looks at a file.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

fn library(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
    folder.join(name).with_extension("ifq").display().to_string()
}

/// Five searches on three revisions; without reductions three of them take seconds.
fn check(options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ifq"));
    command.args(["check", "--no-persistent-sets", "--no-ring-symmetry", "--jobs", "1"]);
    command.args(options).arg(library("teardown/three-rings-exit-at-once"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The rows of `--json`, without times.
fn rows(output: &Output) -> Vec<serde_json::Value> {
    let row = |line: &str| {
        let mut row: serde_json::Value = serde_json::from_str(line).expect("a JSON object");
        row.as_object_mut().expect("an object").remove("seconds");
        row
    };
    text(&output.stdout).lines().map(row).collect()
}

fn verdicts(folder: &Path) -> usize {
    std::fs::read_to_string(folder.join("finished.jsonl")).unwrap_or_default().lines().count()
}

/// Sends a signal once there are so many verdicts.
fn stop_after(folder: &Path, count: usize, mut child: Child, signal: Signal) -> Output {
    while verdicts(folder) < count {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was stopped");
        std::thread::sleep(POLL_INTERVAL);
    }
    kill_process(Pid::from_child(&child), signal).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn an_interrupted_and_a_killed_check_continue_from_the_checkpoint() {
    let root = tempfile::tempdir().unwrap();
    let folder: PathBuf = root.path().join("big.ckpt");
    let name = folder.display().to_string();
    let options = ["--json", "--checkpoint", &name];
    let whole = check(&["--json"]).output().unwrap();
    assert_eq!(whole.status.code(), Some(0), "{}", text(&whole.stderr));

    let child = check(&options).spawn().unwrap();
    let output = stop_after(&folder, 1, child, Signal::INT);
    let (error, done) = (text(&output.stderr), verdicts(&folder));
    assert_eq!(output.status.code(), Some(130), "{error}");
    assert!(error.contains(&format!("ifq: interrupted: {done} of 7 verdicts are done")), "{error}");
    assert!(error.contains("not finished: three-rings-exit-at-once on import-7."), "{error}");
    assert!(error.contains(&format!("the same command continues from {name}")), "{error}");
    assert_eq!(rows(&output), rows(&whole)[..done], "the finished verdicts are printed");

    let child = check(&options).spawn().unwrap();
    stop_after(&folder, done + 1, child, Signal::KILL);
    assert!(folder.exists());

    for (options, says) in [
        (
            &["--json", "--checkpoint", &name, "--faults", "1"][..],
            "the test of the search of three",
        ),
        (&["--checkpoint", &name, "--preemptions", "2"], "a search option of the search of three"),
        (&["--checkpoint", &name, "--revision", "import-7.2"], "the kernel of the search of three"),
    ] {
        let other = check(options).output().unwrap();
        let error = text(&other.stderr);
        assert_eq!(other.status.code(), Some(2), "{error}");
        assert!(
            error.contains("a checkpoint of another command") && error.contains(says),
            "{error}"
        );
    }

    let last = check(&options).output().unwrap();
    assert_eq!(last.status.code(), Some(0), "{}", text(&last.stderr));
    assert_eq!(rows(&last), rows(&whole));
    assert!(!folder.exists(), "a complete check leaves no checkpoint");
}

#[test]
fn a_bounded_check_continues_with_a_higher_limit() {
    let root = tempfile::tempdir().unwrap();
    let name = root.path().join("bounded.ckpt").display().to_string();
    let bounded = check(&["--checkpoint", &name, "--max-states", "30000"]).output().unwrap();
    assert_eq!(bounded.status.code(), Some(3), "{}", text(&bounded.stderr));
    assert!(text(&bounded.stderr).contains("with higher limits, continues from"));
    assert!(Path::new(&name).join("search-0.ckpt").exists());
    let more = check(&["--checkpoint", &name, "--max-states", "60000"]).output().unwrap();
    assert_eq!(more.status.code(), Some(3), "{}", text(&more.stderr));
}

#[test]
fn a_path_that_is_no_checkpoint_is_refused_and_unchanged() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name).display().to_string();
    std::fs::write(path("file"), "text").unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    std::fs::write(root.path().join("folder/other"), "text").unwrap();
    std::fs::create_dir(path("damaged")).unwrap();
    std::fs::write(root.path().join("damaged/searches.json"), "[").unwrap();
    for (name, says) in [
        ("file", "it is a file; expected a folder or a new name"),
        ("folder", "the folder holds other files"),
        ("damaged", "searches.json: not a checkpoint of ifq: EOF"),
        ("file/below", "Not a directory"),
    ] {
        let output = check(&["--checkpoint", &path(name)]).output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{name}: {error}");
        assert!(error.contains(says), "{name}: {error}");
    }
    assert_eq!(std::fs::read_to_string(path("file")).unwrap(), "text");
    assert_eq!(std::fs::read_dir(path("folder")).unwrap().count(), 1);
}

#[test]
fn every_command_that_searches_reports_an_interrupt() {
    let file = library("teardown/three-rings-exit-at-once");
    let slow = ["--no-persistent-sets", "--no-ring-symmetry", "--jobs", "1"];
    let sim = ["sim", "--runs", "1000000000", "--revision", "import-7.1"];
    let outcomes = [&["outcomes"], &slow[..], &["--revision", "import-7.1"]].concat();
    for (args, says) in [(&sim[..], "0 of 1 tests are done"), (&outcomes, "is incomplete")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ifq"));
        command.args(args).arg(&file).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        wait_for_handler(&mut child);
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(130), "{args:?}: {error}");
        assert!(error.contains("ifq: interrupted: ") && error.contains(says), "{error}");
        assert!(error.contains("not finished: three-rings-exit-at-once on import-7.1"), "{error}");
    }
}

/// Waits until a process handles SIGHUP, the last signal it gets a handler for: bit 0 of the mask in its
/// status.
fn wait_for_handler(child: &mut Child) {
    loop {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
        if u64::from_str_radix(caught.trim(), 16).is_ok_and(|mask| mask & 1 != 0) {
            return;
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended before it was stopped");
        std::thread::sleep(POLL_INTERVAL);
    }
}
