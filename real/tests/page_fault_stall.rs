//! Goal: on a real kernel a thread that is blocked by a page fault of another call is detected, and
//! differs unless the model allows it. Method: run the tests of the library about it on Debian's 7.3 in
//! QEMU, where `zcrx_ctrl_add_area` holds `pp_lock` over `copy_to_user`. Without that kernel the test
//! prints the reason and checks nothing.
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
const HOLDS: &str = "faults/a-page-fault-with-nodev-does-not-block-another-ring";
const TIMES: u32 = 12;

#[test]
#[ignore = "not run by default: boots an emulated kernel; .ci/run runs it, \
            cargo test -p ifq-real -- --ignored in_qemu"]
fn in_qemu_a_page_fault_of_one_ring_blocks_another_on_7_3_only_where_the_model_allows_it() {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
    let tests: Vec<_> = [STALLS, HOLDS]
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
    let fixed = compared(0, &[Defect::AddAreaLock]);
    assert_eq!(fixed.verdict, Verdict::Differs);
    let (blocked, fault) = fixed.reason.split_once("the page fault was in").unwrap();
    assert!(blocked.contains("zcrx_ctrl_add_area"), "{blocked}");
    assert!(fault.contains("handle_userfault") && fault.contains("zcrx_ctrl_add_area"), "{fault}");
    let without_stall = compared(1, &[]);
    assert_eq!(without_stall.verdict, Verdict::Agrees, "{without_stall:?}");
    assert!(without_stall.stalls.late > 0, "a page fault was delayed: {without_stall:?}");
    let Report::Completed { stalls, .. } = &reply.reports[1] else { panic!("{reply:?}") };
    assert_eq!(stalls.stalled, 0, "and blocked no thread: {stalls:?}");
}

fn explorer() -> Explorer {
    Explorer::new(Duration::from_secs(60))
}
