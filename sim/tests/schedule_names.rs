//! Goal: the names that a schedule can use are those of the model.
//!
//! Method: compare the lists with the sources of the model, and with the places of random runs of the library.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use ifq_model::names::{FIELDS, FUNCTIONS, KINDS};
use ifq_model::test::schedule::{AccessKind, Place};
use ifq_sim::executor::run::run_once;
use ifq_sim::executor::schedule::switches;
use ifq_sim::executor::scheduler::Random;
use ifq_sim::format;

/// The text of all sources of the model, except for the lists themselves.
fn sources(folder: &Path, text: &mut String) {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            sources(&path, text);
        } else if path.file_name().is_some_and(|name| name != "names.rs") {
            *text += &std::fs::read_to_string(&path).unwrap();
        }
    }
}

fn model() -> String {
    let mut text = String::new();
    sources(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../model/src"), &mut text);
    text
}

#[test]
fn the_functions_are_those_that_the_sources_enter() {
    let text = model();
    let entered = text.split("P::func(").skip(1).map(|rest| {
        rest.trim_start().trim_start_matches('"').split('"').next().unwrap_or_default()
    });
    let entered: BTreeSet<&str> = entered.filter(|name| !name.is_empty()).collect();
    let listed: BTreeSet<&str> = FUNCTIONS.iter().copied().collect();
    assert_eq!(listed, entered);
    assert!(FUNCTIONS.is_sorted() && FIELDS.is_sorted());
}

#[test]
fn each_field_is_in_the_sources() {
    let text = model();
    for name in FIELDS.iter().chain(KINDS) {
        assert!(text.contains(&format!("\"{name}\"")), "{name}");
    }
}

#[test]
fn each_name_of_a_random_run_is_listed() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/library");
    let mut places = 0;
    for path in format::test_files(folder).unwrap() {
        let test = format::load(path).unwrap();
        for variant in test.variants() {
            let program = Rc::new(test.clone());
            let run = run_once(&program, &variant, Box::new(Random::new(7)));
            for switch in switches(&test, &variant, &run.decisions).into_iter().flatten() {
                let Place::At(place) = switch.until else { continue };
                let function = place.function.as_deref();
                assert!(function.is_none_or(|f| FUNCTIONS.contains(&f)), "{function:?}");
                if let Some(access) = place.access {
                    let name = access.object.name.as_str();
                    let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
                    let known = match access.kind {
                        AccessKind::Alloc | AccessKind::Free => KINDS.contains(&kind),
                        _ => FIELDS.contains(&name),
                    };
                    assert!(known, "{name} in {function:?}");
                    let owner = access.object.owner;
                    assert!(owner.is_none_or(|owner| KINDS.contains(&owner.kind.as_str())));
                }
                places += 1;
            }
        }
    }
    assert!(places > 1_000, "only {places} places");
}
