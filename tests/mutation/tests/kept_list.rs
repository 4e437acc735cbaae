//! Goal: the kept list of mutants belongs to the sources as they are, each survivor has a reason, and the
//! documentation states the figures of the list.
//!
//! Method: find all mutants of the sources again, without building them, and compare names and places. This does
//! not run a mutant: `.ci/mutants` does. After a change of the kernel code `ifq-mutation places` writes the places
//! again and names the mutants that are gone, and `.ci/mutants new` runs those that the draw has instead.

use std::collections::{BTreeMap, BTreeSet};

use ifq_mutation::list::{self, Entry, List, Reason, Verdict};
use ifq_mutation::report::{self, Figures};
use ifq_mutation::schema::{self, Schema};

fn list() -> List {
    List::load(&schema::root()).expect("the list can be read")
}

fn reasons() -> BTreeMap<String, Reason> {
    let text = std::fs::read_to_string(schema::root().join(list::REASONS)).expect("the reasons");
    list::reasons(&text).expect("the reasons can be read")
}

/// A change of the kernel code may remove a few mutants. Places are not compared: lines move with every change.
#[test]
fn nine_of_ten_listed_mutants_are_in_the_sources() {
    let schema = Schema::of(&schema::root()).expect("the sources can be read");
    let ids: BTreeSet<_> = schema.mutants.iter().map(|mutant| &mutant.id).collect();
    assert_eq!(ids.len(), schema.mutants.len(), "two mutants have one name");
    let entries = list().entries;
    let stale: Vec<String> = entries
        .iter()
        .filter(|entry| !ids.contains(&entry.id))
        .map(|entry| format!("{} {} {}", entry.id, entry.place, entry.change))
        .collect();
    let stale_text = stale.join("\n");
    assert!(stale.len() * 10 <= entries.len(), "run `.ci/mutants new`; stale:\n{stale_text}");
}

#[test]
fn the_list_has_at_least_300_mutants_and_no_mutant_twice() {
    let list = list();
    let ids: BTreeSet<_> = list.entries.iter().map(|entry| &entry.id).collect();
    assert_eq!(ids.len(), list.entries.len());
    assert!(ids.len() >= 300, "{} mutants", ids.len());
}

#[test]
fn exactly_the_survivors_have_a_reason() {
    let survivors = list().entries.into_iter().filter(|entry| entry.verdict.survived());
    let survivors: BTreeSet<String> = survivors.map(|entry| entry.id).collect();
    let explained: BTreeSet<String> = reasons().into_keys().collect();
    assert_eq!(survivors, explained);
}

#[test]
fn at_least_97_percent_of_the_mutants_that_are_not_equivalent_are_noticed() {
    let figures = Figures::of(&list(), &reasons());
    assert!(figures.per_mille() >= 970, "{figures:?}");
}

#[test]
fn the_documentation_has_the_report_of_the_list() {
    let document = std::fs::read_to_string(schema::root().join(report::DOCUMENT)).expect("docs");
    let expected = report::insert(&document, &report::report(&list(), &reasons()));
    assert!(expected.as_ref() == Some(&document), "run `ifq-mutation report`");
}

#[test]
fn a_list_is_read_as_it_was_printed() {
    let entry = |id: &str, verdict| Entry {
        id: id.to_owned(),
        verdict,
        place: "a.rs:1:2".to_owned(),
        function: "f".to_owned(),
        change: "`==` becomes `!=`".to_owned(),
        original: "a == b".to_owned(),
    };
    let list = List {
        seed: 7,
        entries: vec![
            entry("1", Verdict::Killed("library: a".to_owned())),
            entry("2", Verdict::NotEnded("catalogue".to_owned())),
            entry("3", Verdict::Survived),
            entry("4", Verdict::NotReached),
        ],
    };
    assert_eq!(List::parse(&list.print()), Ok(list.clone()));
    let error = List::parse("# seed 1\nno mutant\n").expect_err("the second line is no mutant");
    assert!(error.contains("line 2"), "{error}");
}

#[test]
fn figures_count_equivalent_survivors_apart() {
    let line = |id: &str, verdict: &str| format!("{id}\t{verdict}\ta.rs:1:2\tf\tc\to\n");
    let text = ["1 killed by catalogue", "2 survived", "3 not reached", "4 not ended: loom_refill"]
        .map(|entry| entry.split_once(' ').expect("a name and a verdict"))
        .map(|(id, verdict)| line(id, verdict))
        .concat();
    let list = List::parse(&text).expect("a list");
    let reasons = list::reasons("equivalent: it is\n    2 comment\nopen: it is not\n    3\n");
    let figures = Figures::of(&list, &reasons.expect("the reasons"));
    assert_eq!(figures, Figures { noticed: 2, equivalent: 1, open: 1 });
    assert_eq!(figures.per_mille(), 666);
}

#[test]
fn reasons_name_a_wrong_line() {
    for wrong in ["    1\n", "equivalent: a\n1\n", "equivalent: a\n    1\nopen: b\n    1\n"] {
        let error = list::reasons(wrong).expect_err(wrong);
        assert!(error.starts_with("line "), "{error}");
    }
}
