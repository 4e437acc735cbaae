//! Goal: each test of the library has its expected verdict, its conditions hold, and its outcomes are the
//! recorded ones on each revision.
//!
//! Method: the explorer, without limits, and the comparison of `ifq check`. The mutation tests of the model
//! run this test, too. `ifq outcomes --record` writes the recorded outcomes.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use ifq_model::revision::{Entry, Revision};
use ifq_model::test::Test;
use ifq_sim::commands::record_outcomes::stale;
use ifq_sim::format;
use ifq_sim::report::recorded_outcomes::RecordedOutcomes;
use ifq_sim::report::results::Results;
use ifq_sim::report::verdict::row;
use ifq_sim::search::explore::{Limits, explore};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/library")
}

fn files() -> Vec<(PathBuf, Test)> {
    let paths = format::test_files(folder()).unwrap();
    paths.into_iter().map(|path| (path.clone(), format::load(path).unwrap())).collect()
}

fn library() -> Vec<Test> {
    files().into_iter().map(|(_, test)| test).collect()
}

/// Checks the variants of a test; returns what is not as expected. A complete file with recorded outcomes
/// has exactly the text that would be recorded.
fn differences(path: &Path, test: &Test) -> String {
    let mut wrong = String::new();
    let recorded = RecordedOutcomes::load(path).unwrap();
    let mut now = RecordedOutcomes::new(path);
    for variant in test.variants() {
        let seen = explore(test, &variant, &Limits::default(), &mut |_| {});
        let results =
            Results::of((test, &variant), &seen.outcomes, seen.exhaustive, recorded.as_ref());
        let row = row(test, &variant, &seen).with_results(results);
        if !row.as_expected {
            let _ = writeln!(
                wrong,
                "{} on {variant}: {}, expected: {}\n{:#?}",
                test.name,
                row.says(),
                row.expected,
                row.results
            );
        }
        if test.expected(&variant).is_none() {
            now.add(test, &variant, &seen.outcomes);
        }
    }
    let recorded = recorded.map_or_else(String::new, |recorded| recorded.print());
    if wrong.is_empty() && recorded != now.print() {
        let _ = writeln!(wrong, "{} is not as `ifq outcomes --record` writes it", path.display());
    }
    wrong
}

#[test]
fn every_file_has_its_expected_verdicts_its_conditions_hold_and_its_outcomes_are_the_recorded_ones()
{
    let wrong: String = files().iter().map(|(path, test)| differences(path, test)).collect();
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_file_with_recorded_outcomes_has_its_test() {
    assert_eq!(stale(&folder()).unwrap(), Vec::<PathBuf>::new());
}

#[test]
fn every_file_has_a_description_and_a_revision() {
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
