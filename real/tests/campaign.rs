//! Goal: a campaign has one result, however it is run: on one processor or two, in shards, killed at any moment; and
//! a plan or a store that is wrong is an error that says what and where.
//!
//! Method: start the built binary on small plans, and compare the bytes of its reports.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// Worlds with a defect, and worlds, files and enumerated tests without one.
const PLAN: &str = r#"
name = "small"
[[sim]]
profile = "smoke"
defects = ["early-put"]
revisions = ["import-7.3"]
runs = 6
per_unit = 1
[[sim]]
profile = "smoke"
runs = 8
per_unit = 2
[[check]]
files = ["FILES"]
[[enumerate]]
ops = 0
per_unit = 20
"#;

struct Folder(tempfile::TempDir);

impl Folder {
    /// A folder with a plan.
    fn with(plan: &str) -> Self {
        let folder = Folder(tempfile::tempdir().unwrap());
        let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/library/import");
        let file = files.join("import-into-the-owner.ifq").display().to_string();
        folder.write("plan.toml", plan.replace("FILES", &file).as_bytes());
        folder
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.0.path().join(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.path().join(name)).unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ifq"));
        command.current_dir(self.0.path()).arg("campaign").args(args);
        command
    }

    fn ifq(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("ifq starts")
    }

    /// Runs a command that must end with this exit code.
    fn expect(&self, code: i32, args: &[&str]) -> String {
        let output = self.ifq(args);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{text}");
        text
    }

    /// All reports of a campaign, and its minimised tests.
    fn reports(&self, dir: &str) -> Vec<(String, Vec<u8>)> {
        let output = self.ifq(&["status", dir, "--json"]);
        let mut all = vec![("status".to_owned(), output.stdout)];
        self.ifq(&["report", dir, "--html", "report.html", "--junit", "report.xml"]);
        for file in ["report.html", "report.xml"] {
            all.push((file.to_owned(), self.read(file)));
        }
        let failures = std::fs::read_dir(self.0.path().join(dir).join("failures")).unwrap();
        let mut names: Vec<String> =
            failures.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        for name in names {
            let bytes = self.read(&format!("{dir}/failures/{name}"));
            all.push((name, bytes));
        }
        all
    }

    fn assert_same(&self, one: &str, other: &str) {
        let (one, other) = (self.reports(one), self.reports(other));
        assert_eq!(one.len(), other.len());
        for ((name, one), (other_name, other)) in one.iter().zip(&other) {
            assert_eq!(name, other_name);
            let (one, other) = (String::from_utf8_lossy(one), String::from_utf8_lossy(other));
            assert_eq!(one, other, "{name}");
        }
    }
}

/// A generator of moments: SplitMix64.
struct Moments(u64);

impl Moments {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % most
    }
}

/// Kills a campaign again and again, each time after up to `most` microseconds; returns the number of kills.
fn kill_until_done(folder: &Folder, dir: &str, most: u64, kills: u32, seed: u64) -> u32 {
    let mut moments = Moments(seed);
    let (mut killed, mut started) = (0, false);
    while killed < kills {
        let args =
            if started { vec!["resume", dir] } else { vec!["run", "plan.toml", "--out", dir] };
        let mut child: Child =
            folder.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(moments.below(most)));
        let ended = child.try_wait().unwrap().is_some();
        child.kill().unwrap();
        child.wait().unwrap();
        started = folder.0.path().join(dir).join("results.jsonl").exists();
        killed += u32::from(!ended);
        if ended && started {
            break;
        }
    }
    let end = if started { vec!["resume", dir] } else { vec!["run", "plan.toml", "--out", dir] };
    folder.expect(1, &end);
    killed
}

#[test]
fn processors_shards_and_kills_do_not_change_the_reports() {
    let folder = Folder::with(PLAN);
    let text = folder.expect(1, &["run", "plan.toml", "--out", "whole", "--jobs", "2"]);
    assert!(text.contains("I1: ifq*.user_refs touched after it was freed"), "{text}");
    folder.expect(1, &["run", "plan.toml", "--out", "alone", "--jobs", "1"]);
    folder.assert_same("whole", "alone");
    for shard in ["1", "2", "3"] {
        let of = format!("{shard}/3");
        folder.ifq(&["run", "plan.toml", "--out", shard, "--shard", &of]);
    }
    folder.expect(1, &["merge", "merged", "3", "1", "2"]);
    folder.assert_same("whole", "merged");
    kill_until_done(&folder, "killed", 60_000, 5, 1);
    folder.assert_same("whole", "killed");
    // The smallest test replays.
    let failures = std::fs::read_dir(folder.0.path().join("whole/failures")).unwrap();
    for file in failures.map(|file| file.unwrap().path()) {
        let replay = Command::new(env!("CARGO_BIN_EXE_ifq")).arg("replay").arg(&file).output();
        assert_eq!(replay.unwrap().status.code(), Some(0), "{}", file.display());
    }
}

#[test]
#[ignore = "not run by default: 100 kills take a quarter of a minute or more; \
            cargo test -p ifq-real --test campaign -- --ignored"]
fn a_campaign_killed_a_hundred_times_has_the_same_reports() {
    let plan = PLAN.replace("runs = 6", "runs = 60").replace("runs = 8", "runs = 400");
    let folder = Folder::with(&plan);
    folder.expect(1, &["run", "plan.toml", "--out", "whole"]);
    let (mut kills, mut campaigns) = (0, 0);
    while kills < 100 {
        let dir = format!("killed-{campaigns}");
        kills += kill_until_done(&folder, &dir, 120_000, 100 - kills, campaigns);
        folder.assert_same("whole", &dir);
        campaigns += 1;
    }
    println!("{kills} kills of {campaigns} campaigns");
}

#[test]
fn failures_of_one_cause_are_one_failure_with_its_smallest_test() {
    let plan = "[[sim]]\nprofile = \"smoke\"\ndefects = [\"early-put\"]\nruns = 40\n";
    let folder = Folder::with(plan);
    folder.expect(1, &["run", "plan.toml", "--out", "c"]);
    let status: serde_json::Value =
        serde_json::from_slice(&folder.ifq(&["status", "c", "--json"]).stdout).unwrap();
    let causes = status["causes"].as_array().unwrap();
    let of_causes: u64 = causes.iter().map(|cause| cause["cases"].as_u64().unwrap()).sum();
    assert_eq!(of_causes, status["total"]["failed"].as_u64().unwrap());
    assert!(causes.len() < 3 && of_causes > 1, "{status}");
    for cause in causes {
        assert!(cause["operations"].as_u64().unwrap() <= 12, "{cause}");
        assert!(cause["first"][0]["again"].as_str().unwrap().starts_with("ifq sim --seed "));
    }
}

#[test]
fn what_has_no_verdict_has_not_passed() {
    let plan = "[limits]\nsearch_states = 3\n[[check]]\nfiles = [\"FILES\"]\n";
    let folder = Folder::with(plan);
    folder.expect(3, &["run", "plan.toml", "--out", "bounded"]);
    folder.expect(3, &["report", "bounded", "--junit", "j.xml"]);
    let junit = String::from_utf8(folder.read("j.xml")).unwrap();
    assert!(junit.contains("errors=\"1\"") && junit.contains("bounded"), "{junit}");
    // No time at all: nothing runs, and nothing passes.
    folder.write("none.toml", b"[limits]\nseconds = 0\n[[sim]]\nruns = 3\n");
    let text = folder.expect(77, &["run", "none.toml", "--out", "none"]);
    assert!(text.contains("the time is over: 0 of 1 units are done"), "{text}");
    folder.expect(77, &["report", "none", "--junit", "j.xml"]);
    let junit = String::from_utf8(folder.read("j.xml")).unwrap();
    assert!(junit.contains("not run yet"), "{junit}");
}

#[test]
fn an_interrupt_ends_with_130_and_the_campaign_can_be_resumed() {
    let folder = Folder::with("[[sim]]\nprofile = \"smoke\"\nruns = 150\nper_unit = 1\n");
    let mut run = folder.command(&["run", "plan.toml", "--out", "c", "--jobs", "1"]);
    let mut child = run.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let results = folder.0.path().join("c/results.jsonl");
    let lines = || std::fs::read(&results).map_or(0, |b| b.iter().filter(|b| **b == b'\n').count());
    while lines() < 3 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(lines() < 151, "the campaign was over before the interrupt");
    folder.expect(0, &["resume", "c"]);
    assert_eq!(lines(), 151);
}

#[test]
fn wrong_plans_are_errors_with_place_and_nearest_name() {
    let cases = [
        ("[[sim]]\nrunz = 3\n", "plan.toml:2:1: unknown field `runz` (did you mean `runs`?)"),
        ("[[simm]]\nruns = 3\n", "plan.toml:1:3: unknown field `simm` (did you mean `sim`?)"),
        ("[[sim]]\n", "the field `runs` is missing"),
        ("[[sim]]\nruns = \"x\"\n", "plan.toml:2:8: invalid type"),
        ("[[sim]]\nruns = 0\n", "plan.toml:2:8: 0 is out of range; expected 1 to"),
        ("[[sim]]\nruns = 1\nper_unit = 0\n", "plan.toml:3:12: 0 is out of range"),
        (
            "[[sim]]\nruns = 1\nprofile = \"smok\"\n",
            "3:11: there is no profile `smok` (did you mean `smoke`?)",
        ),
        (
            "[[sim]]\nruns = 1\nrevisions = [\"import-7.4\"]\n",
            "3:14: there is no revision `import-7.4` (did you",
        ),
        (
            "[[sim]]\nruns = 1\ndefects = [\"early-putt\"]\n",
            "3:12: there is no defect `early-putt` (did you",
        ),
        ("[[sim]]\nruns = 1\ndefects = [\"early-put\", \"P1\"]\n", "no such revision has code"),
        (
            "[[check]]\nfixed = true\nwithout = [\"P1\"]\n",
            "plan.toml:2:9: `fixed` fixes all defects",
        ),
        ("[[check]]\nfiles = [\"missing.ifq\"]\n", "missing.ifq"),
        ("[[enumerate]]\nops = 9\n", "plan.toml:2:7: 9 is out of range; expected 0 to 6"),
        ("[[enumerate]]\nops = 1\nfamilies = [\"x\"]\n", "3:13: there is no family `x`"),
        ("[[conform]]\non = [\"umll\"]\n", "plan.toml:2:7: "),
        (
            "[[conform]]\non = [\"uml\"]\ngenerate = 3\nfiles = [\"a\"]\n",
            "4:9: `generate` draws tests",
        ),
        (
            "[limits]\nsecond = 1\n",
            "plan.toml:2:1: unknown field `second` (did you mean `seconds`?)",
        ),
        ("name = \"x\"\n", "plan.toml:1:1: the plan has no job; expected [[sim]]"),
        ("[[sim]\n", "plan.toml:1:"),
    ];
    let folder = Folder::with("");
    for (plan, message) in cases {
        folder.write("plan.toml", plan.as_bytes());
        let text = folder.expect(2, &["run", "plan.toml", "--out", "c"]);
        assert!(text.contains(message), "{plan}\n{text}");
        assert!(!folder.0.path().join("c").exists(), "{plan}");
    }
    let text = folder.expect(2, &["run", "missing.toml"]);
    assert!(text.contains("expected a plan, which docs/campaigns.md describes"), "{text}");
}

#[test]
fn a_campaign_that_changed_or_is_damaged_is_refused() {
    let folder = Folder::with("[[sim]]\nprofile = \"smoke\"\nruns = 4\nper_unit = 1\n");
    let text = folder.expect(2, &["status", "c"]);
    assert!(text.contains("there is no campaign"), "{text}");
    folder.expect(0, &["run", "plan.toml", "--out", "c"]);
    let text = folder.expect(2, &["run", "plan.toml", "--out", "c"]);
    assert!(text.contains("there is a campaign already"), "{text}");
    let plan = folder.read("plan.toml");
    folder.write("plan.toml", b"[[sim]]\nruns = 5\n");
    let text = folder.expect(2, &["resume", "c"]);
    assert!(text.contains("the plan plan.toml has changed since the campaign began"), "{text}");
    folder.expect(0, &["run", "plan.toml", "--out", "other"]);
    let text = folder.expect(2, &["merge", "m", "c", "other"]);
    assert!(text.contains("c and other are not parts of one campaign: they differ in the plan"));
    folder.write("plan.toml", &plan);
    folder.expect(0, &["resume", "c"]);
    let bytes = folder.read("c/results.jsonl");
    // A torn tail is cut off, and its unit runs again.
    folder.write("c/results.jsonl", &bytes[..bytes.len() - 5]);
    folder.expect(77, &["status", "c"]);
    let text = folder.expect(0, &["resume", "c"]);
    assert!(text.contains("cut off an incomplete last record"), "{text}");
    folder.expect(0, &["status", "c"]);
    // A flipped bit before the last line.
    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 4;
    folder.write("c/results.jsonl", &changed);
    for command in ["status", "resume", "report"] {
        let text = folder.expect(2, &[command, "c"]);
        assert!(text.contains("the line is damaged: its checksum is wrong"), "{text}");
    }
}
