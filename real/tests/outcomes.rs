//! Goal: `ifq check` fails with a run that shows it when a condition or a recorded outcome is wrong, and
//! `ifq outcomes` records outcomes and writes runs that replay.
//!
//! Method: start the built binary as a user does, on a race with two outcomes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ifq_sim::format;
use tempfile::TempDir;

/// An import races with a close. The outcomes are `y=0; imp=-EBADF;` and `y=0; imp=0;`.
const RACE: &str = "test race
about An import races with the close of the descriptor.
revision import-7.2 import-7.3
ring A B
setup
    ifq = A: register nodev buffers=1 entries=1
    box = A: export ifq
thread a
    y = close box
thread b
    imp = B: import box
observe y imp
";

struct Folder(TempDir);

impl Folder {
    /// A folder with the race and these further lines.
    fn with(lines: &str) -> Self {
        let folder = Folder(tempfile::tempdir().unwrap());
        std::fs::write(folder.path("race.ifq"), format!("{RACE}{lines}\n")).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Runs `ifq` in the folder.
    fn ifq(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_ifq"))
            .args(args)
            .current_dir(self.0.path())
            .output()
            .expect("ifq starts");
        let text = |bytes| String::from_utf8(bytes).expect("ifq prints UTF-8");
        (status.code(), text(stdout), text(stderr))
    }

    /// Replays a file, which must end as it expects, with this outcome.
    #[track_caller]
    fn replays(&self, file: &str, outcome: &str) {
        let (code, out, err) = self.ifq(&["replay", file]);
        assert_eq!(code, Some(0), "{out}{err}");
        assert!(out.ends_with(&format!("no violation\noutcome: {outcome}\n")), "{out}");
    }
}

#[test]
fn a_violated_always_shows_the_line_the_outcome_and_a_run_that_replays() {
    let folder = Folder::with("expect holds\nalways imp=0");
    let (code, out, err) = folder.ifq(&["check", "race.ifq"]);
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("holds, 1 condition violated"), "{out}");
    let what = "race.ifq:14: always imp=0: violated by the outcome y=0; imp=-EBADF;\n";
    assert!(out.contains(what), "{out}");
    assert!(out.contains("the run ends with y=0; imp=-EBADF;"), "{out}");
    assert!(out.contains("replay it: ifq replay counterexamples/race.import-7.3.always-1.ifq"));
    folder.replays("counterexamples/race.import-7.3.always-1.ifq", "y=0; imp=-EBADF;");
}

#[test]
fn a_violated_forbid_shows_the_run_and_applies_to_the_named_revision_only() {
    let folder = Folder::with("forbid imp=0 or imp=1 on import-7.2");
    let (code, out, err) = folder.ifq(&["check", "race.ifq"]);
    assert_eq!(code, Some(1), "{out}{err}");
    let what = "forbid imp=0 or imp=1: violated by the outcome y=0; imp=0;\n";
    assert!(out.contains(&format!("race.ifq:13: {what}")), "{out}");
    assert!(out.contains("1 verdicts, 0 as expected, 1 not"), "{out}");
    folder.replays("counterexamples/race.import-7.2.forbid-1.ifq", "y=0; imp=0;");
}

#[test]
fn an_exists_that_no_outcome_satisfies_is_unreachable() {
    let folder = Folder::with("exists imp=0\nexists imp=-EEXIST");
    let (code, out, err) = folder.ifq(&["check", "race.ifq"]);
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("race.ifq:14: exists imp=-EEXIST: unreachable"), "{out}");
    assert!(!out.contains("race.ifq:13"), "the first condition holds: {out}");
    assert!(!folder.path("counterexamples").exists());
}

#[test]
fn conditions_that_hold_are_as_expected() {
    let folder = Folder::with(
        "exists imp=0 and y=0\nexists imp<0\nforbid imp>0\nalways y=imp or imp=-EBADF\n\
         always y=0 with S1 on import-7.3",
    );
    let (code, out, err) = folder.ifq(&["check", "race.ifq"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("3 verdicts, 3 as expected, 0 not, 0 bounded"), "{out}");
    assert!(out.ends_with("\n0 compared with recorded outcomes\n"), "{out}");
}

#[test]
fn a_bounded_search_refutes_a_condition_by_a_run_and_decides_no_other() {
    let folder = Folder::with("forbid y=0\nforbid y=7\nexists y=0\nexists y=7");
    let all = ["check", "--json", "--revision", "import-7.3", "--preemptions", "0", "race.ifq"];
    let (code, out, err) = folder.ifq(&all);
    assert_eq!(code, Some(1), "{out}{err}");
    let row: serde_json::Value = serde_json::from_str(out.trim_end()).unwrap();
    assert_eq!(row["verdict"], "bounded");
    let verdicts = row["results"]["conditions"].as_array().unwrap();
    let verdicts: Vec<&str> = verdicts.iter().map(|c| c["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["violated", "bounded", "holds", "bounded"]);
}

#[test]
fn json_lines_have_the_condition_the_outcome_and_the_schedule() {
    let folder = Folder::with("always imp=0");
    let (_, out, err) = folder.ifq(&["check", "--json", "--revision", "import-7.3", "race.ifq"]);
    let row: serde_json::Value = serde_json::from_str(out.trim_end()).unwrap();
    let condition = &row["results"]["conditions"][0];
    assert_eq!(row["verdict"], "holds");
    assert_eq!(row["as_expected"], false);
    assert_eq!(condition["condition"], "always imp=0");
    assert_eq!(condition["verdict"], "violated");
    assert_eq!(condition["outcome"], "y=0; imp=-EBADF;");
    assert!(!condition["witness"]["decisions"].as_array().unwrap().is_empty());
    assert!(err.contains("always imp=0: violated") && err.contains("race.import-7.3.always-1.ifq"));
}

#[test]
fn recorded_outcomes_are_written_once_and_compared() {
    let folder = Folder::with("expect holds");
    let (code, out, err) = folder.ifq(&["outcomes", "--record", "race.ifq"]);
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "new: race.outcomes\n1 files, 1 changed, 0 not recorded\n"),
        "{err}"
    );
    let text = "import-7.2\nimport-7.3\n    y=0; imp=-EBADF;\n    y=0; imp=0;\n";
    assert_eq!(folder.read("race.outcomes"), text);
    let (_, again, _) = folder.ifq(&["outcomes", "--record", "race.ifq"]);
    assert_eq!(again, "1 files, 0 changed, 0 not recorded\n");
    let (code, out, _) = folder.ifq(&["check", "race.ifq"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.ends_with("\n2 compared with recorded outcomes\n"), "{out}");
    let (code, out, _) = folder.ifq(&["check", "--faults", "1", "race.ifq"]);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.ends_with("\n0 compared with recorded outcomes\n"), "other faults: {out}");
}

#[test]
fn an_outcome_that_is_not_recorded_fails_with_a_run_that_replays() {
    let folder = Folder::with("expect holds");
    let text = "import-7.2\nimport-7.3\n    y=0; imp=0;\n";
    std::fs::write(folder.path("race.outcomes"), text).unwrap();
    let (code, out, err) = folder.ifq(&["check", "--revision", "import-7.3", "race.ifq"]);
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains("holds, 1 outcome more"), "{out}");
    assert!(out.contains("not recorded in race.outcomes: y=0; imp=-EBADF;\n"), "{out}");
    folder.replays("counterexamples/race.import-7.3.new-outcome.ifq", "y=0; imp=-EBADF;");
}

#[test]
fn a_recorded_outcome_that_no_run_has_fails_with_its_place() {
    let folder = Folder::with("expect holds");
    let text = "import-7.3\n    y=0; imp=-EBADF;\n    y=0; imp=-EEXIST;\n    y=0; imp=0;\n";
    std::fs::write(folder.path("race.outcomes"), text).unwrap();
    let (code, out, err) = folder.ifq(&["check", "race.ifq"]);
    assert_eq!(code, Some(1), "{out}{err}");
    let what = "race.outcomes:3: recorded, but no run ends with it: y=0; imp=-EEXIST;\n";
    assert!(out.contains(what), "{out}");
    let bounded = ["check", "--revision", "import-7.3", "--preemptions", "0", "race.ifq"];
    let (_, out, _) = folder.ifq(&bounded);
    assert!(!out.contains("no run ends with it"), "a bounded search misses nothing: {out}");
}

#[test]
fn a_damaged_file_of_recorded_outcomes_is_an_error_at_its_line() {
    let folder = Folder::with("expect holds");
    std::fs::write(folder.path("race.outcomes"), "import-7.3\n    y=0;\n=======\n").unwrap();
    let (code, _, err) = folder.ifq(&["check", "race.ifq"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("race.outcomes:3: `=======` is no variant"), "{err}");
}

#[test]
fn recording_a_folder_removes_the_outcomes_of_a_test_that_is_gone_and_no_other_file() {
    let folder = Folder::with("expect holds");
    std::fs::write(folder.path("gone.outcomes"), "import-7.3\n    x=0;\n").unwrap();
    std::fs::write(folder.path("notes.outcomes"), "other notes\n").unwrap();
    std::fs::write(folder.path("race.outcomes"), "import-7.3\n    y=0; imp=0;\n").unwrap();
    let (code, out, err) = folder.ifq(&["outcomes", "--record", "."]);
    assert_eq!(code, Some(0), "{err}");
    let expected = "changed: ./race.outcomes, +2 -0 lines\nremoved: ./gone.outcomes\n\
                    1 files, 2 changed, 0 not recorded\n";
    assert_eq!(out, expected);
    assert!(!folder.path("gone.outcomes").exists() && folder.path("notes.outcomes").exists());
}

#[test]
fn a_test_that_violates_an_invariant_is_not_recorded() {
    let folder = Folder::with("expect holds with S1");
    let wrong = RACE.replace("y = close box", "y = close box\n    A: exit");
    let wrong = format!("{wrong}expect holds with early-put on import-7.3\n");
    std::fs::write(folder.path("race.ifq"), wrong).unwrap();
    let (code, out, _) = folder.ifq(&["outcomes", "--record", "race.ifq"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(
        out.starts_with("not recorded: race on import-7.3 with early-put violates I1"),
        "{out}"
    );
    assert!(!folder.path("race.outcomes").exists());
}

#[test]
fn a_witness_of_each_outcome_is_written_and_replays() {
    let folder = Folder::with("expect holds");
    let (code, out, err) =
        folder.ifq(&["outcomes", "--revision", "import-7.3", "--witness", "race.ifq"]);
    assert_eq!(code, Some(0), "{out}{err}");
    for (number, outcome) in [(1, "y=0; imp=-EBADF;"), (2, "y=0; imp=0;")] {
        let file = format!("witnesses/race.import-7.3.outcome-{number}.ifq");
        assert!(out.contains(&format!("{outcome}  {file} (")), "{out}");
        folder.replays(&file, outcome);
        let (code, out, _) = folder.ifq(&["check", &file]);
        assert_eq!(code, Some(0), "the outcome exists: {out}");
    }
}

#[test]
fn a_witness_in_json_has_its_schedule() {
    let folder = Folder::with("expect holds");
    let (_, out, _) =
        folder.ifq(&["outcomes", "--revision", "import-7.3", "--witness", "--json", "race.ifq"]);
    let line: serde_json::Value = serde_json::from_str(out.trim_end()).unwrap();
    let witnesses = line["witnesses"].as_array().unwrap();
    assert_eq!(witnesses.len(), line["outcomes"].as_array().unwrap().len());
    for witness in witnesses {
        assert_eq!(witness["exact"], true);
        let file = folder.read(witness["file"].as_str().unwrap());
        assert!(!witness["decisions"].as_array().unwrap().is_empty());
        assert!(file.contains("\nschedule\n    "), "{file}");
        let schedule = format::parse("witness.ifq", &file).unwrap().schedule.unwrap();
        assert!(schedule.switches().is_some_and(|switches| !switches.is_empty()), "{file}");
    }
}

#[test]
fn a_replay_that_contradicts_a_condition_exits_with_1() {
    let folder = Folder::with("expect holds");
    folder.ifq(&["outcomes", "--revision", "import-7.3", "--witness", "race.ifq"]);
    let file = "witnesses/race.import-7.3.outcome-2.ifq";
    let text = folder.read(file).replace("exists y=0 and imp=0", "forbid imp=0");
    std::fs::write(folder.path(file), text).unwrap();
    let (code, out, err) = folder.ifq(&["replay", file]);
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.ends_with("the outcome contradicts: forbid imp=0\n"), "{out}");
}

#[test]
fn the_library_in_the_binary_is_compared_wherever_it_runs() {
    let folder = Folder::with("expect holds");
    let (code, out, err) = folder.ifq(&["check", "--revision", "import-7.2"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let compared = out.trim_end().rsplit("; ").next().unwrap().split(' ').next().unwrap();
    assert!(compared.parse::<usize>().unwrap() > 100, "{out}");
    assert!(!Path::new(&folder.path("tests")).exists());
}
