//! Goal: on a real kernel a thread that is blocked by a page fault of another call is detected, and
//! differs unless the model allows it. Method: run the tests of the library about it on Debian's 7.3 in
//! QEMU, where `zcrx_ctrl_add_area` holds `pp_lock` over `copy_to_user` and over `io_pin_pages`. Without
//! that kernel the test prints the reason and checks nothing.
#![cfg(target_os = "linux")]

mod not_run;

use std::path::Path;
use std::time::Duration;

use ifq_model::revision::Defect;
use ifq_real::conform::compare::{Comparison, Verdict, compare};
use ifq_real::conform::oracle::{Explorer, Oracle};
use ifq_real::job::{Job, Report};
use ifq_real::machine::{Machine, Qemu, Series};

const STALLS: &str = "faults/a-page-fault-while-adding-an-area-blocks-another-ring";
const HOLDS: [&str; 2] = [
    "faults/a-page-fault-with-nodev-does-not-block-another-ring",
    "faults/a-page-fault-while-registering-without-a-device-blocks-no-ring",
];
const TIMES: u32 = 20;

#[test]
#[ignore = "not run by default: boots an emulated kernel; .ci/run runs it, \
            cargo test -p ifq-real -- --ignored in_qemu"]
fn in_qemu_a_page_fault_of_one_ring_blocks_another_on_7_3_only_where_the_model_allows_it() {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
    let tests: Vec<_> = [&[STALLS], &HOLDS[..]]
        .concat()
        .iter()
        .map(|name| ifq_sim::format::load(library.join(format!("{name}.ifq"))).unwrap())
        .collect();
    let job = Job { times: TIMES, seed: 1, ..Job::new(tests.clone()) };
    let machine = Qemu::debian(Path::new(env!("CARGO_BIN_EXE_ifq")), Series::new(7, 3), 1);
    let reply = match machine.and_then(|machine| machine.run(&job, &mut |_| {})) {
        Ok(reply) => reply,
        Err(failure) => return not_run::not_run(failure),
    };
    let kernel = &reply.probe.kernel;
    let compared = |at: usize, without: &[Defect]| -> Comparison {
        let explorer = Explorer { without: without.to_vec(), ..explorer() };
        let allowed = explorer.allowed(&tests[at], &explorer.variant(&tests[at], kernel).unwrap());
        compare(&tests[at], &reply.reports[at], &allowed)
    };
    let with_the_lock = compared(0, &[]);
    assert_eq!(with_the_lock.verdict, Verdict::Agrees, "{with_the_lock:?}");
    assert!(with_the_lock.stalls.stalled > 0, "{with_the_lock:?}");
    println!("{kernel}: {:?}", with_the_lock.stalls);
    for (page, function) in [("the argument", "copy_to_user"), ("the area", "io_pin_pages")] {
        let page = format!("{page} of add-area");
        let example = &with_the_lock.stalls.examples[&page];
        println!("{example}");
        let (blocked, fault) = example.split_once("the page fault was in").unwrap();
        assert!(blocked.contains("zcrx_ctrl_add_area"), "{blocked}");
        assert!(fault.contains("handle_userfault"), "{fault}");
        assert!(fault.contains("zcrx_ctrl_add_area"), "{fault}");
        assert!(fault.contains(function), "{fault}");
    }
    // Each of the two repairs alone leaves the other page.
    for half in [Defect::AddAreaLock, Defect::AddAreaPin] {
        assert_eq!(compared(0, &[half]).verdict, Verdict::Agrees, "{half}");
    }
    let fixed = compared(0, &[Defect::AddAreaLock, Defect::AddAreaPin]);
    assert_eq!(fixed.verdict, Verdict::Differs);
    assert!(fixed.reason.contains("must not block another thread"), "{}", fixed.reason);
    for (at, name) in HOLDS.iter().enumerate().map(|(at, name)| (at + 1, name)) {
        let without_stall = compared(at, &[]);
        assert_eq!(without_stall.verdict, Verdict::Agrees, "{name}: {without_stall:?}");
        assert!(without_stall.stalls.late > 0, "a page fault was delayed: {without_stall:?}");
        let Report::Completed { stalls, .. } = &reply.reports[at] else { panic!("{reply:?}") };
        assert_eq!(stalls.stalled, 0, "{name}: and blocked no thread: {stalls:?}");
    }
}

fn explorer() -> Explorer {
    Explorer::new(Duration::from_secs(60))
}
