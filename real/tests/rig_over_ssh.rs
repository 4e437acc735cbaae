//! Goal: a rig that ssh reaches is used like a local one; a lost connection loses no result, a kernel that crashes is
//! recognised, its log kept, and the run goes on. Method: `ifq rig guest` boots a guest with the soft NIC and an ssh
//! server on loopback; the tool uses it through its rig file. Without that kernel, qemu, ssh or the tools that build
//! the module the test prints the reason and checks nothing.
#![cfg(target_os = "linux")]

mod not_run;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Time that the guest has to answer: it fetches packages at first, and boots under emulation.
const UP: Duration = Duration::from_secs(600);

fn ifq(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ifq"));
    command.args(arguments);
    command
}

/// The guest, killed at the end.
struct Guest(Child);

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A free port of loopback.
fn port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Boots the guest and waits until its ssh server answers.
fn boot(folder: &Path) -> Result<Guest, String> {
    let port = port().to_string();
    let log = std::fs::File::create(folder.join("log")).unwrap();
    let mut command = ifq(&["rig", "guest", folder.to_str().unwrap(), "--port", &port]);
    command.stdout(log.try_clone().unwrap()).stderr(log);
    let mut guest = Guest(command.spawn().unwrap());
    let start = Instant::now();
    while start.elapsed() < UP {
        if let Some(status) = guest.0.try_wait().unwrap() {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            return Err(format!("{status}: {log}"));
        }
        if ssh(folder, "true").status.success() {
            return Ok(guest);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    let console = std::fs::read_to_string(folder.join("console")).unwrap_or_default();
    panic!("the guest does not answer: {console}")
}

fn ssh(folder: &Path, script: &str) -> Output {
    let config = folder.join("ssh_config");
    let mut command = Command::new("ssh");
    command.arg("-F").arg(config).args(["-o", "ConnectTimeout=15", "ifq-guest", script]);
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("ssh: {error}"))
}

fn test_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/library/{name}.ifq"))
}

fn verdicts(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.map(|line| line["result"].as_str().unwrap_or_default().to_owned()).collect()
}

fn state(rig: &str) -> String {
    let output = ifq(&["rig", "state", rig, "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A state without the hardware addresses.
fn without_addresses(state: &str) -> Value {
    let mut state: Value = serde_json::from_str(state).unwrap();
    for interface in ["nic", "peer"] {
        let found = state["state"][interface]["Ok"].as_object_mut().unwrap().remove("mac");
        assert!(found.is_some(), "{state}");
    }
    state
}

/// Does something to a run after its first result: the run.
fn disturbed(rig: &str, disturb: impl FnOnce(u32)) -> Output {
    let machine = format!("rig:{rig}");
    let file = test_file("device/data-over-a-device-queue");
    let file = file.to_str().unwrap();
    let mut arguments = vec!["run"; 1];
    arguments.extend([file; 4]);
    arguments.extend(["--on", &machine, "--times", "10", "--seed", "1", "--json"]);
    let mut command = ifq(&arguments);
    let run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    disturb(run.id());
    run.wait_with_output().unwrap()
}

/// Waits until a job on the rig has written something.
fn until_a_job_runs(folder: &Path) {
    until_results_have(folder, "");
}

/// Waits until a line of the results of a job has this text.
fn until_results_have(folder: &Path, text: &str) {
    let start = Instant::now();
    let script = format!("cat /var/tmp/ifq/results-*[0-9] | grep -q '{text}'");
    while !ssh(folder, &script).status.success() {
        assert!(start.elapsed() < Duration::from_secs(120), "no job runs on the rig");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
#[ignore = "not run by default: takes minutes on an emulated kernel; \
            cargo test -p ifq-real --test rig_over_ssh -- --ignored runs it"]
fn a_rig_over_ssh_is_used_and_survives_a_lost_connection_and_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let _guest = match boot(folder) {
        Ok(guest) => guest,
        Err(why) => return not_run::not_run(why),
    };
    let rig = folder.join("rig.toml");
    let rig = rig.to_str().unwrap();
    let check = ifq(&["rig", "check", rig]).output().unwrap();
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    let before = state(rig);

    let machine = format!("rig:{rig}");
    let file = test_file("device/importer-keeps-the-device-queue");
    let run = ifq(&["run", file.to_str().unwrap(), "--on", &machine, "--times", "3", "--json"]);
    let run = { run }.output().unwrap();
    assert_eq!(verdicts(&run), ["agrees"], "{run:?}");
    assert_eq!(state(rig), before);

    // The connection: the client is killed, as a network that fails would end it.
    let run = disturbed(rig, |tool| {
        until_a_job_runs(folder);
        let children =
            std::fs::read_to_string(format!("/proc/{tool}/task/{tool}/children")).unwrap();
        let kill = Command::new("kill").arg("-9").args(children.split_whitespace()).status();
        assert!(kill.unwrap().success(), "{children}");
    });
    assert_eq!(verdicts(&run), ["agrees"; 4], "{run:?}");
    assert_eq!(state(rig), before);

    // The kernel: it panics and the guest is booted again.
    ssh(folder, "rm /var/tmp/ifq/results-*");
    let run = disturbed(rig, |_| {
        until_a_job_runs(folder);
        ssh(folder, "sleep 1; echo c > /proc/sysrq-trigger");
    });
    let verdicts = verdicts(&run);
    assert_eq!(verdicts.len(), 4, "{run:?}");
    assert_eq!(verdicts.iter().filter(|verdict| *verdict == "agrees").count(), 3, "{run:?}");
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(text.contains("booted again meanwhile") && text.contains("sysrq"), "{run:?}");
    // The soft NIC draws hardware addresses when it is loaded.
    assert_eq!(without_addresses(&state(rig)), without_addresses(&before));
}

/// The process of the emulator.
fn emulator(guest: &Guest) -> String {
    let id = guest.0.id();
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    children.trim().to_owned()
}

#[test]
#[ignore = "not run by default: takes minutes on an emulated kernel; \
            cargo test -p ifq-real --test rig_over_ssh -- --ignored runs it"]
fn a_rig_that_does_not_answer_is_rebooted_by_its_command_and_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let guest = match boot(folder) {
        Ok(guest) => guest,
        Err(why) => return not_run::not_run(why),
    };
    let rig = folder.join("rig.toml");
    let text = std::fs::read_to_string(&rig).unwrap();
    let fast = text.replace("reconnect_seconds = 120", "reconnect_seconds = 10");
    assert_ne!(fast, text);
    // The command counts its calls.
    let counted = format!("echo called >> {0}/calls; touch {0}/reboot", folder.display());
    let command = format!("touch {}/reboot", folder.display());
    assert!(fast.contains(&command));
    std::fs::write(&rig, fast.replace(&command, &counted)).unwrap();
    let rig = rig.to_str().unwrap();
    let before = state(rig);
    let calls = || std::fs::read_to_string(folder.join("calls")).unwrap_or_default();

    // A kernel that crashes and stays there; one that says nothing at all.
    let crash = || {
        ssh(folder, "echo 0 > /proc/sys/kernel/panic; echo c > /proc/sysrq-trigger");
    };
    let stop = || {
        let status = Command::new("kill").args(["-STOP", &emulator(&guest)]).status();
        assert!(status.unwrap().success());
    };
    let ways: [(&dyn Fn(), &str); 2] =
        [(&crash, "sysrq triggered crash"), (&stop, "from its log:")];
    for (at, (silence, log)) in ways.into_iter().enumerate() {
        let run = disturbed(rig, |_| {
            // The first test has ended.
            until_results_have(folder, "\"line\":\"test\"");
            silence();
        });
        let verdicts = verdicts(&run);
        assert_eq!(verdicts.len(), 4, "{run:?}");
        assert_eq!(verdicts[0], "agrees", "finished results are kept: {run:?}");
        assert_eq!(verdicts.iter().filter(|verdict| *verdict == "agrees").count(), 3, "{run:?}");
        let text = String::from_utf8_lossy(&run.stdout);
        assert!(text.contains("the rig did not answer for 10 s"), "{run:?}");
        assert!(text.contains(log), "the log is kept: {run:?}");
        assert_eq!(calls().lines().count(), at + 1, "{run:?}");
        assert_eq!(without_addresses(&state(rig)), without_addresses(&before));
    }
}
