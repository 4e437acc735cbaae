//! Renamings of rings, connections and threads, and what they do to names and values of a run.
//!
//! A state and its image under a renaming that leaves the test as it is have the same future, renamed
//! (Ip and Dill, "Better Verification Through Symmetry", Formal Methods in System Design 9, 1996). With few
//! renamings the least fingerprint of all images stands for all of them.

use std::collections::BTreeSet;

use ifq_model::outcome::Outcome;
use ifq_model::platform::label::ValueSort;
use ifq_model::test::VarId;
use ifq_model::work::FIRST_KERNEL_SLOT;

use crate::executor::names::{Made, number_of, pointer_of};

/// What the values of a word name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Nothing.
    Plain,
    /// An object: its pointer, from this bit on.
    Pointer(u32),
    /// A thread: one more than its slot.
    Holder,
    /// A step of the test, with this much more.
    Step(u64),
    /// A connection: one more than its number.
    Socket,
}

impl Meaning {
    /// Of the values of a word; locks are known to whoever makes them.
    pub(crate) fn of(sort: ValueSort) -> Self {
        match sort {
            ValueSort::Plain => Meaning::Plain,
            ValueSort::Pointer { shift } => Meaning::Pointer(shift),
            ValueSort::Step { offset } => Meaning::Step(offset),
            ValueSort::Socket => Meaning::Socket,
        }
    }
}

/// New numbers for what a test names: each list is a permutation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Renaming {
    pub(crate) rings: Vec<u32>,
    pub(crate) sockets: Vec<u32>,
    pub(crate) threads: Vec<u32>,
    pub(crate) vars: Vec<u32>,
    /// Positions in [`ifq_model::test::Test::steps`].
    pub(crate) steps: Vec<u32>,
    /// Operations of the first thread, up to the one in which the others run.
    pub(crate) ops: Vec<u32>,
}

fn at(numbers: &[u32], number: u64) -> u64 {
    numbers.get(number as usize).map_or(number, |new| u64::from(*new))
}

fn after(first: &[u32], second: &[u32]) -> Vec<u32> {
    first.iter().map(|number| second[*number as usize]).collect()
}

impl Renaming {
    /// This one, then another.
    pub(crate) fn then(&self, next: &Renaming) -> Renaming {
        Renaming {
            rings: after(&self.rings, &next.rings),
            sockets: after(&self.sockets, &next.sockets),
            threads: after(&self.threads, &next.threads),
            vars: after(&self.vars, &next.vars),
            steps: after(&self.steps, &next.steps),
            ops: after(&self.ops, &next.ops),
        }
    }

    /// A thread's slot, see [`ifq_model::work::Work::slot`].
    pub(crate) fn slot(&self, slot: u32) -> u32 {
        let ring = |number: u32| at(&self.rings, u64::from(number)) as u32;
        match slot {
            0 => 0,
            _ if slot < FIRST_KERNEL_SLOT => 1 + at(&self.threads, u64::from(slot - 1)) as u32,
            _ if slot < 2 * FIRST_KERNEL_SLOT => {
                let worker = slot - FIRST_KERNEL_SLOT;
                FIRST_KERNEL_SLOT + 2 * ring(worker / 2) + worker % 2
            }
            // The number of an ifq: its ring's, and 32 for each that the ring registered before.
            _ => {
                let ifq = slot - 2 * FIRST_KERNEL_SLOT;
                2 * FIRST_KERNEL_SLOT + ring(ifq % 32) + ifq / 32 * 32
            }
        }
    }

    fn made(&self, made: Made) -> Made {
        let op = if made.slot == 0 { at(&self.ops, u64::from(made.op)) as u32 } else { made.op };
        Made { slot: self.slot(made.slot), op }
    }

    /// The number of a word.
    pub(crate) fn number(&self, number: u64) -> u64 {
        number_of(number, |made| self.made(made))
    }

    /// A pointer; zero is none.
    pub(crate) fn pointer(&self, pointer: u64) -> u64 {
        if pointer == 0 { 0 } else { pointer_of(pointer, |made| self.made(made)) }
    }

    /// A value of a word.
    pub(crate) fn value(&self, meaning: Meaning, value: u64) -> u64 {
        if value == 0 {
            return 0;
        }
        match meaning {
            Meaning::Plain => value,
            // The top bit marks an entry of a work list that is no pointer.
            Meaning::Pointer(shift) if value >> shift != 0 && value >> 63 == 0 => {
                self.pointer(value >> shift) << shift | value & ((1 << shift) - 1)
            }
            Meaning::Pointer(_) => value,
            Meaning::Holder => 1 + u64::from(self.slot(value as u32 - 1)),
            Meaning::Step(plus) => plus + at(&self.steps, value - plus),
            Meaning::Socket => 1 + at(&self.sockets, value - 1),
        }
    }
}

/// All renamings that leave a program as it is.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// The first one renames nothing.
    renamings: Vec<Renaming>,
    /// By two of them: the first, then the second.
    then: Vec<Vec<usize>>,
    /// The operation of the first thread in which the others run: there it does nothing that renaming
    /// changes.
    pub(crate) threads: u32,
}

impl Group {
    /// The group that some renamings make, as long as it has not more than `most`: those that make it
    /// larger are left out.
    pub(crate) fn of(none: Renaming, makers: &[Renaming], threads: u32, most: usize) -> Self {
        let mut renamings = vec![none];
        let mut used: Vec<&Renaming> = Vec::new();
        for maker in makers {
            used.push(maker);
            match closure(&renamings[0], &used, most) {
                Some(more) => renamings = more,
                None => {
                    used.pop();
                }
            }
        }
        Group::closed(renamings, threads)
    }

    /// Those of the others that `keep` wants, by index; they must be a group.
    pub(crate) fn only(&self, keep: impl Fn(usize) -> bool) -> Self {
        let kept = |(index, renaming): (usize, &Renaming)| {
            (index == 0 || keep(index - 1)).then(|| renaming.clone())
        };
        let kept = self.renamings.iter().enumerate().filter_map(kept);
        Group::closed(kept.collect(), self.threads)
    }

    fn closed(renamings: Vec<Renaming>, threads: u32) -> Self {
        let index = |renaming: &Renaming| renamings.iter().position(|r| r == renaming);
        let then = renamings.iter().map(|first| {
            renamings.iter().filter_map(|second| index(&first.then(second))).collect()
        });
        let then = then.collect();
        Group { renamings, then, threads }
    }

    /// Nothing is renamed.
    pub(crate) fn trivial() -> Self {
        let none = Renaming {
            rings: Vec::new(),
            sockets: Vec::new(),
            threads: Vec::new(),
            vars: Vec::new(),
            steps: Vec::new(),
            ops: Vec::new(),
        };
        Group::of(none, &[], 0, 1)
    }

    /// How many there are, besides the one that renames nothing.
    pub(crate) fn others(&self) -> usize {
        self.renamings.len() - 1
    }

    /// One of the others.
    pub(crate) fn other(&self, index: usize) -> &Renaming {
        &self.renamings[index + 1]
    }

    /// What user space may see, with what it sees under each renaming. `observe`: the results that make
    /// an outcome.
    pub(crate) fn images(
        &self,
        outcomes: BTreeSet<Outcome>,
        observe: &[VarId],
    ) -> BTreeSet<Outcome> {
        let mut all = BTreeSet::new();
        for renaming in &self.renamings[1..] {
            let from = |var: &VarId| {
                let is_it = |old: &VarId| at(&renaming.vars, u64::from(*old)) == u64::from(*var);
                observe.iter().position(is_it)
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

    /// From the images of one thing under all renamings: those of its image under one of the others,
    /// under the others.
    pub(crate) fn images_of_image<'a, T: Copy>(
        &'a self,
        images: &'a [T],
        index: usize,
    ) -> impl Iterator<Item = T> + 'a {
        self.then[index][1..].iter().map(|both| images[*both])
    }
}

/// All that some renamings make together, in order, the one that renames nothing first.
fn closure(none: &Renaming, makers: &[&Renaming], most: usize) -> Option<Vec<Renaming>> {
    let mut all = vec![none.clone()];
    let mut next = 0;
    while next < all.len() {
        for maker in makers {
            let more = all[next].then(maker);
            if !all.contains(&more) {
                all.push(more);
            }
        }
        if all.len() > most {
            return None;
        }
        next += 1;
    }
    Some(all)
}
