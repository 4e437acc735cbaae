//! Renaming of rings that the prologue treats alike.

use super::code::{Code, Item, Target};

/// All permutations of the rings that move only the ring `first` and later ones.
pub(super) fn permutations(first: u8, rings: u8) -> Vec<Vec<u8>> {
    let mut all = vec![(0..first.min(rings)).collect::<Vec<u8>>()];
    for _ in first..rings {
        let longer = |done: Vec<u8>| {
            let free: Vec<u8> = (first..rings).filter(|ring| !done.contains(ring)).collect();
            free.into_iter().map(move |ring| [done.as_slice(), &[ring]].concat())
        };
        all = all.into_iter().flat_map(longer).collect();
    }
    all
}

/// Whether no renaming gives a smaller code.
pub(super) fn is_smallest(code: &Code, renamings: &[Vec<u8>]) -> bool {
    renamings.iter().all(|renaming| renamed(code, renaming).as_slice() >= code)
}

/// The code after a renaming of rings, with its operations in order again.
pub(super) fn renamed(code: &Code, renaming: &[u8]) -> Vec<Item> {
    let ring = |ring: u8| renaming[usize::from(ring)];
    let mut items: Vec<(usize, Item)> = code.iter().copied().enumerate().collect();
    for (_, item) in &mut items {
        if !item.alone || item.action.has_ring() {
            item.ring = ring(item.ring);
        }
        if let Target::Prologue(owner) = &mut item.target {
            *owner = ring(*owner);
        }
    }
    // The operations of the rings first: a stable sort keeps their program order.
    items.sort_by_key(|(_, item)| (item.alone, item.ring * u8::from(!item.alone)));
    let rings = items.iter().filter(|(_, item)| !item.alone).count();
    let position = |items: &[(usize, Item)], old: u8| {
        items.iter().position(|(at, _)| *at == usize::from(old)).unwrap_or_default() as u8
    };
    let order = items.clone();
    for (_, item) in &mut items {
        if let Target::Item(used) = &mut item.target {
            *used = position(&order, *used);
        }
    }
    items[rings..].sort_by_key(|(_, item)| *item);
    items.into_iter().map(|(_, item)| item).collect()
}

/// The smallest code among all renamings.
pub(super) fn smallest(code: &Code, renamings: &[Vec<u8>]) -> Vec<Item> {
    let all = renamings.iter().map(|renaming| renamed(code, renaming));
    all.min().unwrap_or_else(|| code.to_vec())
}
