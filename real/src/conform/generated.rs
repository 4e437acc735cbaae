//! Tests that are drawn instead of read.

use std::ops::Range;

use ifq_model::revision::Revision;
use ifq_sim::format::Input;
use ifq_sim::generate::drawn::{DrawLimits, race, sequential};

use crate::supported::{unsupported_op, unsupported_setup};

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One operation after the other.
    Sequence,
    /// Two threads after a set-up.
    Race,
}

/// How the paths of drawn tests begin.
const PATH: &str = "drawn:";

/// The tests of a seed with these numbers, for all revisions that need no device.
#[must_use]
pub fn draw(kind: Kind, seed: u64, numbers: Range<u64>) -> Vec<Input> {
    let revisions: Vec<Revision> =
        Revision::ALL.into_iter().filter(|revision| revision.has_nodev()).collect();
    let limits = DrawLimits {
        revisions: &revisions,
        can: &|op| unsupported_op(op).is_none(),
        can_set_up: &|setup| unsupported_setup(setup).is_none(),
    };
    numbers
        .map(|number| {
            let test = match kind {
                Kind::Sequence => sequential(seed, number, &limits),
                Kind::Race => race(seed, number, &limits),
            };
            Input { path: format!("{PATH}{number}"), test }
        })
        .collect()
}

/// The number of a drawn test.
#[must_use]
pub fn number(path: &str) -> Option<u64> {
    path.strip_prefix(PATH)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supported::unsupported;

    #[test]
    fn a_drawn_test_is_the_same_whatever_is_drawn_before_it_and_can_be_run() {
        for kind in [Kind::Sequence, Kind::Race] {
            let all = draw(kind, 4, 0..40);
            let tail = draw(kind, 4, 30..40);
            for (one, other) in all[30..].iter().zip(&tail) {
                assert_eq!(one.test, other.test);
            }
            for (at, input) in all.iter().enumerate() {
                assert_eq!(unsupported(&input.test), None, "{}", input.test.name);
                assert_eq!(number(&input.path), Some(at as u64));
            }
        }
    }
}
