//! Goal: each file of the library gets the verdicts that it says, on each revision.
//!
//! Method: the explorer, bounded to few states so that it is quick; `ifq check` searches to the end.
//! It is also what mutants of the model are run against.

use std::path::PathBuf;

use ifq_model::revision::{Entry, Revision};
use ifq_model::scenario::Test;
use ifq_sim::explore::{Limits, explore};
use ifq_sim::file;

/// States that one search may have here, unless `IFQ_LIBRARY_STATES` says otherwise.
const MAX_STATES: u64 = 1_500;

fn max_states() -> u64 {
    std::env::var("IFQ_LIBRARY_STATES").map_or(MAX_STATES, |n| n.parse().unwrap())
}

fn library() -> Vec<Test> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| file::load(path).unwrap()).collect()
}

#[test]
fn every_file_gets_the_verdicts_that_it_says() {
    let limits = Limits { max_states: max_states(), ..Limits::default() };
    let mut wrong = Vec::new();
    let mut found = 0;
    for test in library() {
        for variant in test.variants() {
            let seen = explore(&test, &variant, &limits, &mut |_| {});
            let broken = seen.counterexample.map(|c| c.violation);
            let expected = test.expected(&variant);
            found += usize::from(broken.is_some());
            // A violation that is expected may lie beyond the bound.
            let beyond = expected.is_some() && broken.is_none() && !seen.exhaustive;
            if broken.as_ref().map(|v| v.invariant) != expected && !beyond {
                wrong.push(format!("{} on {variant}: {broken:?}, not {expected:?}", test.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(found > 30, "only {found} of the expected violations lie within the bound");
}

#[test]
fn every_file_is_named_after_its_test_and_says_what_it_is_about() {
    for test in library() {
        assert!(test.about.ends_with('.'), "{}: {}", test.name, test.about);
        assert!(!test.revisions.is_empty());
    }
}

#[test]
fn every_revision_and_every_entry_of_the_catalogue_has_a_file() {
    let library = library();
    for revision in Revision::ALL {
        let files = library.iter().filter(|test| test.revisions.contains(&revision)).count();
        assert!(files >= 20, "{revision} has {files} files");
    }
    for entry in Entry::all() {
        assert!(library.iter().any(|test| test.shows.contains(&entry)), "no file shows {entry}");
    }
}
