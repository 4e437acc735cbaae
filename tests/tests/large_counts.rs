//! Goal: the limits of Linux that are too large for a file of the library are the model's, too. Method: build a test
//! with so many steps and run it once.

use std::rc::Rc;

use ifq_model::revision::{Revision, Variant};
use ifq_sim::executor::run::run_once;
use ifq_sim::executor::scheduler::Random;
use ifq_sim::format::parse;

/// Runs a test on 7.3 and returns its outcome as text.
fn outcome(text: &str) -> String {
    let test = Rc::new(parse("large.ifq", text).expect("the test is correct"));
    let variant = Variant::of(Revision::Import73);
    let result = run_once(&test, &variant, Box::new(Random::new(1)));
    assert_eq!(result.violation, None);
    result.outcome.expect("the run ends").display(&test)
}

#[test]
fn an_ifq_has_at_most_1024_areas() {
    let areas = |more: usize| {
        let lines = "    A: add-area ifq buffers=1\n".repeat(more);
        outcome(&format!(
            "test areas\nrevision import-7.3\nring A\nsetup\n    ifq = A: register nodev buffers=1 entries=1\n{lines}    \
             x = A: add-area ifq buffers=1\nobserve x\nexpect holds\n"
        ))
    };
    assert_eq!(areas(1022), "x=0;");
    assert_eq!(areas(1023), "x=-EINVAL;");
}

#[test]
fn a_page_pool_releases_the_buffers_that_its_ring_has_no_place_for() {
    // Seven pages for each send: the socket holds 1,050 buffers when it closes.
    let sends = "    s: send 28672\n".repeat(150);
    let text = format!(
        "test pool\nrevision import-7.3\nring A\nsocket s@0\nqueues 1\nsetup\n    ifq = A: register queue=0 buffers=1100 entries=1\n{sends}    \
         x = close-socket s\nfinally\n    A: exit\nobserve x\nexpect holds\n"
    );
    assert_eq!(outcome(&text), "x=0;");
}

#[test]
fn a_packet_of_seventeen_fragments_is_not_joined_with_an_unread_one() {
    // The buffer of the first packet is free when its byte is received and the buffer returned, unless the packet
    // was joined with the second one.
    let outcome = |frags: u32| {
        outcome(&format!(
            "test frags\nrevision import-7.3\nring A\nsocket s@0\nqueues 1\nsetup\n    \
             ifq = A: register queue=0 buffers={} entries=4\n    A: recv ifq s len=1\n    s: send 1\n    \
             x = s: send 17 frags={frags}\n    c = A: wait\n    r = return c to ifq\n    u = s: send 1\n\
             observe x c r u\nexpect holds\n",
            frags + 1
        ))
    };
    assert_eq!(outcome(17), "x=0; c=1; r=0; u=0;");
    assert_eq!(outcome(16), "x=0; c=1; r=0; u=-EAGAIN;");
}
