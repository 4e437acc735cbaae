//! Goal: where `ifq conform` has found the model to differ from a live kernel, it differs no more.
//! Method: each difference as it was made smaller on the kernel, with what the kernel did.

use ifq_model::revision::Variant;
use ifq_sim::format::parse;
use ifq_sim::search::explore::{Limits, outcomes};

/// The only outcome on each revision of the test.
fn is_certain(revisions: &str, steps: &str, outcome: &str) {
    let text = format!("test t\nrevision {revisions}\n{steps}expect holds\n");
    let test = parse("t", &text).unwrap();
    for revision in &test.revisions {
        let found = outcomes(&test, &Variant::of(*revision), &Limits::default());
        let texts: Vec<String> = found.set.iter().map(|outcome| outcome.display(&test)).collect();
        assert_eq!((texts, found.exhaustive), (vec![outcome.to_owned()], true), "{revision}");
    }
}

#[test]
fn an_address_of_zero_is_inside_no_page() {
    // 7.2.7, from sequence-1-5649.
    let steps = "ring A\nsetup\n \
                 i = A: register nodev buffers=1 entries=1 with area-null area-unaligned\n";
    is_certain("import-7.1 import-7.2 import-7.3", steps, "i=-EFAULT;");
    let steps = "ring A\nsetup\n i = A: register nodev buffers=1 entries=1\n \
                 a = A: add-area i buffers=1 with area-null area-unaligned\n";
    is_certain("import-7.3", steps, "i=0; a=-EFAULT;");
}
