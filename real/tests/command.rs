//! The command `ifq` as a user calls it: exit codes, JSON, bytes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn ifq(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ifq")).args(args).output().expect("ifq starts")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn library(name: &str) -> String {
    root().join("tests/library").join(name).with_extension("ifq").display().to_string()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("ifq prints UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("ifq prints UTF-8")
}

#[test]
fn check_prints_one_json_object_a_line_with_the_promised_fields() {
    let output = ifq(&["check", "--json", &library("import-into-the-owner")]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines: Vec<serde_json::Value> =
        stdout(&output).lines().map(|l| serde_json::from_str(l).expect("a JSON object")).collect();
    assert_eq!(lines.len(), 2);
    for field in [
        "test",
        "revision",
        "defects",
        "verdict",
        "invariant",
        "expected",
        "states",
        "transitions",
        "seconds",
        "exhaustive",
    ] {
        assert!(lines.iter().all(|l| l.get(field).is_some()), "{field}");
    }
    assert_eq!(lines[0]["verdict"], "holds");
    assert_eq!(lines[0]["invariant"], serde_json::Value::Null);
    assert_eq!(lines[1]["defects"], serde_json::json!(["early-put"]));
    assert_eq!(lines[1]["verdict"], "violated");
    assert_eq!(lines[1]["invariant"], "I1");
}

#[test]
fn check_exits_with_1_if_a_verdict_is_not_the_expected_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.ifq");
    let text = std::fs::read_to_string(library("import-into-the-owner")).unwrap();
    std::fs::write(&file, text.replace("expect holds", "expect violates I3")).unwrap();
    let out = folder.path().display().to_string();
    let output = ifq(&["check", "--out", &out, &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("violates I3"));
}

#[test]
fn a_counterexample_is_written_shown_and_replays_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().display().to_string();
    let file = library("exits-race");
    let checked = ifq(&["check", "--defect", "early-put", "--out", &out, &file]);
    assert_eq!(checked.status.code(), Some(0), "the file expects it: {}", stderr(&checked));
    let cex = folder.path().join("exits-race.import-7.3.early-put.I1.ifq").display().to_string();
    let first = ifq(&["replay", &cex]);
    let second = ifq(&["replay", &cex]);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    assert_eq!(first.stdout, second.stdout);
    let table = stdout(&first);
    assert!(table.contains("| exit-0"), "one column a thread: {table}");
    assert!(table.contains("I1: ifq0.user_refs touched after it was freed"));
    assert!(stdout(&checked).contains(table.lines().last().unwrap()));
}

#[test]
fn a_replay_that_does_not_break_as_the_file_says_exits_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("short.ifq");
    let text = std::fs::read_to_string(library("exits-race")).unwrap();
    std::fs::write(&file, text + "schedule v1 with early-put : 0 0 0\n").unwrap();
    let output = ifq(&["replay", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(0), "runs on to the violation: {}", stdout(&output));
    let text = std::fs::read_to_string(&file).unwrap().replace(": 0 0 0", ": 0 9");
    std::fs::write(&file, text).unwrap();
    let output = ifq(&["replay", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("decision 1 of the schedule does not fit"));
}

#[test]
fn wrong_use_exits_with_2_and_says_where_and_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.ifq");
    let text = std::fs::read_to_string(library("exits-race")).unwrap();
    for (from, to, says) in [
        ("register nodev", "regsiter nodev", "unknown verb"),
        ("A: export", "C: export", "unknown ring"),
        ("buffers=1", "buffers=99999", "4096"),
        ("x = A: exit", "x = A: exit after y", "cycle"),
    ] {
        let broken = text.replacen(from, to, 1).replace("y = B: exit", "y = B: exit after x");
        std::fs::write(&file, broken).unwrap();
        let output = ifq(&["check", &file.display().to_string()]);
        let error = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{to}: {error}");
        assert!(error.contains("bad.ifq:") && error.contains("expected"), "{to}: {error}");
        assert!(error.contains(says), "{to}: {error}");
    }
    for args in [
        &["check", "no-such-file.ifq"][..],
        &["check", "--defect", "no-such-defect"],
        &["replay", &library("exits-race")],
        &["no-such-command"],
    ] {
        assert_eq!(ifq(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn outcomes_lists_every_outcome_once() {
    let output = ifq(&["outcomes", &library("box-close-races-with-import")]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    assert!(text.contains("States 2\n"), "{text}");
    assert!(text.contains("y=0; imp=0; f=0;"), "{text}");
    assert!(text.contains("y=0; imp=-EBADF; f=-ENXIO;"), "{text}");
    assert!(text.contains("Complete"), "{text}");
}

#[test]
fn show_prints_json_that_loads_as_the_same_test() {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("exits-race.json");
    std::fs::write(&json, ifq(&["show", "--json", &library("exits-race")]).stdout).unwrap();
    let from_json = ifq(&["show", &json.display().to_string()]);
    let from_text = ifq(&["show", &library("exits-race")]);
    assert_eq!(from_json.status.code(), Some(0), "{}", stderr(&from_json));
    assert_eq!(stdout(&from_json), stdout(&from_text));
}

/// Goal: no clock, address, hash order or build profile decides anything.
/// Method: the whole library, random schedules of one seed; the bytes are in the repository, and
/// `.ci/run` compares a release build with the same file.
#[test]
fn the_same_seed_gives_the_same_bytes_twice_and_in_every_build() {
    let first = ifq(&["sim", "--seed", "1", "--runs", "20"]);
    let second = ifq(&["sim", "--seed", "1", "--runs", "20"]);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    assert_eq!(first.stdout, second.stdout);
    let golden = std::fs::read(root().join("tests/golden/sim-seed-1.txt")).unwrap();
    assert_eq!(first.stdout, golden, "not the bytes of tests/golden/sim-seed-1.txt");
    let other = ifq(&["sim", "--seed", "2", "--runs", "20"]);
    assert_ne!(first.stdout, other.stdout);
}

#[test]
fn a_reader_who_leaves_early_is_no_error() {
    use std::process::Stdio;
    let mut child = Command::new(env!("CARGO_BIN_EXE_ifq"))
        .args(["sim", "--runs", "5"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ifq starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}
