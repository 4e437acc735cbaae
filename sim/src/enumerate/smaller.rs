//! The tests that have one racing operation less than another one.

use super::canonical::{permutations, smallest};
use super::code::{Code, Item, Target};
use super::family::Family;

/// The codes that remain when one operation is removed, together with all that use its result. Each code
/// once, and none that is empty.
#[must_use]
pub fn smaller(family: Family, rings: u8, code: &Code) -> Vec<Vec<Item>> {
    let renamings = permutations(family.first_symmetric_ring(rings), rings);
    let mut all: Vec<Vec<Item>> = (0..code.len()).map(|at| without(code, at)).collect();
    all.retain(|code| !code.is_empty());
    for code in &mut all {
        *code = smallest(code, &renamings);
    }
    all.sort();
    all.dedup();
    all
}

/// The code without an operation and without those that use its result.
fn without(code: &Code, removed: usize) -> Vec<Item> {
    let mut gone = vec![false; code.len()];
    gone[removed] = true;
    loop {
        let uses_gone = |(at, item): (usize, &Item)| match item.target {
            Target::Item(used) => !gone[at] && gone[usize::from(used)],
            _ => false,
        };
        match code.iter().enumerate().position(uses_gone) {
            Some(at) => gone[at] = true,
            None => break,
        }
    }
    let mut left: Vec<Item> = Vec::new();
    for (_, item) in code.iter().enumerate().filter(|(at, _)| !gone[*at]) {
        let target = match item.target {
            Target::Item(used) => {
                Target::Item(gone[..usize::from(used)].iter().filter(|gone| !**gone).count() as u8)
            }
            other => other,
        };
        left.push(Item { target, ..*item });
    }
    left
}
