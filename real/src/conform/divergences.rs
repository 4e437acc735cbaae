//! What the model simplifies or leaves out in the kernel functions that a test reaches.
//!
//! A difference between a kernel and the model can come from there. The functions are those that random runs
//! of the test enter in the model, and all that they can call in `io_uring/zcrx.c`. What is simplified in
//! them is read from `docs/FIDELITY.md`, which a test keeps equal to the documentation of the model. A
//! function that only rare schedules enter may be missing.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use ifq_model::revision::Variant;
use ifq_model::test::Test;
use ifq_sim::executor::run::functions_reached;

const FIDELITY: &str = include_str!("../../../docs/FIDELITY.md");
/// The functions of `io_uring/zcrx.c`, each with what it calls.
const CALLS: &str = include_str!("../../../tests/kernel/7.3.4");
/// Random runs of the model.
const RUNS: u64 = 32;

/// By function of Linux: what is simplified or left out.
fn simplified() -> BTreeMap<&'static str, &'static str> {
    let mut found = BTreeMap::new();
    for line in FIDELITY.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let (Some(name), Some(how)) = (cells.first(), cells.last()) else { continue };
        let name = name.trim_matches('`').split('(').next().unwrap_or(name);
        let from = [how.find("Simplified: "), how.find("Left out: ")].into_iter().flatten().min();
        let text = from.map_or("", |from| &how[from..]);
        if !text.is_empty()
            && !["No outcome depends on it", "Outcomes: none"].iter().any(|no| text.contains(no))
        {
            found.entry(name).or_insert(text);
        }
    }
    found
}

/// One sentence for each simplification in these functions and in what they call, with the functions.
fn of_functions(reached: &BTreeSet<&str>) -> Vec<String> {
    let simplified = simplified();
    let calls: BTreeMap<&str, &str> =
        CALLS.lines().filter_map(|line| line.split_once(':')).collect();
    let (mut names, mut left) = (BTreeSet::new(), Vec::from_iter(reached.iter().copied()));
    while let Some(name) = left.pop() {
        if names.insert(name) {
            left.extend(calls.get(name).into_iter().flat_map(|called| called.split_whitespace()));
        }
    }
    let mut by_text: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in names {
        if let Some(text) = simplified.get(name) {
            by_text.entry(text).or_default().push(name);
        }
    }
    by_text.into_iter().map(|(text, names)| format!("{}: {text}", names.join(", "))).collect()
}

/// What the model of a variant simplifies in the functions that a test reaches.
#[must_use]
pub fn of(test: &Test, variant: &Variant) -> Vec<String> {
    let test = Rc::new(test.clone());
    // A panic of the model must not hide the difference.
    let reached = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        functions_reached(&test, variant, RUNS)
    }));
    of_functions(&reached.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ifq_model::revision::Revision;

    fn of_text(steps: &str) -> String {
        let text = format!(
            "test t\nrevision import-7.3\nring A\nsocket s\nexpect holds\nsetup\n \
             ifq = A: register nodev buffers=1 entries=1\n{steps}"
        );
        let test = ifq_sim::format::parse("t.ifq", &text).unwrap();
        of(&test, &Variant::of(Revision::Import73)).join("\n")
    }

    #[test]
    fn the_simplifications_of_the_functions_that_a_test_reaches_are_named_and_no_others() {
        let registered = of_text("");
        assert!(registered.contains("io_register_zcrx"), "{registered}");
        assert!(
            registered.contains("io_account_mem"),
            "what a reached function calls: {registered}"
        );
        assert!(!registered.contains("io_zcrx_recv_skb"), "{registered}");
        let received = of_text(" A: recv ifq s\n s: send 1\n c = A: wait\n");
        assert!(received.contains("io_zcrx_recv_skb: Left out: frag lists"), "{received}");
        assert!(!received.contains("No outcome depends on it"), "{received}");
    }
}
