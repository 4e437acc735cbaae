//! Goal: the machines run real jobs on real kernels and report the known results.
//! Method: boot user-mode Linux (where apt can fetch it) and use this host; where a kernel is
//! missing, the test prints the reason and checks nothing.
#![cfg(target_os = "linux")]

mod not_run;
mod race;

use std::path::Path;
use std::process::{Command, Output};

use ifq_model::outcome::{Outcome, Value};
use ifq_model::test::Test;
use ifq_real::job::{InjectedFailure, Job, Reply, Report};
use ifq_real::machine::{Failure, Host, Machine, Qemu, Series, Uml};
use not_run::not_run;
use race::RACE;

/// The executable under test.
fn ifq() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_ifq"))
}

/// A machine's answer, or `None` after the reason has been printed.
fn run_on(machine: Result<impl Machine, Failure>, job: &Job) -> Option<Reply> {
    match machine.and_then(|machine| machine.run(job, &mut |_| {})) {
        Ok(reply) => Some(reply),
        Err(failure) => {
            not_run(failure);
            None
        }
    }
}

fn job(texts: &[&str], times: u32) -> Job {
    let parse = |text: &&str| -> Test { ifq_sim::format::parse("test", text).unwrap() };
    Job { times, seed: 1, ..Job::new(texts.iter().map(parse).collect()) }
}

/// The outcomes of a test that ran without any problem.
fn outcomes(report: &Report) -> Vec<(Vec<i64>, u64)> {
    let Report::Completed { histogram, problems, .. } = report else { panic!("{report:?}") };
    assert_eq!(*problems, Vec::<String>::new());
    let number = |value: &Value| match value {
        Value::Number(n) => *n,
        other => panic!("{other:?} is no number"),
    };
    histogram.iter().map(|(Outcome(values), n)| (values.iter().map(number).collect(), *n)).collect()
}

const LIFE: &str = "\
test a-life
about A buffer is received, returned, flushed and received into again.
revision import-7.1 import-7.2 import-7.3
ring a
socket s
observe c r f d g

setup
  i = a: register nodev buffers=1 entries=8
  s: send 100
  a: recv i s
  c = a: wait
  r = return c to i
  f = a: flush i
  s: send 50
  d = a: wait
  a: exit
  g = a: wait
expect holds
";

const NEEDS_DEVICE: &str = "\
test needs-a-device
about A queue of a device is registered.
revision import-7.1 import-7.2 import-7.3
ring a
queues 1
observe i

setup
  i = a: register queue=0 buffers=1 entries=1
expect holds
";

#[test]
fn user_mode_linux_runs_tests_and_its_probe_is_correct() {
    let machine = Uml::new(ifq());
    let Some(reply) = run_on(machine, &job(&[LIFE, RACE, NEEDS_DEVICE], 20)) else {
        return;
    };
    assert_eq!(reply.probe.obstacle(), None);
    assert_eq!(reply.probe.nodev, Some(0));
    assert_eq!(reply.probe.share, Some(0));
    assert_eq!(reply.probe.max_rq_entries, Some(32768), "IO_RQ_MAX_ENTRIES");
    let zcrx = reply.probe.zcrx.unwrap();
    assert_eq!(zcrx.register_flags & 3, 3, "IMPORT and NODEV");
    assert_eq!(outcomes(&reply.reports[0]), [(vec![100, 0, 0, 50, -9], 20)]);
    let raced = outcomes(&reply.reports[1]);
    assert_eq!(raced.iter().map(|(_, n)| n).sum::<u64>(), 20);
    assert!(raced.iter().all(|(o, _)| [vec![0, 0], vec![-9, 0]].contains(o)), "{raced:?}");
    assert!(matches!(&reply.reports[2], Report::NotRun { reason } if reason.contains("device")));
}

#[test]
fn a_send_arrives_in_whole_pages_regardless_of_unread_bytes_before_it() {
    let text = "\
test unread-bytes-pile-up
revision import-7.1 import-7.2 import-7.3
ring a
socket s
socket t
observe c d

setup
  i = a: register nodev buffers=2 entries=2
  t: send 3000
  s: send 5000
  a: recv i s
  c = a: wait
  d = a: wait
expect holds
";
    let Some(reply) = run_on(Uml::new(ifq()), &job(&[text], 31)) else {
        return;
    };
    assert_eq!(outcomes(&reply.reports[0]), [(vec![4096, 904], 31)]);
}

#[test]
fn a_kernel_region_is_mapped_through_an_importer_and_without_open_rings_the_test_is_not_run() {
    let text = "\
test a-region-is-gone
revision import-7.1 import-7.2 import-7.3
ring a
socket s
observe d

setup
  i = a: register nodev buffers=1 entries=1 with kernel-region
  s: send 1
  a: recv i s
  c = a: wait
  r = return c to i
  a: exit
  d = return c to i
expect holds
";
    let shared = "\
test a-region-is-left-to-the-importer
revision import-7.1 import-7.2 import-7.3
ring a b
socket s
observe r g d e

setup
  i = a: register nodev buffers=1 entries=1 with kernel-region
  box = a: export i
  j = b: import box
  s: send 1
  b: recv j s
  c = b: wait
  a: exit
  r = return c to i
  g = return c to i
  f = b: flush j
  s: send 1
  d = b: wait
  e = return d to i
expect holds
";
    let Some(reply) = run_on(Uml::new(ifq()), &job(&[text, shared, LIFE], 2)) else {
        return;
    };
    let Report::NotRun { reason } = &reply.reports[0] else { panic!("{reply:?}") };
    assert!(reason.contains("mapped through a ring"), "{reason}");
    assert_eq!(outcomes(&reply.reports[1]), [(vec![0, -11, 1, 0], 2)], "the kernel has read it");
    assert_eq!(outcomes(&reply.reports[2]).len(), 1);
}

#[test]
fn a_warning_a_leak_a_hang_and_a_crash_are_each_detected_and_the_other_tests_run() {
    let failures = [
        (InjectedFailure::KernelWarning, "WARNING: injected"),
        (InjectedFailure::Leak, "io_uring]) is still open"),
        (InjectedFailure::ReservedFd, "is reserved but not open"),
        (InjectedFailure::Hang, "hangs after 0 repetitions"),
        (InjectedFailure::Crash, "in this test it exited"),
    ];
    // At the same time, because a guest with a failure mostly waits for it to end.
    std::thread::scope(|scope| {
        for (injected, sign) in failures {
            scope.spawn(move || detects(injected, sign));
        }
    });
}

/// Injects a failure into the first of two tests. Its report must contain `sign`.
fn detects(injected: InjectedFailure, sign: &str) {
    let job = Job { injected: Some(injected), stuck_timeout_ms: 1000, ..job(&[LIFE, RACE], 1) };
    let Some(reply) = run_on(Uml::new(ifq()), &job) else {
        return;
    };
    let detected = match &reply.reports[0] {
        Report::Completed { problems, .. } => problems.iter().any(|text| text.contains(sign)),
        Report::Broken { reason } => reason.contains(sign),
        Report::NotRun { .. } => false,
    };
    assert!(detected, "{injected:?}: {reply:?}");
    assert_eq!(outcomes(&reply.reports[1]).len(), 1, "the next test runs after {injected:?}");
    let survives = !matches!(injected, InjectedFailure::Hang | InjectedFailure::Crash);
    assert_eq!(reply.how.boots, if survives { 1 } else { 2 });
}

#[test]
fn a_guest_whose_init_exits_is_not_run_and_its_console_is_shown() {
    let machine = match Uml::new(Path::new("/bin/false")) {
        Ok(machine) if Path::new("/bin/false").exists() => machine,
        other => return not_run(format_args!("{other:?}")),
    };
    match machine.run(&Job::probe(), &mut |_| {}) {
        Err(Failure::NotRun(reason)) if reason.contains("console") => {
            assert!(reason.contains("init"), "{reason}");
        }
        Err(Failure::NotRun(reason)) => not_run(reason),
        other => panic!("{other:?}"),
    }
}

/// Debian's newest kernel that the model knows, in QEMU.
#[test]
#[ignore = "not run by default: boots an emulated kernel; .ci/run runs it, \
            cargo test -p ifq-real -- --ignored in_qemu"]
fn in_qemu_a_kernel_runs_tests_and_a_crash_in_one_does_not_lose_the_others() {
    let machine = Qemu::debian(ifq(), Series::new(7, 3), 1);
    let job = Job { injected: Some(InjectedFailure::Crash), ..job(&[LIFE, RACE, NEEDS_DEVICE], 5) };
    let Some(reply) = run_on(machine, &job) else {
        return;
    };
    println!("{}; {:?}", reply.how, reply.how.notes);
    assert!(reply.probe.kernel.starts_with("7.3."), "{:?}", reply.probe);
    assert_eq!(reply.probe.obstacle(), None);
    let Report::Broken { reason } = &reply.reports[0] else { panic!("{reply:?}") };
    assert!(reason.contains("sysrq triggered crash"), "{reason}");
    assert_eq!(reply.how.boots, 2);
    let raced = outcomes(&reply.reports[1]);
    assert_eq!(raced.iter().map(|(_, n)| n).sum::<u64>(), 5);
    assert!(matches!(&reply.reports[2], Report::NotRun { reason } if reason.contains("device")));
    assert!(reply.how.accelerated.is_some());
}

/// Goal: memory that stays charged to the user is detected without a descriptor or a slab trace.
/// Method: a mapping keeps a ring alive.
#[test]
fn locked_memory_that_stays_charged_is_reported_in_kib() {
    let job = Job { injected: Some(InjectedFailure::LockedMemory), ..job(&[LIFE], 1) };
    let Some(reply) = run_on(Uml::new(ifq()), &job) else {
        return;
    };
    let Report::Completed { problems, .. } = &reply.reports[0] else { panic!("{reply:?}") };
    assert_eq!(problems.len(), 1, "no other check reports it: {problems:?}");
    assert!(problems[0].contains("KiB of the user's locked memory are still"), "{problems:?}");
}

/// Goal: an object that io_uring does not free is detected. Method: a ring stays open on a kernel that
/// records allocation stacks.
#[test]
#[ignore = "not run by default: boots an emulated kernel; .ci/run runs it, \
            cargo test -p ifq-real -- --ignored in_qemu"]
fn in_qemu_leaked_objects_of_io_uring_are_reported_with_their_allocation_stack() {
    let machine = Qemu::debian(ifq(), Series::new(7, 3), 1);
    let job = Job { injected: Some(InjectedFailure::Leak), ..job(&[LIFE], 3) };
    let Some(reply) = run_on(machine, &job) else {
        return;
    };
    let Report::Completed { problems, .. } = &reply.reports[0] else { panic!("{reply:?}") };
    let named = |word: &str| {
        problems.iter().any(|line| line.contains("the kernel still has") && line.contains(word))
    };
    assert!(named("io_uring_setup"), "{problems:#?}");
    assert!(named("zcrx"), "{problems:#?}");
}

/// Goal: `kernel:PATH` starts that file. Method: a file that is not a kernel.
#[test]
fn a_file_that_is_not_a_kernel_is_not_run_and_the_reason_is_shown() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), [0x55; 4096]).unwrap();
    match Qemu::file(ifq(), file.path(), 1).run(&Job::probe(), &mut |_| {}) {
        Err(Failure::NotRun(reason)) => {
            println!("{reason}");
            assert!(reason.contains("kernel") || reason.contains("qemu"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

fn command(arguments: &[&str], tmp: &Path) -> Output {
    Command::new(ifq()).args(arguments).env("TMPDIR", tmp).output().unwrap()
}

#[test]
fn an_unsupported_host_exits_with_77_and_leaves_no_temporary_files() {
    let dir = tempfile::tempdir().unwrap();
    let tmp = dir.path().join("tmp");
    std::fs::create_dir(&tmp).unwrap();
    let file = dir.path().join("a-life.ifq");
    std::fs::write(&file, LIFE).unwrap();
    let probe = command(&["probe", "--on", "host", "--json"], &tmp);
    assert_eq!(probe.status.code(), Some(0), "{probe:?}");
    let answer: ifq_real::kernels::probe::Probe = serde_json::from_slice(&probe.stdout).unwrap();
    let path = file.to_str().unwrap();
    let run = command(&["run", path, "--on", "host", "--times", "3", "--json"], &tmp);
    let line: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    let life: Test = ifq_sim::format::parse("a-life.ifq", LIFE).unwrap();
    match answer.obstacle_to(&life, false) {
        Some(obstacle) => {
            assert_eq!(run.status.code(), Some(77), "{run:?}");
            assert_eq!(line["result"], "not-run");
            assert_eq!(line["reason"], obstacle);
        }
        None => {
            assert_eq!(run.status.code(), Some(0), "{run:?}");
            assert_eq!(line["result"], "agrees");
        }
    }
    assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0);
    let reply = run_on(Ok(Host::new(ifq())), &Job::probe()).unwrap();
    assert_eq!(reply.probe, answer);
}

#[test]
fn the_outcomes_on_user_mode_linux_are_allowed_by_the_model() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [("a-life.ifq", LIFE), ("a-race.ifq", RACE)] {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let folder = dir.path().to_str().unwrap();
    let run = command(&["run", folder, "--on", "uml", "--times", "20", "--json"], dir.path());
    let lines = String::from_utf8(run.stdout).unwrap();
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        if line["result"] == "not-run" {
            return not_run(&line["reason"]);
        }
        assert_eq!(line["result"], "agrees", "{line}");
        let seen = line["histogram"].as_array().unwrap().iter();
        assert_eq!(seen.map(|row| row["count"].as_u64().unwrap()).sum::<u64>(), 20, "{line}");
    }
    assert_eq!(lines.lines().count(), 2);
    assert_eq!(run.status.code(), Some(0));
}

#[test]
fn usage_errors_exit_with_2() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("broken.ifq");
    std::fs::write(&file, "test x\nnonsense\n").unwrap();
    for arguments in [
        vec!["run", "no-such-file.ifq", "--on", "host"],
        vec!["run", file.to_str().unwrap(), "--on", "host"],
        vec!["run", file.to_str().unwrap()],
        vec!["probe", "--on", "the-moon"],
    ] {
        let output = command(&arguments, dir.path());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(!output.stderr.is_empty());
    }
}
