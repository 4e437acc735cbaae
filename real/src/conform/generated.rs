//! Tests that are generated from a seed.

use std::ops::Range;

use ifq_model::revision::Revision;
use ifq_model::test::Op;
use ifq_sim::format::Input;
use ifq_sim::generate::drawn::{DrawLimits, race, sequential};

use crate::kernels::series::is_released;
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

/// Generates the tests of a seed with these numbers, for all revisions that need no device. On machines with a
/// NIC each test has a device, and all revisions that share ifqs by import run it.
#[must_use]
pub fn draw(kind: DrawKind, seed: u64, numbers: Range<u64>, equipment: Equipment) -> Vec<Input> {
    let runs = |revision: &Revision| match equipment.queues {
        0 => revision.has_nodev(),
        _ => is_released(*revision) && !revision.has_clone(),
    };
    let revisions: Vec<Revision> = Revision::ALL.into_iter().filter(runs).collect();
    let limits = DrawLimits {
        revisions: &revisions,
        can: &|op| {
            // See `unsupported`: not on a socket over the device, and most are.
            let closes = equipment.queues > 0 && matches!(op, Op::CloseSocket { .. });
            !closes && unsupported_op(op, equipment).is_none()
        },
        can_set_up: &|setup| unsupported_setup(setup).is_none(),
        queues: equipment.queues,
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
        let kinds = [DrawKind::Sequence, DrawKind::Race];
        let with = kinds.map(|kind| (kind, Equipment { queues: 16, ..Equipment::default() }));
        for (kind, equipment) in
            kinds.map(|kind| (kind, Equipment::default())).into_iter().chain(with)
        {
            let all = draw(kind, 4, 0..40, equipment);
            let tail = draw(kind, 4, 30..40, equipment);
            for (one, other) in all[30..].iter().zip(&tail) {
                assert_eq!(one.test, other.test);
            }
            for (at, input) in all.iter().enumerate() {
                assert_eq!(unsupported(&input.test, equipment), None, "{}", input.test.name);
                assert_eq!(input.test.queues > 0, equipment.queues > 0, "{}", input.test.name);
                assert_eq!(number(&input.path), Some(at as u64));
            }
        }
    }
}
