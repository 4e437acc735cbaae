//! Goal: divergences from live kernels that `ifq conform` has found stay fixed.
//!
//! Method: each divergence, as shrunk on the kernel, with the outcome of the kernel.

use ifq_model::revision::Variant;
use ifq_sim::format::parse;
use ifq_sim::search::explore::{Limits, outcomes};

/// Checks that `outcome` is the only outcome on each revision.
fn has_only_outcome(revisions: &str, steps: &str, outcome: &str) {
    let text = format!("test t\nrevision {revisions}\n{steps}expect holds\n");
    let test = parse("t", &text).unwrap();
    for revision in &test.revisions {
        let found = outcomes(&test, &Variant::of(*revision), &Limits::default());
        let texts: Vec<String> = found.set.iter().map(|outcome| outcome.display(&test)).collect();
        assert_eq!((texts, found.exhaustive), (vec![outcome.to_owned()], true), "{revision}");
    }
}

#[test]
fn an_area_at_address_zero_fails_with_efault_before_its_alignment_is_checked() {
    // Kernel 7.2.7, from the generated test `sequence-1-5649`.
    let steps = "ring A\nsetup\n \
                 i = A: register nodev buffers=1 entries=1 with area-null area-unaligned\n";
    has_only_outcome("import-7.1 import-7.2 import-7.3", steps, "i=-EFAULT;");
    let steps = "ring A\nsetup\n i = A: register nodev buffers=1 entries=1\n \
                 a = A: add-area i buffers=1 with area-null area-unaligned\n";
    has_only_outcome("import-7.3", steps, "i=0; a=-EFAULT;");
}
