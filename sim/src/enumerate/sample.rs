//! A random sample of a plan.

use std::ops::ControlFlow;

use super::code::Item;
use super::plan::{Plan, TestId};
use crate::executor::rng::Rng;

/// `size` tests of a plan, or all if it has fewer, in the order of the plan. One seed gives one sample.
///
/// Selection sampling (Knuth, "Seminumerical Algorithms", 3.4.2, algorithm S): each test is taken with the
/// probability that makes every sample equally likely.
#[must_use]
pub fn sample(plan: &Plan, size: u64, seed: u64) -> Vec<(TestId, Vec<Item>)> {
    let (mut left, mut wanted) = (plan.count(), size);
    let (mut rng, mut taken) = (Rng::new(seed), Vec::new());
    let _ = plan.for_each(&mut |id, code| {
        if wanted == 0 {
            return ControlFlow::Break(());
        }
        if rng.below(left) < wanted {
            wanted -= 1;
            taken.push((id, code.to_vec()));
        }
        left -= 1;
        ControlFlow::Continue(())
    });
    taken
}
