//! Goal: each test of the library has its expected verdict and its recorded outcomes on each revision.
//!
//! Method: the explorer, without limits. The mutation tests of the model run this test, too. With `IFQ_RECORD`
//! set, it writes the outcomes to `tests/golden/outcomes.txt`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use ifq_model::revision::{Entry, Revision};
use ifq_model::test::Test;
use ifq_sim::format;
use ifq_sim::search::explore::{Limits, explore};

fn library() -> Vec<Test> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
    format::test_files(folder).unwrap().iter().map(|path| format::load(path).unwrap()).collect()
}

#[test]
fn every_file_has_its_expected_verdicts_and_its_recorded_outcomes() {
    let (mut wrong, mut outcomes) = (String::new(), String::new());
    for test in library() {
        for variant in test.variants() {
            let seen = explore(&test, &variant, &Limits::default(), &mut |_| {});
            let broken = seen.counterexample.map(|c| c.violation);
            let expected = test.expected(&variant);
            if broken.as_ref().map(|v| v.invariant) != expected {
                let name = &test.name;
                let _ = writeln!(wrong, "{name} on {variant}: {broken:?}, not {expected:?}");
            }
            // A search ends with a violation: the outcomes are complete only without one.
            if expected.is_none() {
                let _ = writeln!(outcomes, "{} on {variant}", test.name);
                for outcome in seen.outcomes {
                    let _ = writeln!(outcomes, "    {}", outcome.display(&test));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/outcomes.txt");
    if std::env::var_os("IFQ_RECORD").is_some() {
        std::fs::write(&path, &outcomes).unwrap();
    }
    let recorded = std::fs::read_to_string(path).unwrap();
    for (line, (now, before)) in outcomes.lines().zip(recorded.lines()).enumerate() {
        assert_eq!(now, before, "line {} of the recorded outcomes", line + 1);
    }
    assert_eq!(outcomes.lines().count(), recorded.lines().count());
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
