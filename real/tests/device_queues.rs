//! Goal: tests of device queues run on a real kernel without a copy, and agree with the model; a mistake of the
//! model about the device is noticed. Method: run files of the library on Debian's 7.3 in QEMU with the soft NIC.
//! Without that kernel or the tools that build the module the test prints the reason and checks nothing.
#![cfg(target_os = "linux")]

mod not_run;

use std::path::Path;
use std::time::Duration;

use ifq_model::test::Test;
use ifq_real::conform::compare::{Comparison, Verdict, compare};
use ifq_real::conform::oracle::{Explorer, Oracle};
use ifq_real::job::{DevicePackets, Job, Reply, Report};
use ifq_real::machine::{Machine, Qemu, Series};

fn file(name: &str) -> Test {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
    ifq_sim::format::load(library.join(format!("{name}.ifq"))).unwrap()
}

fn run(tests: &[Test], times: u32) -> Option<Reply> {
    let machine = Qemu::debian(Path::new(env!("CARGO_BIN_EXE_ifq")), Series::new(7, 3), 1)
        .map(Qemu::with_nic);
    let job = Job { times, seed: 1, crashes: true, ..Job::new(tests.to_vec()) };
    match machine.and_then(|machine| machine.run(&job, &mut |_| {})) {
        Ok(reply) => Some(reply),
        Err(failure) => {
            not_run::not_run(failure);
            None
        }
    }
}

fn compared(test: &Test, kernel: &str, report: &Report) -> Comparison {
    let explorer = Explorer::new(Duration::from_secs(60));
    let allowed = explorer.allowed(test, &explorer.variant(test, kernel).unwrap());
    compare(test, report, &allowed)
}

#[test]
#[ignore = "not run by default: boots an emulated kernel; .ci/run runs it, \
            cargo test -p ifq-real -- --ignored in_qemu"]
fn in_qemu_packets_of_a_bound_queue_reach_rings_without_a_copy() {
    const TIMES: u32 = 3;
    // Each receives packets of a bound queue: how many completions a repetition has.
    let files = [
        ("device/data-over-a-device-queue", 1),
        ("device/importer-keeps-the-device-queue", 1),
        ("areas/a-second-area-serves-the-device", 2),
    ];
    let tests: Vec<Test> = files.iter().map(|(name, _)| file(name)).collect();
    let Some(reply) = run(&tests, TIMES) else { return };
    for (((name, completions), test), report) in files.iter().zip(&tests).zip(&reply.reports) {
        let comparison = compared(test, &reply.probe.kernel, report);
        assert_eq!(comparison.verdict, Verdict::Agrees, "{name}: {comparison:?}");
        let packets = comparison.packets.expect("the machine has a NIC");
        let DevicePackets { zero_copy, copied, misplaced, .. } = packets;
        assert!(zero_copy >= u64::from(TIMES * completions), "{name}: {packets:?}");
        assert_eq!((copied, misplaced), (0, 0), "{name}: {packets:?}");
    }
}

#[test]
#[ignore = "not run by default: boots an emulated kernel; .ci/run runs it, \
            cargo test -p ifq-real -- --ignored in_qemu"]
fn in_qemu_every_operation_on_the_device_is_executed_and_the_device_is_restored() {
    // Down and up, restart, unregistration; then a test that needs the device again.
    let tests = [
        "device/a-device-that-is-down-keeps-its-queue-bound",
        "device/a-restarted-queue-has-a-new-page-pool",
        "device/a-device-that-is-gone-cannot-be-brought-up",
        "device/data-over-a-device-queue",
    ]
    .map(file);
    let Some(reply) = run(&tests, 2) else { return };
    for (test, report) in tests.iter().zip(&reply.reports) {
        let comparison = compared(test, &reply.probe.kernel, report);
        assert_eq!(comparison.verdict, Verdict::Agrees, "{}: {comparison:?}", test.name);
    }
    // The comparison notices a wrong model of the device: a queue of a device that is down is not bound.
    let text =
        ifq_sim::format::print(&tests[0]).replace("B: register queue=0", "B: register nodev");
    let other = ifq_sim::format::parse("t.ifq", &text).unwrap();
    let comparison = compared(&other, &reply.probe.kernel, &reply.reports[0]);
    assert_eq!(comparison.verdict, Verdict::Differs, "{comparison:?}");
}

#[test]
#[ignore = "not run by default: boots an emulated kernel; .ci/run runs it, \
            cargo test -p ifq-real -- --ignored in_qemu"]
fn in_qemu_faults_happen_a_known_crash_is_shown_and_the_rest_runs_after_a_new_boot() {
    let tests = [
        "faults/a-queue-whose-restart-fails-keeps-its-memory",
        "faults/a-device-whose-page-pool-fails-stays-down",
        "faults/a-failed-export-publishes-no-descriptor",
        "receive/a-close-frees-the-bytes-in-the-socket",
    ]
    .map(file);
    // Enough for each of the four faults of the third test, and none.
    let Some(reply) = run(&tests, 5) else { return };
    assert_eq!(reply.how.boots, 2, "{reply:?}");
    let compared: Vec<Comparison> = tests
        .iter()
        .zip(&reply.reports)
        .map(|(test, report)| compared(test, &reply.probe.kernel, report))
        .collect();
    for (test, comparison) in tests.iter().zip(&compared) {
        assert_eq!(comparison.verdict, Verdict::Agrees, "{}: {comparison:?}", test.name);
    }
    let crash = compared[0].crash.as_ref().expect("it breaks I1");
    assert!(crash.seen.as_ref().is_some_and(|log| log.contains("DMA fault")), "{crash:?}");
    let failed = |at: usize| compared[at].packets.map(|packets| packets.failed);
    assert!(failed(0) > Some(0) && failed(1) > Some(0) && failed(3) == Some(0), "{compared:?}");
    let by_fault = |at: usize| {
        let rows = compared[at].rows.iter();
        rows.filter(|row| row.by_fault && row.count > 0).count()
    };
    assert!(by_fault(1) >= 1, "{:?}", compared[1].rows);
    assert!(by_fault(2) >= 4, "{:?}", compared[2].rows);
}
