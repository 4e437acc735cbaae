//! Goal: no command loses its output without an error. A full device is an error, a closed pipe ends the
//! command quietly, a counterexample that cannot be stored is printed, and tables fit the terminal.
//!
//! Method: run each subcommand with such an output.
#![cfg(target_os = "linux")]

use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;

fn ifq(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ifq"));
    command.args(args);
    command
}

fn library(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
    folder.join(name).with_extension("ifq").display().to_string()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn full_device() -> File {
    OpenOptions::new().write(true).open("/dev/full").expect("/dev/full exists on Linux")
}

/// A folder with a counterexample, and a command line for each subcommand that prints something.
struct Commands {
    folder: tempfile::TempDir,
    lines: Vec<Vec<String>>,
}

const COUNTEREXAMPLE: &str = "exits-race.import-7.3.early-put.I1.ifq";

fn commands() -> Commands {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().display().to_string();
    let file = library("teardown/exits-race");
    let add = ["--revision", "import-7.3", "--defect", "early-put", "--out", &out];
    let made = ifq(&[&["check"], &add[..], &[&file]].concat()).output().unwrap();
    assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
    let found = folder.path().join(COUNTEREXAMPLE).display().to_string();
    let small = folder.path().join("small.ifq").display().to_string();
    let lines: [&[&str]; 24] = [
        &["check", &file],
        &["check", "--json", &file],
        &["check", "--revision", "import-7.3", "--defect", "early-put", "--out", &out, &file],
        &["check", "--catalogue", &file],
        &["check", "--catalogue", "--json", &file],
        &["outcomes", &file],
        &["outcomes", "--json", &file],
        &["sim", "--runs", "5", &file],
        &["sim", "--runs", "5", "--json", &file],
        &["defects"],
        &["defects", "--json"],
        &["show", &file],
        &["show", "--json", &file],
        &["replay", &found],
        &["replay", "--json", &found],
        &["shrink", "--out", &small, &found],
        &["shrink", "--json", "--out", &small, &found],
        &["run", "--on", "host", "--times", "2", &file],
        &["conform", "--on", "host", "--times", "2", "--out", &out, &file],
        &["probe", "--on", "host"],
        &["probe", "--on", "host", "--json"],
        &["rig", "list"],
        &["--help"],
        &["--version"],
    ];
    let lines = lines.map(|line| line.iter().map(ToString::to_string).collect()).to_vec();
    Commands { folder, lines }
}

fn run(line: &[String], stdout: impl Into<Stdio>) -> Output {
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    ifq(&line).stdout(stdout).stderr(Stdio::piped()).output().expect("ifq starts")
}

#[test]
fn a_full_device_is_an_error_of_every_subcommand() {
    let commands = commands();
    for line in &commands.lines {
        let output = run(line, full_device());
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line:?}: {error}");
        let says = "cannot write standard output: No space left on device";
        assert!(error.contains(says) && !error.contains("panicked"), "{line:?}: {error}");
    }
    assert!(commands.folder.path().join("small.ifq").exists(), "files are written first");
}

#[test]
fn a_closed_pipe_ends_every_subcommand_quietly_as_sigpipe_does() {
    for line in &commands().lines {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = run(line, writer);
        let error = text(&output.stderr);
        assert_eq!(output.status.signal(), Some(Signal::PIPE.as_raw()), "{line:?}: {error}");
        for word in ["panicked", "pipe", "cannot write"] {
            assert!(!error.to_lowercase().contains(word), "{line:?}: {error}");
        }
    }
}

#[test]
fn a_full_standard_error_does_not_change_the_exit_code() {
    for (args, code) in [(&["check", "no-such-file.ifq"][..], 2), (&["defects"], 0)] {
        let output = ifq(args).stderr(full_device()).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}");
    }
}

/// A path that is no folder and below which nothing can be created.
fn no_folder(folder: &Path) -> PathBuf {
    let file = folder.join("file");
    std::fs::write(&file, "").unwrap();
    file
}

#[test]
fn a_counterexample_that_cannot_be_stored_is_printed_and_replays() {
    let folder = tempfile::tempdir().unwrap();
    let out = no_folder(folder.path()).display().to_string();
    let file = library("teardown/exits-race");
    let add = ["--revision", "import-7.3", "--defect", "early-put", "--out", &out];
    for command in [&["check"][..], &["check", "--json"], &["sim"], &["sim", "--json"]] {
        let output = ifq(&[command, &add[..], &[&file]].concat()).output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command:?}: {error}");
        assert!(error.contains(&format!("cannot write {out}/{COUNTEREXAMPLE}: ")), "{error}");
        let (_, test) = error.split_once("this is the file:\n").expect("the file");
        let kept = folder.path().join("kept.ifq");
        std::fs::write(&kept, test).unwrap();
        let replayed = ifq(&["replay", &kept.display().to_string()]).output().unwrap();
        assert_eq!(replayed.status.code(), Some(0), "{command:?}: {}", text(&replayed.stderr));
        assert!(!output.stdout.is_empty(), "the results are printed as well");
    }
}

#[test]
fn a_shrunk_test_that_cannot_be_stored_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let out = no_folder(folder.path()).join("small.ifq").display().to_string();
    let file = library("teardown/exits-race");
    let on = ["shrink", "--revision", "import-7.3", "--defect", "early-put", "--out", &out];
    let output = ifq(&[&on[..], &[&file]].concat()).output().unwrap();
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains(&format!("cannot write {out}: ")), "{error}");
    assert!(error.contains("\nschedule with early-put\n    "), "{error}");
}

#[test]
fn a_table_that_is_no_terminals_has_the_same_width_for_any_columns_variable() {
    let file = library("teardown/exits-race");
    for args in [&["check", "--catalogue", &file][..], &["defects"], &["outcomes", &file]] {
        let with = |columns: &str| ifq(args).env("COLUMNS", columns).output().unwrap().stdout;
        let (narrow, wide) = (with("30"), with("300"));
        // The catalogue prints times.
        let plain = |bytes: &[u8]| -> Vec<usize> { text(bytes).lines().map(str::len).collect() };
        assert_eq!(plain(&narrow).len(), plain(&wide).len(), "{args:?}");
    }
    let defects = text(&ifq(&["defects"]).output().unwrap().stdout);
    assert!(defects.lines().any(|line| line.len() > 100), "no cell is wrapped: {defects}");
}

/// Goal: on a terminal no line of a table is longer than the terminal is wide.
/// Method: `script` runs the command on a terminal of its own. Without it nothing is checked.
#[test]
fn a_table_on_a_terminal_fits_its_width() {
    let file = library("teardown/exits-race");
    let binary = env!("CARGO_BIN_EXE_ifq");
    for args in ["defects".to_owned(), format!("check {file}")] {
        let line = format!("stty cols 72 && {binary} {args} 2>/dev/null");
        let output = Command::new("script")
            .args(["-q", "-e", "-c", &line, "/dev/null"])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .output();
        let Ok(output) = output else { return println!("`script` is not installed") };
        let shown = text(&output.stdout);
        let lines: Vec<usize> = shown.lines().map(|line| visible(line).chars().count()).collect();
        assert!(lines.len() > 5 && lines.iter().all(|width| *width <= 72), "{shown}");
        for revision in ["import-7.1", "import-7.2"] {
            assert!(shown.contains(revision), "only sentences and lists are wrapped: {shown}");
        }
    }
}

/// A line without the terminal's control sequences.
fn visible(line: &str) -> String {
    let mut parts = line.split('\x1b');
    let first = parts.next().unwrap_or_default().to_owned();
    let rest =
        parts.map(|part| part.split_once(|c: char| c.is_ascii_alphabetic()).map_or("", |p| p.1));
    rest.fold(first, |line, part| line + part).trim_end_matches('\r').to_owned()
}
