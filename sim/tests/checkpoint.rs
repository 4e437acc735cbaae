//! Goal: an interrupted search resumes from its checkpoint and finds what an uninterrupted one finds.
//!
//! Method: searches that a limit stops every few hundred states, with one and two workers, and checkpoints
//! that are damaged or belong to another search.

use std::path::PathBuf;
use std::time::Duration;

use ifq_model::revision::{Revision, Variant};
use ifq_model::test::Test;
use ifq_sim::format;
use ifq_sim::search::checkpoint::{Checkpoint, CheckpointError};
use ifq_sim::search::explore::{Exploration, Limits, explore_with};

fn library(name: &str) -> Test {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
    format::load(folder.join(name).with_extension("ifq")).unwrap()
}

fn checkpoint(name: &str) -> Checkpoint {
    let path = std::env::temp_dir().join(format!("ifq-{}-{name}.ckpt", std::process::id()));
    let _ = std::fs::remove_file(&path);
    Checkpoint { path, every: Duration::ZERO, remove: true }
}

fn search(
    test: &Test,
    limits: &Limits,
    checkpoint: Option<&Checkpoint>,
) -> Result<Exploration, CheckpointError> {
    let variant = Variant::of(Revision::ProxyFixed);
    explore_with(test, &variant, limits, checkpoint, &mut |_| {})
}

/// Limits that make every search a parallel one.
fn parallel(workers: usize) -> Limits {
    Limits { sequential_states: 10, workers, ..Limits::default() }
}

#[test]
fn an_interrupted_search_counts_and_finds_what_an_uninterrupted_one_does() {
    let test = library("proxy/copy-through-a-proxy");
    for workers in [1, 2] {
        let whole = search(&test, &parallel(workers), None).unwrap();
        let checkpoint = checkpoint(&format!("interrupted-{workers}"));
        let (mut found, mut parts, mut max_states) = (None, 0, 0);
        while found.is_none() {
            max_states += 500;
            let limits = Limits { max_states, ..parallel(workers) };
            let part = search(&test, &limits, Some(&checkpoint)).unwrap();
            found = part.exhaustive.then_some(part);
            parts += 1;
            assert!(parts < 100);
        }
        let found = found.unwrap();
        assert!(parts > 2, "{parts} parts");
        assert_eq!((found.states, found.transitions), (whole.states, whole.transitions));
        assert_eq!(found.outcomes, whole.outcomes);
        assert!(!checkpoint.path.exists(), "a finished search leaves no checkpoint");
    }
}

#[test]
fn a_checkpoint_of_another_search_is_refused_and_kept() {
    let (test, checkpoint) = (library("proxy/copy-through-a-proxy"), checkpoint("other"));
    let limits = Limits { max_states: 500, ..parallel(1) };
    assert!(!search(&test, &limits, Some(&checkpoint)).unwrap().exhaustive);
    let other = library("proxy/three-rings-clone-one-ifq");
    let error = search(&other, &limits, Some(&checkpoint)).unwrap_err().to_string();
    assert!(error.contains("the test differs"), "{error}");
    let plain = Limits { persistent_sets: false, ..limits };
    let error = search(&test, &plain, Some(&checkpoint)).unwrap_err().to_string();
    assert!(error.contains("a search option differs"), "{error}");
    assert!(search(&test, &parallel(1), Some(&checkpoint)).unwrap().exhaustive);
}

#[test]
fn a_damaged_checkpoint_is_reported_as_damaged() {
    let (test, checkpoint) = (library("proxy/copy-through-a-proxy"), checkpoint("damaged"));
    let limits = Limits { max_states: 500, ..parallel(1) };
    search(&test, &limits, Some(&checkpoint)).unwrap();
    let whole = std::fs::read(&checkpoint.path).unwrap();
    std::fs::write(&checkpoint.path, &whole[..whole.len() - 3]).unwrap();
    let error = search(&test, &limits, Some(&checkpoint)).unwrap_err().to_string();
    assert!(error.contains("truncated"), "{error}");
    std::fs::write(&checkpoint.path, "no checkpoint\n").unwrap();
    assert!(matches!(
        search(&test, &limits, Some(&checkpoint)),
        Err(CheckpointError::Broken { .. })
    ));
    std::fs::remove_file(&checkpoint.path).unwrap();
}
