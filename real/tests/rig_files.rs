//! Goal: a rig file with a mistake is refused with file, line and what to do, before anything is touched.
//! Method: run the commands as a user does, on files with one mistake each.
#![cfg(target_os = "linux")]

use std::path::PathBuf;
use std::process::{Command, Output};

/// A file without a mistake.
const FILE: &str = "\
[machine]
host = \"root@rig1\"

[nic]
interface = \"eth2\"
queues = [4, 5]
address = \"192.0.2.1/24\"

[peer]
interface = \"eth3\"
address = \"192.0.2.2\"
";

fn ifq(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ifq")).args(arguments).output().unwrap()
}

fn written(folder: &tempfile::TempDir, text: &str) -> PathBuf {
    let file = folder.path().join("rig.toml");
    std::fs::write(&file, text).unwrap();
    file
}

/// A text of [`FILE`], what stands there instead, the place, and what the error says.
const MISTAKES: [(&str, &str, &str, &[&str]); 18] = [
    ("queues =", "queue =", "6:1", &["unknown field `queue`", "did you mean `queues`?"]),
    ("[peer]", "[pear]", "9:2", &["`pear`", "did you mean `peer`?"]),
    ("[4, 5]", "[4, \"5\"]", "6:", &["invalid type", "expected u32"]),
    ("[4, 5]", "[]", "6:10", &["nic.queues", "such as [2, 3]"]),
    ("[4, 5]", "[4, 4]", "6:10", &["queue 4 is named twice"]),
    ("[4, 5]", "[4, 5000]", "6:10", &["queue 5000 is out of range", "ethtool -l"]),
    ("/24\"", "\"", "7:11", &["`192.0.2.1` is no address with a prefix", "192.0.2.1/24"]),
    ("/24\"", "/33\"", "7:11", &["no address with a prefix"]),
    ("192.0.2.1/24", "127.0.0.1/24", "7:11", &["cannot be the address"]),
    ("192.0.2.2", "192.0.2.1", "11:11", &["is also nic.address"]),
    ("192.0.2.2", "198.51.100.2", "11:11", &["is not in the network of nic.address"]),
    ("eth3", "eth2", "10:13", &["is also nic.interface"]),
    ("eth2", "eth2/../x", "5:13", &["is no name of an interface", "ip link"]),
    ("root@rig1", "-oProxyCommand=x", "2:8", &["is no destination", "root@rig1"]),
    ("[peer]", "[peer]\nhost = \"-x\"", "10:8", &["peer.host", "is no destination"]),
    ("[peer]", "[peer]\nhots = \"x\"", "10:1", &["did you mean `host`?"]),
    ("interface = \"eth2\"\n", "", "", &["the field `interface` is missing"]),
    ("queues = [4, 5]", "queues = [4, 5", "7:", &["expected"]),
];

#[test]
fn a_mistake_in_a_rig_file_is_refused_with_its_place_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for (from, to, place, says) in MISTAKES {
        assert!(FILE.contains(from), "{from}");
        let file = written(&folder, &FILE.replacen(from, to, 1));
        let name = file.display().to_string();
        for arguments in [vec!["rig", "check", &name], vec!["rig", "restore", &name]] {
            let output = ifq(&arguments);
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{from} -> {to}: {error}");
            assert!(error.contains(&format!("{name}:{place}")), "{from} -> {to}: {error}");
            for text in says {
                assert!(error.contains(text), "{from} -> {to}: {text}: {error}");
            }
        }
    }
}

#[test]
fn a_machine_that_is_no_rig_file_is_wrong_use() {
    let folder = tempfile::tempdir().unwrap();
    let file = written(&folder, &FILE.replacen("queues", "ques", 1));
    let machine = format!("rig:{}", file.display());
    for (machine, says) in [
        ("rig:", "expected rig:FILE"),
        ("rig:/no/such/rig.toml", "docs/RIGS.md"),
        (machine.as_str(), "did you mean `queues`?"),
    ] {
        for command in ["run", "conform", "probe"] {
            let output = ifq(&[command, "--on", machine]);
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{command} {machine}: {error}");
            assert!(error.contains(says), "{command} {machine}: {error}");
        }
    }
}

#[test]
fn what_the_machine_finds_is_said_with_the_line_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let local = FILE.replacen("[machine]\nhost = \"root@rig1\"\n", "\n\n", 1);
    // Interfaces that this machine does not have; the loopback interface has no queue API, and is not touched.
    for (text, place, says) in [
        (local.replace("eth2", "no-such-nic"), "5:13", "there is no interface `no-such-nic`"),
        (local.replace("eth2", "lo").replace("eth3", "no-such-nic"), "10:13", "`no-such-nic`"),
    ] {
        let file = written(&folder, &text);
        let machine = format!("rig:{}", file.display());
        let output = ifq(&["probe", "--on", &machine]);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(77), "{output:?}");
        // Without privileges the journal cannot be written.
        if printed.contains("ermission") {
            continue;
        }
        assert!(printed.contains(&format!("rig.toml:{place}: ")), "{printed}");
        assert!(printed.contains(says), "{printed}");
        let output = ifq(&["rig", "check", &file.display().to_string()]);
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(printed.contains("MISSING") && printed.contains("try: "), "{printed}");
    }
}

#[test]
fn a_host_that_does_not_answer_is_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let text = FILE.replacen("root@rig1\"", "rig1\"\nssh = [\"-o\", \"ProxyCommand=false\"]", 1);
    let file = written(&folder, &text);
    let output = ifq(&["rig", "check", &file.display().to_string()]);
    assert_eq!(output.status.code(), Some(77), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("ssh"), "{output:?}");
}
