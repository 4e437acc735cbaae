//! A sample of the enumerated tests that a live kernel can run.

use ifq_sim::enumerate::sample::sample;
use ifq_sim::enumerate::{Mode, Plan, build};
use ifq_sim::format::Input;

/// The prefix of the paths of enumerated tests.
const PATH_PREFIX: &str = "enumerated:";

/// A sample of this many tests, up to a number of rings and of racing operations, that need no device. The
/// same seed gives the same sample.
#[must_use]
pub fn draw(rings: u8, ops: u8, count: u64, seed: u64) -> Vec<Input> {
    let mut plan = Plan::all(rings, ops);
    plan.families.retain(|family| family.mode == Mode::Nodev);
    let tests = sample(&plan, count, seed).into_iter();
    let input = |(id, code): (ifq_sim::enumerate::TestId, Vec<_>)| {
        let test = build(id.family, id.size, id.number, &code);
        Input { path: format!("{PATH_PREFIX}{}", test.name), test }
    };
    tests.map(input).collect()
}

/// The name of an enumerated test, from its path.
#[must_use]
pub fn name(path: &str) -> Option<&str> {
    path.strip_prefix(PATH_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::supported::{Equipment, unsupported};

    #[test]
    fn a_sample_depends_only_on_its_seed_and_can_be_run() {
        let texts = |seed| {
            let inputs = draw(2, 2, 60, seed);
            inputs.iter().map(|input| input.test.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(texts(1), texts(1));
        assert_ne!(texts(1), texts(2));
        let inputs = draw(2, 2, 60, 1);
        assert_eq!(inputs.len(), 60);
        for input in &inputs {
            assert_eq!(unsupported(&input.test, Equipment::default()), None, "{}", input.test.name);
            assert_eq!(name(&input.path), Some(input.test.name.as_str()));
        }
    }

    #[test]
    fn a_sample_larger_than_the_enumeration_is_the_enumeration() {
        let mut plan = Plan::all(1, 1);
        plan.families.retain(|family| family.mode == Mode::Nodev);
        assert_eq!(draw(1, 1, 1_000_000, 7).len() as u64, plan.count());
    }
}
