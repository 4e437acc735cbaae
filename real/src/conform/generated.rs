//! Tests that are generated from a seed.

use std::ops::Range;

use ifq_model::revision::Revision;
use ifq_sim::format::Input;
use ifq_sim::generate::drawn::{DrawLimits, race, sequential};

use crate::kernels::supported::{Equipment, unsupported_op, unsupported_setup};

/// The kind of tests to generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrawKind {
    /// A sequence of operations.
    Sequence,
    /// A set-up and two racing threads.
    Race,
}

/// The prefix of the paths of generated tests.
const PATH_PREFIX: &str = "drawn:";

/// Generates the tests of a seed with these numbers, for all revisions that need no device.
#[must_use]
pub fn draw(kind: DrawKind, seed: u64, numbers: Range<u64>) -> Vec<Input> {
    let revisions: Vec<Revision> =
        Revision::ALL.into_iter().filter(|revision| revision.has_nodev()).collect();
    let limits = DrawLimits {
        revisions: &revisions,
        can: &|op| unsupported_op(op, Equipment::default()).is_none(),
        can_set_up: &|setup| unsupported_setup(setup).is_none(),
    };
    numbers
        .map(|number| {
            let test = match kind {
                DrawKind::Sequence => sequential(seed, number, &limits),
                DrawKind::Race => race(seed, number, &limits),
            };
            Input { path: format!("{PATH_PREFIX}{number}"), test }
        })
        .collect()
}

/// The number of a generated test, from its path.
#[must_use]
pub fn number(path: &str) -> Option<u64> {
    path.strip_prefix(PATH_PREFIX)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::supported::unsupported;

    #[test]
    fn a_generated_test_depends_only_on_seed_and_number_and_can_be_run() {
        for kind in [DrawKind::Sequence, DrawKind::Race] {
            let all = draw(kind, 4, 0..40);
            let tail = draw(kind, 4, 30..40);
            for (one, other) in all[30..].iter().zip(&tail) {
                assert_eq!(one.test, other.test);
            }
            for (at, input) in all.iter().enumerate() {
                assert_eq!(
                    unsupported(&input.test, Equipment::default()),
                    None,
                    "{}",
                    input.test.name
                );
                assert_eq!(number(&input.path), Some(at as u64));
            }
        }
    }
}
