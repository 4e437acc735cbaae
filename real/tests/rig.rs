//! Goal: `ifq rig` lists the machines, boots them, and `rig shell -c` exits with the code of its command.
//! Method: run it as a user does. Without a kernel the test prints the reason and checks nothing.
#![cfg(target_os = "linux")]

mod not_run;

use std::process::{Command, Output};

/// A machine with a NIC.
const NIC: &str = "qemu:7.3+nic";

fn rig(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ifq")).arg("rig").args(arguments).output().unwrap()
}

fn json_lines(output: &Output) -> Vec<serde_json::Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_machine_is_listed_with_its_status() {
    // At the same time, because each one finds out whether KVM works, which takes seconds where it does not.
    let (output, table) = std::thread::scope(|scope| {
        let table = scope.spawn(|| rig(&["list"]));
        (rig(&["list", "--json"]), table.join().unwrap())
    });
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines = json_lines(&output);
    let names: Vec<_> = lines.iter().map(|line| line["machine"].as_str().unwrap()).collect();
    for name in ["host", "uml", "qemu:6.18", "qemu:6.19", "qemu:7.0", "qemu:7.1", "qemu:7.3", NIC] {
        assert!(names.contains(&name), "{names:?}");
    }
    for line in &lines {
        let fetched = line["cached"] == true && line["machine"] != "host";
        assert_eq!(line["sha256"].as_str().map(str::len), fetched.then_some(64), "{line}");
        if line["accelerated"] == false {
            assert!(line["reason"].is_string(), "reason is missing: {line}");
        }
    }
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(names.iter().all(|name| table.contains(name)), "{table}");
}

#[test]
fn a_command_in_a_guest_returns_its_output_and_exit_code() {
    let script = "uname -s; head -c 100000 /dev/zero | tr '\\0' x; exit 5";
    let output = rig(&["shell", "--on", "uml", "-c", script]);
    if output.status.code() == Some(77) {
        return not_run::not_run(String::from_utf8_lossy(&output.stdout));
    }
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let (name, rest) = text.split_once('\n').unwrap();
    assert_eq!((name, rest.len()), ("Linux", 100_000));
    assert!(rest.bytes().all(|byte| byte == b'x'), "bytes are unchanged");
}

#[test]
fn a_boot_reports_its_duration_and_the_kernel() {
    let output = rig(&["boot", "--on", "uml", "--json"]);
    let line = &json_lines(&output)[0];
    if output.status.code() == Some(77) {
        return not_run::not_run(line);
    }
    assert_eq!(line["how"]["boots"], 1, "{line}");
    assert!(line["how"]["boot_ms"].as_u64().unwrap() > 0);
    assert!(line["probe"]["kernel"].as_str().unwrap().starts_with("7."), "{line}");
}

#[test]
fn usage_errors_exit_with_2_and_say_what_is_expected() {
    for (arguments, says) in [
        (vec!["fetch", "host"], "expected a series or uml"),
        (vec!["fetch", "7"], "qemu:SERIES"),
        (vec!["shell", "--on", "host"], "expected a guest"),
        (vec!["boot", "--on", "kernel:/no/such/file"], "expected a kernel image"),
        (vec!["boot", "--on", "uml", "--cpus", "0"], "1..=64"),
    ] {
        let output = rig(&arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
        assert!(error.contains(says), "{arguments:?}: {error}");
    }
}

/// Goal: the soft NIC does what its description says, with and without a memory provider.
#[test]
#[ignore = "not run by default: boots an emulated kernel; .ci/run runs it, \
            cargo test -p ifq-real -- --ignored in_qemu"]
fn in_qemu_the_nic_is_probed_and_passes_its_self_test() {
    let ifq = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_ifq")).args(arguments).output().unwrap()
    };
    let output = ifq(&["probe", "--on", NIC, "--json"]);
    if output.status.code() == Some(77) {
        return not_run::not_run(String::from_utf8_lossy(&output.stdout));
    }
    let nic = &json_lines(&output)[0]["nic"];
    assert_eq!(nic["interface"], "sn0", "{output:?}");
    assert_eq!(nic["driver"], "softnic");
    assert_eq!(nic["queues"], 16);
    let output = ifq(&["rig", "selftest", NIC]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("holds: ") && text.ends_with(" 0 fail\n"), "{text}");
}
