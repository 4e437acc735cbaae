//! Goal: wrong input gets an error that names its place, and does not hide the results of other input.
//!
//! Method: run the commands with files that are missing, empty, binary or wrong, with files from standard
//! input, and with options that do not fit.
#![cfg(target_os = "linux")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn ifq(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ifq")).args(args).output().expect("ifq starts")
}

fn with_stdin(args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ifq"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ifq starts");
    // The command may end before it has read everything.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    child.wait_with_output().unwrap()
}

fn library(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
    folder.join(name).with_extension("ifq").display().to_string()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A search of this file has far more than one state.
const FILE: &str = "teardown/exits-race";

#[test]
fn one_bad_file_does_not_end_the_command_for_the_others_and_all_errors_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("bad.ifq"), "test t\nrung A\n").unwrap();
    std::fs::write(path("worse.ifq"), "test t\nring A, B\n").unwrap();
    let (bad, worse, good) = (path("bad.ifq"), path("worse.ifq"), library(FILE));
    for command in [
        &["check"][..],
        &["sim", "--runs", "3"],
        &["show"],
        &["run", "--on", "host", "--times", "1"],
        &["conform", "--on", "host", "--times", "1"],
    ] {
        let output = ifq(&[command, &[&bad, &good, &worse, "missing.ifq"]].concat());
        let errors = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{command:?}: {errors}");
        assert!(errors.contains("bad.ifq:2:1: unknown word `rung`"), "{command:?}: {errors}");
        assert!(errors.contains("worse.ifq:2:7: unexpected `,`"), "{command:?}: {errors}");
        assert!(errors.contains("missing.ifq: No such file"), "{command:?}: {errors}");
        assert!(stdout(&output).contains("exits-race"), "{command:?}: {}", stdout(&output));
    }
    let checked = ifq(&["check", "--json", &bad, &good]);
    assert_eq!(stdout(&checked).lines().count(), 5, "all verdicts of the good file");
}

#[test]
fn the_exit_code_is_3_if_a_limit_ends_a_search_and_1_if_there_is_a_violation_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out").display().to_string();
    let wrong = folder.path().join("wrong.ifq");
    let file = library(FILE);
    let text = std::fs::read_to_string(&file).unwrap();
    // Without the defect nothing is violated; with it the violation is found within the limit.
    let text = text.replace("expect violates I1 with", "expect violates I3 with");
    std::fs::write(&wrong, text).unwrap();
    let wrong = wrong.display().to_string();
    let code = |args: &[&str]| {
        let output = ifq(args);
        (output.status.code().unwrap(), stdout(&output), stderr(&output))
    };
    let (all, table, error) = code(&["check", "--max-states", "5", "--out", &out, &file]);
    assert_eq!(all, 3, "{table}{error}");
    assert!(table.contains("0 as expected, 0 not, 5 bounded"), "{table}");
    let (all, table, _) = code(&["check", "--max-states", "120", "--out", &out, &wrong]);
    assert_eq!(all, 1, "{table}");
    assert!(table.contains("0 as expected, 2 not, 3 bounded"), "{table}");
    assert_eq!(code(&["outcomes", "--max-states", "5", &file]).0, 3);
    assert_eq!(code(&["outcomes", &file]).0, 0);
    let small = ["--fixed", "--revision", "import-7.3", "--max-states", "5"];
    let (bounded, _, error) = code(&[&["shrink"], &small[..], &[&file]].concat());
    assert_eq!(bounded, 3, "{error}");
    assert!(error.contains("bounded: no violation within 5 states"), "{error}");
    let (catalogue, ..) = code(&["check", "--catalogue", "--max-states", "5", &file]);
    assert_eq!(catalogue, 1, "no file shows the other entries");
    let help = code(&["--help"]).1;
    assert!(help.contains("3 bounded") && help.contains("SIGPIPE"), "{help}");
}

#[test]
fn standard_input_is_a_file_of_every_subcommand() {
    let text = std::fs::read(library(FILE)).unwrap();
    let json = ifq(&["show", "--json", &library(FILE)]).stdout;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().display().to_string();
    let add = ["--revision", "import-7.3", "--defect", "early-put", "--out", &out];
    let small = folder.path().join("small.ifq").display().to_string();
    for input in [&text, &json] {
        for command in [
            &["check"][..],
            &["outcomes"],
            &["sim", "--runs", "3"],
            &["show"],
            &["run", "--on", "host", "--times", "1"],
            &["conform", "--on", "host", "--times", "1"],
        ] {
            let output = with_stdin(&[command, &["-"]].concat(), input);
            let code = output.status.code();
            assert!(matches!(code, Some(0 | 77)), "{command:?}: {}", stderr(&output));
            assert!(stdout(&output).contains("exits-race"), "{command:?}: {}", stdout(&output));
        }
        let checked = with_stdin(&[&["check"], &add[..], &["-"]].concat(), input);
        assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
        let found = folder.path().join("exits-race.import-7.3.early-put.I1.ifq");
        let found = std::fs::read(found).unwrap();
        for command in [&["replay"][..], &["shrink", "--out", &small]] {
            let output = with_stdin(&[command, &["-"]].concat(), &found);
            assert_eq!(output.status.code(), Some(0), "{command:?}: {}", stderr(&output));
        }
    }
    let file = library(FILE);
    assert_eq!(with_stdin(&["show", "-"], &json).stdout, ifq(&["show", &file]).stdout);
}

#[test]
fn an_error_of_standard_input_names_it() {
    for command in [&["check"][..], &["outcomes"], &["show"], &["replay"], &["shrink"], &["sim"]] {
        let output = with_stdin(&[command, &["-"]].concat(), b"test t\nring A\n oops\n");
        assert_eq!(output.status.code(), Some(2));
        let error = stderr(&output);
        assert!(error.contains("<stdin>:3:2: unknown word `oops`"), "{command:?}: {error}");
    }
    let twice = with_stdin(&["check", "-", "-"], &std::fs::read(library(FILE)).unwrap());
    assert_eq!(twice.status.code(), Some(2));
    assert!(stderr(&twice).contains("`-` is named twice"), "{}", stderr(&twice));
    let json = with_stdin(&["check", "-"], b"{ \"a\": 1 }");
    let says = "<stdin>: missing field `name` at line 1 column 10";
    assert!(stderr(&json).contains(says), "{}", stderr(&json));
}

#[test]
fn a_file_that_is_no_test_is_refused_with_its_name_and_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let empty = path("empty");
    std::fs::create_dir(&empty).unwrap();
    let garbage: Vec<u8> =
        (0..10_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::fs::write(path("garbage.ifq"), garbage).unwrap();
    std::fs::write(path("empty.ifq"), "").unwrap();
    std::fs::write(path("latin.ifq"), b"test t\nabout caf\xe9\n").unwrap();
    std::fs::write(path("zeros.ifq"), vec![0; 1000]).unwrap();
    std::fs::write(path("empty.json"), "").unwrap();
    std::fs::write(path("notes.txt"), "hello").unwrap();
    std::fs::write(path("large.ifq"), "#\n".repeat(5_000_000)).unwrap();
    for (name, says) in [
        ("empty", "no test files; expected files whose names end in .ifq"),
        ("garbage.ifq", "garbage.ifq:1:"),
        ("empty.ifq", "empty.ifq:1:1: an empty file"),
        ("latin.ifq", "latin.ifq:2:10: bytes that are not UTF-8"),
        ("zeros.ifq", "zeros.ifq:1:1: control character U+0000"),
        ("empty.json", "empty.json: EOF while parsing a value at line 1 column 0"),
        ("notes.txt", "unknown file type; expected a name that ends in .ifq or .json"),
        ("large.ifq", "large.ifq:5000001:1: an empty file"),
        ("missing", "missing: No such file"),
    ] {
        for command in ["check", "outcomes", "show", "replay", "shrink", "sim"] {
            let output = ifq(&[command, &path(name)]);
            let error = stderr(&output);
            assert_eq!(output.status.code(), Some(2), "{command} {name}: {error}");
            let folder = name == "empty" && matches!(command, "outcomes" | "replay" | "shrink");
            let says = if folder { "it is a folder; expected one file" } else { says };
            assert!(error.contains(says), "{command} {name}: {error}");
            assert!(error.lines().count() <= 2, "{command} {name}: {error}");
        }
    }
}

#[test]
fn an_option_out_of_range_or_given_twice_is_a_usage_error() {
    let file = library(FILE);
    for (args, says) in [
        (&["check", "--max-states", "0", &file][..], "0 is not in 1.."),
        (&["check", "--max-memory", "0", &file], "0 is not in 1.."),
        (&["check", "--jobs", "0", &file], "0 is not in 1.."),
        (&["check", "--faults", "9", &file], "9 is not in 1..=8"),
        (&["check", "--max-time", "-1", &file], "unexpected argument"),
        (&["check", "--revision", "import-7.3", "--revision", "import-7.2"], "multiple times"),
        (&["check", "--revision", "import-9.9"], "possible values"),
        (&["check", "--catalogue", "--checkpoint", "x"], "cannot be used with"),
        (&["sim", "--runs", "0", &file], "0 is not in 1.."),
        (&["sim", "--seed", "x", &file], "invalid digit"),
        (&["replay", "--width", "3", &file], "3 is not in 20..=1000"),
        (&["conform", "--on", "host", "--generate", "0"], "0 is not in 1.."),
        (&["run", "--on", "host", "--times", "0", &file], "0 is not in 1.."),
        (&["run", "--on", "moon", &file], "moon"),
        (&["show"], "required"),
    ] {
        let output = ifq(args);
        let error = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {error}");
        assert!(error.contains(says), "{args:?}: {error}");
    }
}

/// Goal: a defect that would change nothing is refused, by the command line as in a file.
#[test]
fn a_defect_that_a_revision_has_no_code_for_is_refused_with_those_that_have() {
    let file = library(FILE);
    for command in ["check", "outcomes", "sim", "shrink"] {
        let output = ifq(&[command, "--revision", "import-7.3", "--defect", "P1", &file]);
        let error = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{command}: {error}");
        let says = "import-7.3 has no code that P1 could be in; these revisions have: proxy-v1, proxy-v2, \
                    proxy-v3, proxy-v4, proxy-fixed";
        assert!(error.contains(says), "{command}: {error}");
    }
    let output = ifq(&["check", "--revision", "import-7.3", "--without", "P1", &file]);
    assert_eq!(output.status.code(), Some(2));
    let says = "import-7.3 does not have P1; these revisions have: proxy-v1";
    assert!(stderr(&output).contains(says), "{}", stderr(&output));
}
