//! Goal: the command line of `ifq` keeps its exit codes, JSON fields and exact output.
//!
//! Method: start the built binary as a user does.

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

fn json_lines(output: &Output) -> Vec<serde_json::Value> {
    stdout(output).lines().map(|l| serde_json::from_str(l).expect("a JSON object")).collect()
}

#[test]
fn check_prints_one_json_object_per_line_with_all_documented_fields() {
    let file = library("import/import-into-the-owner");
    let output = ifq(&["check", "--revision", "import-7.3", "--json", &file]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines = json_lines(&output);
    assert_eq!(lines.len(), 2);
    for field in [
        "test",
        "revision",
        "defects",
        "without",
        "verdict",
        "invariant",
        "expected",
        "states",
        "transitions",
        "seconds",
        "exhaustive",
        "cut",
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
    let text = std::fs::read_to_string(library("teardown/exits-race")).unwrap();
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
    let file = library("teardown/exits-race");
    let on = ["check", "--revision", "import-7.3", "--defect", "early-put", "--out"];
    let checked = ifq(&[&on[..], &[&out, &file]].concat());
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
fn a_replay_whose_result_differs_from_the_expected_one_exits_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("short.ifq");
    let text = std::fs::read_to_string(library("teardown/exits-race")).unwrap();
    let text = text.replace("revision import-7.1 import-7.3", "revision import-7.3");
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
fn a_usage_error_exits_with_2_and_names_the_place_and_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.ifq");
    let text = std::fs::read_to_string(library("teardown/exits-race")).unwrap();
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
        &["replay", &library("teardown/exits-race")],
        &["no-such-command"],
    ] {
        assert_eq!(ifq(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_counterexample_names_the_fixed_defects_in_its_file_name_and_contents() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().display().to_string();
    // Only P2 is fixed; the other defects of the proposal remain.
    let file = library("proxy/clone-from-itself-keeps-no-reference");
    let text = std::fs::read_to_string(&file).unwrap();
    let wrong = folder.path().join("wrong.ifq");
    let head = text.split("expect").next().unwrap();
    std::fs::write(&wrong, format!("{head}expect holds\n")).unwrap();
    let checked = ifq(&[
        "check",
        "--revision",
        "proxy-v1",
        "--without",
        "P2",
        "--out",
        &out,
        &text_of(&wrong),
    ]);
    assert_eq!(checked.status.code(), Some(1), "{}", stderr(&checked));
    let name = "clone-from-itself-keeps-no-reference.proxy-v1.without-P2.I3.ifq";
    let kept = folder.path().join(name);
    let text = std::fs::read_to_string(&kept).unwrap();
    assert!(text.contains("\nexpect violates I3 without P2\nschedule without P2\n    "), "{text}");
    assert_eq!(ifq(&["replay", &text_of(&kept)]).status.code(), Some(0));
    let fixed =
        ifq(&["check", "--revision", "proxy-v1", "--without", "P1", "--json", &text_of(&wrong)]);
    assert_eq!(fixed.status.code(), Some(0), "{}", stderr(&fixed));
    assert_eq!(json_lines(&fixed)[0]["without"], serde_json::json!(["P1"]));
}

#[test]
fn the_option_fixed_fixes_all_defects_of_the_revision() {
    let file = library("proxy/clone-from-itself-keeps-no-reference");
    let output = ifq(&["check", "--fixed", "--json", &file]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let lines = json_lines(&output);
    assert_eq!(lines.len(), 5, "one for each revision");
    let own = json_lines(&ifq(&["defects", "--json"]));
    let own: Vec<_> = own
        .iter()
        .filter(|l| l["on"].as_array().unwrap().contains(&"proxy-v1".into()))
        .map(|l| l["id"].clone())
        .collect();
    assert_eq!(lines[0]["without"], serde_json::Value::Array(own));
    assert_eq!(lines[4]["without"], serde_json::json!([]));
    assert!(stdout(&ifq(&["check", "--fixed", &file])).contains("  fixed  "));
    assert_eq!(ifq(&["check", "--fixed", "--without", "P1", &file]).status.code(), Some(2));
}

#[test]
fn a_defect_option_that_does_not_apply_to_a_revision_is_skipped_with_a_note() {
    let file = library("proxy/clone-from-itself-keeps-no-reference");
    let both = ifq(&["check", "--without", "P1", "--json", &file]);
    assert_eq!(both.status.code(), Some(0), "{}", stderr(&both));
    assert_eq!(json_lines(&both).len(), 4, "all but proxy-fixed");
    assert!(stderr(&both).contains("proxy-fixed does not have P1"), "{}", stderr(&both));
    let none = ifq(&["check", "--revision", "proxy-v1", "--defect", "P1", &file]);
    assert_eq!(none.status.code(), Some(2));
    assert!(stderr(&none).contains("proxy-v1 already has P1"), "{}", stderr(&none));
    assert!(stderr(&none).contains("nothing to check"), "{}", stderr(&none));
    assert_eq!(
        ifq(&["sim", "--defect", "P1", "--revision", "proxy-v1", &file]).status.code(),
        Some(2)
    );
}

#[test]
fn the_option_faults_reaches_more_states_than_the_faults_of_the_file() {
    let file = library("import/import-into-the-owner");
    let check = |options: &[&str]| {
        let which = ["check", "--revision", "import-7.3", "--json"];
        let output = ifq(&[&which[..], options, &[&file]].concat());
        let lines = json_lines(&output);
        let plain = lines.iter().find(|l| l["defects"] == serde_json::json!([])).unwrap();
        assert_eq!(plain["verdict"], "holds", "{}", stderr(&output));
        plain["states"].as_u64().unwrap()
    };
    let (none, one, two) = (check(&[]), check(&["--faults", "1"]), check(&["--faults", "2"]));
    assert!(none < one && one < two, "{none} {one} {two}");
    assert_eq!(ifq(&["check", "--faults", "9", &file]).status.code(), Some(2));
}

#[test]
fn defects_lists_every_entry_with_the_revisions_that_have_it() {
    let lines = json_lines(&ifq(&["defects", "--json"]));
    let named = |id: &str| lines.iter().find(|l| l["id"] == id).expect("an entry").clone();
    assert_eq!(named("P2")["on"], serde_json::json!(["proxy-v1"]));
    assert_eq!(named("M6")["on"], serde_json::json!(["import-6.19", "import-7.0", "import-7.1"]));
    assert_eq!(named("early-put")["on"], serde_json::json!([]));
    assert_eq!((&named("P1")["defect"], &named("N1")["defect"]), (&true.into(), &false.into()));
    let table = stdout(&ifq(&["defects"]));
    assert_eq!(table.lines().count(), lines.len() + 1, "one line each, and the header");
    assert!(lines.iter().all(|l| table.contains(l["about"].as_str().unwrap())));
}

/// Goal: the catalogue check reports each found defect, the length of its counterexample, and that it
/// replays.
/// Method: one file, which shows one defect of the catalogue.
#[test]
fn the_catalogue_check_reports_found_defects_and_entries_that_no_file_shows() {
    let file = library("proxy/clone-from-itself-keeps-no-reference");
    let output = ifq(&["check", "--catalogue", "--json", &file]);
    assert_eq!(output.status.code(), Some(1), "no file shows the other entries");
    let lines = json_lines(&output);
    let line = |id: &str| lines.iter().find(|l| l["id"] == id).expect("an entry").clone();
    let found = line("P1");
    assert_eq!((&found["found"], &found["invariant"]), (&"yes".into(), &"I3".into()));
    assert_eq!((&found["exact"], &found["replays"]), (&true.into(), &true.into()));
    assert_eq!((&found["fixed"], &found["problems"]), (&"hold".into(), &serde_json::json!([])));
    assert!(found["steps"].as_u64().unwrap() > 0);
    assert_eq!(line("P2")["found"], "no-file");
    assert_eq!(line("N1")["found"], "no-file");
    let table = stdout(&ifq(&["check", "--catalogue", &file]));
    assert!(table.contains("P2: no test file shows P2"), "{table}");
    let (all, others) = (lines.len(), lines.len() - 1);
    let sum = format!("{all} entries, 1 as expected, {others} with problems");
    assert!(table.contains(&sum), "{table}");
}

/// Goal: a missed defect, a fix that does not hold and a false alarm each fail the check.
/// Method: a file with wrong expectations.
#[test]
fn the_catalogue_check_reports_missed_defects_failed_fixes_and_false_alarms() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.ifq");
    let text =
        std::fs::read_to_string(library("proxy/clone-from-itself-keeps-no-reference")).unwrap();
    let head = text.split("expect").next().unwrap().replace("shows P1", "shows P1 P2 N1");
    let claims = "expect holds\nexpect violates I2 without P2 on proxy-v1\n";
    std::fs::write(&file, format!("{head}{claims}")).unwrap();
    let output = ifq(&["check", "--catalogue", "--json", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    let lines = json_lines(&output);
    let line = |id: &str| lines.iter().find(|l| l["id"] == id).expect("an entry").clone();
    // P1 violates I3, not I2.
    assert_eq!(line("P1")["found"], "no");
    assert!(line("P1")["problems"][0].as_str().unwrap().contains("violates I3"), "{output:?}");
    assert_eq!(line("P1")["fixed"], "none");
    // No file expects a violation on proxy-v1 with P2.
    assert_eq!(line("P2")["found"], "no-file");
    assert_eq!(line("N1")["found"], "false-alarm");
}

fn text_of(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn outcomes_lists_every_outcome_once() {
    let output = ifq(&[
        "outcomes",
        "--revision",
        "import-7.3",
        &library("import/box-close-races-with-import"),
    ]);
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
    std::fs::write(&json, ifq(&["show", "--json", &library("teardown/exits-race")]).stdout)
        .unwrap();
    let from_json = ifq(&["show", &json.display().to_string()]);
    let from_text = ifq(&["show", &library("teardown/exits-race")]);
    assert_eq!(from_json.status.code(), Some(0), "{}", stderr(&from_json));
    assert_eq!(stdout(&from_json), stdout(&from_text));
}

/// Goal: the output does not depend on clock, addresses, hash order or build profile.
/// Method: simulate the whole library with one seed and compare with a stored file; `.ci/run` compares
/// a release build with the same file.
#[test]
fn one_seed_gives_the_same_bytes_in_every_run_and_build() {
    let library = root().join("tests/library").display().to_string();
    let first = ifq(&["sim", "--seed", "1", "--runs", "20", &library]);
    let second = ifq(&["sim", "--seed", "1", "--runs", "20", &library]);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    assert_eq!(first.stdout, second.stdout);
    let golden = std::fs::read(root().join("tests/golden/sim-seed-1.txt")).unwrap();
    assert_eq!(first.stdout, golden, "not the bytes of tests/golden/sim-seed-1.txt");
    let other = ifq(&["sim", "--seed", "2", "--runs", "20", &library]);
    assert_ne!(first.stdout, other.stdout);
}

/// Goal: as above, for worlds, with any number of processors.
/// Method: the same worlds on one and on three processors, and the stored file.
#[test]
fn the_same_seeds_give_the_same_worlds_on_any_number_of_processors() {
    let worlds = ["sim", "--seed", "1", "--runs", "12", "--profile", "smoke"];
    let one = ifq(&[&worlds[..], &["--jobs", "1"]].concat());
    let three = ifq(&[&worlds[..], &["--jobs", "3"]].concat());
    assert_eq!(one.status.code(), Some(0), "{}", stdout(&one));
    assert_eq!(one.stdout, three.stdout);
    let golden = std::fs::read(root().join("tests/golden/worlds-seed-1.txt")).unwrap();
    assert_eq!(one.stdout, golden, "not the bytes of tests/golden/worlds-seed-1.txt");
}
