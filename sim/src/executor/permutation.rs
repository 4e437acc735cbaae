//! Permutations of rings, connections and threads, and their action on the names and values of a run.
//!
//! A state and its image under a permutation that fixes the test have the same behaviour up to the
//! permutation (Ip and Dill, "Better Verification Through Symmetry", Formal Methods in System Design 9,
//! 1996). Groups are small, so that the least fingerprint of all images serves as canonical form.

use std::collections::BTreeSet;

use ifq_model::outcome::Outcome;
use ifq_model::platform::label::ValueSort;
use ifq_model::test::VarId;
use ifq_model::work::FIRST_KERNEL_SLOT;

use crate::executor::naming::{CreationSite, map_pointer, map_word_number};

/// What the values of a word refer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WordSort {
    /// Nothing.
    Plain,
    /// An object: its pointer, from this bit on.
    Pointer(u32),
    /// A thread that holds a lock: its slot plus one.
    LockHolder,
    /// A step of the test: its position plus this offset.
    Step(u64),
    /// A connection: its number plus one.
    Socket,
}

impl WordSort {
    /// The sort that a label declares. Locks are not declared by labels.
    pub(crate) fn of(sort: ValueSort) -> Self {
        match sort {
            ValueSort::Plain => WordSort::Plain,
            ValueSort::Pointer { shift } => WordSort::Pointer(shift),
            ValueSort::Step { offset } => WordSort::Step(offset),
            ValueSort::Socket => WordSort::Socket,
        }
    }
}

/// A permutation of the objects that a test names. Each list maps old to new numbers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Permutation {
    pub(crate) rings: Vec<u32>,
    pub(crate) sockets: Vec<u32>,
    pub(crate) threads: Vec<u32>,
    pub(crate) vars: Vec<u32>,
    /// Positions in [`ifq_model::test::Test::steps`].
    pub(crate) steps: Vec<u32>,
    /// Operations of the first thread, up to the one in which the others run.
    pub(crate) ops: Vec<u32>,
}

fn apply(numbers: &[u32], number: u64) -> u64 {
    numbers.get(number as usize).map_or(number, |new| u64::from(*new))
}

fn compose_lists(first: &[u32], second: &[u32]) -> Vec<u32> {
    first.iter().map(|number| second[*number as usize]).collect()
}

impl Permutation {
    /// This permutation, then `next`.
    pub(crate) fn compose(&self, next: &Permutation) -> Permutation {
        Permutation {
            rings: compose_lists(&self.rings, &next.rings),
            sockets: compose_lists(&self.sockets, &next.sockets),
            threads: compose_lists(&self.threads, &next.threads),
            vars: compose_lists(&self.vars, &next.vars),
            steps: compose_lists(&self.steps, &next.steps),
            ops: compose_lists(&self.ops, &next.ops),
        }
    }

    /// The image of a thread's slot; see [`ifq_model::work::Work::slot`].
    pub(crate) fn slot(&self, slot: u32) -> u32 {
        let ring = |number: u32| apply(&self.rings, u64::from(number)) as u32;
        match slot {
            0 => 0,
            _ if slot < FIRST_KERNEL_SLOT => 1 + apply(&self.threads, u64::from(slot - 1)) as u32,
            _ if slot < 2 * FIRST_KERNEL_SLOT => {
                let worker = slot - FIRST_KERNEL_SLOT;
                FIRST_KERNEL_SLOT + 2 * ring(worker / 2) + worker % 2
            }
            // The number of an ifq: its ring's number, plus 32 for each ifq that the ring registered before.
            _ => {
                let ifq = slot - 2 * FIRST_KERNEL_SLOT;
                2 * FIRST_KERNEL_SLOT + ring(ifq % 32) + ifq / 32 * 32
            }
        }
    }

    fn creation_site(&self, site: CreationSite) -> CreationSite {
        let op = if site.slot == 0 { apply(&self.ops, u64::from(site.op)) as u32 } else { site.op };
        CreationSite { slot: self.slot(site.slot), op }
    }

    /// The image of a word's number.
    pub(crate) fn word_number(&self, number: u64) -> u64 {
        map_word_number(number, |site| self.creation_site(site))
    }

    /// The image of a pointer; zero is no pointer.
    pub(crate) fn pointer(&self, pointer: u64) -> u64 {
        if pointer == 0 { 0 } else { map_pointer(pointer, |site| self.creation_site(site)) }
    }

    /// The image of a value of a word.
    pub(crate) fn value(&self, sort: WordSort, value: u64) -> u64 {
        if value == 0 {
            return 0;
        }
        match sort {
            WordSort::Plain => value,
            // The top bit marks an entry of a work list that is not a pointer.
            WordSort::Pointer(shift) if value >> shift != 0 && value >> 63 == 0 => {
                self.pointer(value >> shift) << shift | value & ((1 << shift) - 1)
            }
            WordSort::Pointer(_) => value,
            WordSort::LockHolder => 1 + u64::from(self.slot(value as u32 - 1)),
            WordSort::Step(offset) => offset + apply(&self.steps, value - offset),
            WordSort::Socket => 1 + apply(&self.sockets, value - 1),
        }
    }
}

/// A group of permutations under which a program is symmetric.
#[derive(Clone, Debug)]
pub(crate) struct PermutationGroup {
    /// The first one is the identity.
    permutations: Vec<Permutation>,
    /// Composition table: the first, then the second.
    compose: Vec<Vec<usize>>,
    /// The operation of the first thread in which the others run. No permutation changes it.
    pub(crate) threads_op: u32,
}

impl PermutationGroup {
    /// The group that some generators generate, with at most `max` elements: generators that make it larger
    /// are left out.
    pub(crate) fn of(
        identity: Permutation,
        generators: &[Permutation],
        threads_op: u32,
        max: usize,
    ) -> Self {
        let mut permutations = vec![identity];
        let mut used: Vec<&Permutation> = Vec::new();
        for generator in generators {
            used.push(generator);
            match closure(&permutations[0], &used, max) {
                Some(more) => permutations = more,
                None => {
                    used.pop();
                }
            }
        }
        PermutationGroup::from_closed(permutations, threads_op)
    }

    /// The subgroup of the non-trivial permutations that `keep` accepts, by index.
    pub(crate) fn subgroup(&self, keep: impl Fn(usize) -> bool) -> Self {
        let kept = |(index, permutation): (usize, &Permutation)| {
            (index == 0 || keep(index - 1)).then(|| permutation.clone())
        };
        let kept = self.permutations.iter().enumerate().filter_map(kept);
        PermutationGroup::from_closed(kept.collect(), self.threads_op)
    }

    fn from_closed(permutations: Vec<Permutation>, threads_op: u32) -> Self {
        let index =
            |permutation: &Permutation| permutations.iter().position(|known| known == permutation);
        let compose = permutations.iter().map(|first| {
            permutations.iter().filter_map(|second| index(&first.compose(second))).collect()
        });
        let compose = compose.collect();
        PermutationGroup { permutations, compose, threads_op }
    }

    /// The trivial group.
    pub(crate) fn trivial() -> Self {
        let identity = Permutation {
            rings: Vec::new(),
            sockets: Vec::new(),
            threads: Vec::new(),
            vars: Vec::new(),
            steps: Vec::new(),
            ops: Vec::new(),
        };
        PermutationGroup::of(identity, &[], 0, 1)
    }

    /// Number of permutations besides the identity.
    pub(crate) fn nontrivial_count(&self) -> usize {
        self.permutations.len() - 1
    }

    /// A permutation other than the identity, by index.
    pub(crate) fn nontrivial(&self, index: usize) -> &Permutation {
        &self.permutations[index + 1]
    }

    /// The union of the images of a set of outcomes. `observe` are the results that make an outcome.
    pub(crate) fn outcome_images(
        &self,
        outcomes: BTreeSet<Outcome>,
        observe: &[VarId],
    ) -> BTreeSet<Outcome> {
        let mut all = BTreeSet::new();
        for permutation in &self.permutations[1..] {
            let from = |var: &VarId| {
                let maps_to_var =
                    |old: &VarId| apply(&permutation.vars, u64::from(*old)) == u64::from(*var);
                observe.iter().position(maps_to_var)
            };
            let from: Vec<usize> = observe.iter().filter_map(from).collect();
            let image = |outcome: &Outcome| {
                Outcome(from.iter().filter_map(|i| outcome.0.get(*i).cloned()).collect())
            };
            all.extend(outcomes.iter().map(image));
        }
        all.extend(outcomes);
        all
    }

    /// From the images of an item under all permutations: the images of its image `index` under the
    /// non-trivial ones.
    pub(crate) fn images_of_image<'a, T: Copy>(
        &'a self,
        images: &'a [T],
        index: usize,
    ) -> impl Iterator<Item = T> + 'a {
        self.compose[index][1..].iter().map(|product| images[*product])
    }
}

/// The elements that some generators generate, the identity first; `None` if there are more than `max`.
fn closure(
    identity: &Permutation,
    generators: &[&Permutation],
    max: usize,
) -> Option<Vec<Permutation>> {
    let mut all = vec![identity.clone()];
    let mut next = 0;
    while next < all.len() {
        for generator in generators {
            let more = all[next].compose(generator);
            if !all.contains(&more) {
                all.push(more);
            }
        }
        if all.len() > max {
            return None;
        }
        next += 1;
    }
    Some(all)
}
