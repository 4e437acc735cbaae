//! Properties of the enumeration.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use ifq_model::test::Test;

use super::canonical::{permutations, renamed};
use super::code::Item;
use super::{Family, Size, build, count, stream};
use crate::format;

/// The sizes that are small enough to build all tests.
const SIZES: [Size; 6] = [
    Size { rings: 1, ops: 0 },
    Size { rings: 1, ops: 2 },
    Size { rings: 2, ops: 1 },
    Size { rings: 2, ops: 2 },
    Size { rings: 3, ops: 2 },
    Size { rings: 4, ops: 1 },
];

fn codes(family: Family, size: Size) -> Vec<Vec<Item>> {
    let mut codes = Vec::new();
    let _ = stream(family, size, &mut |number, code| {
        assert_eq!(number, codes.len() as u64);
        codes.push(code.to_vec());
        ControlFlow::Continue(())
    });
    codes
}

fn all(size: Size) -> impl Iterator<Item = (Family, u64, Vec<Item>)> {
    Family::all()
        .flat_map(move |family| (0..).zip(codes(family, size)).map(move |(n, c)| (family, n, c)))
}

#[test]
fn every_enumerated_test_is_valid_and_parses_to_itself() {
    for size in SIZES {
        for (family, number, code) in all(size) {
            let test = build(family, size, number, &code);
            let text = format::print(&test);
            format::validate(&test).unwrap_or_else(|e| panic!("{e}\n{text}"));
            let read = format::parse("enumerated", &text).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(read, test, "{text}");
        }
    }
}

#[test]
fn the_count_is_the_number_of_streamed_tests() {
    for size in SIZES {
        for family in Family::all() {
            assert_eq!(count(family, size), codes(family, size).len() as u64);
        }
    }
}

#[test]
fn no_two_tests_are_equal_up_to_renaming_of_rings() {
    for size in SIZES.into_iter().chain([Size { rings: 3, ops: 3 }]) {
        for family in Family::all() {
            let first = family.first_symmetric_ring(size.rings);
            let renamings = permutations(first, size.rings);
            let mut seen = BTreeSet::new();
            for code in codes(family, size) {
                for renaming in &renamings {
                    let other = renamed(&code, renaming);
                    assert!(other == code || !seen.contains(&other), "{code:?} {other:?}");
                }
                assert!(seen.insert(code), "twice");
            }
        }
    }
}

#[test]
fn no_two_tests_have_the_same_steps() {
    for size in SIZES {
        let mut seen = BTreeSet::new();
        for (family, number, code) in all(size) {
            let test = Test { name: "same".to_owned(), ..build(family, size, number, &code) };
            let text = format::print(&test);
            assert!(seen.insert(text.clone()), "{text}");
        }
    }
}

#[test]
fn the_operations_of_a_race_are_in_at_least_two_threads() {
    for (family, number, code) in all(Size { rings: 2, ops: 2 }) {
        let test = build(family, Size { rings: 2, ops: 2 }, number, &code);
        assert!(test.threads.len() == 2, "{}", format::print(&test));
    }
}
