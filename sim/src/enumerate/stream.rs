//! Enumerates the codes of a family in order, without storing them.

use std::ops::ControlFlow;

use super::alphabet::{alphabet, targets};
use super::canonical::{is_smallest, permutations};
use super::code::{Code, Item, can_run, threads};
use super::family::Family;

/// The tests of one family with this number of rings and of racing operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size {
    /// Number of rings, from 1.
    pub rings: u8,
    /// Number of racing operations.
    pub ops: u8,
}

/// What a stream calls with each number and code; it may end the stream.
pub type Visit<'a> = &'a mut dyn FnMut(u64, &Code) -> ControlFlow<()>;

/// Calls a function with each code of a family, in order. The first has number 0.
///
/// # Errors
/// If the function ends the stream.
pub fn stream(family: Family, size: Size, visit: Visit<'_>) -> ControlFlow<()> {
    if !family.has_tests(size.rings) {
        return ControlFlow::Continue(());
    }
    let first = family.first_symmetric_ring(size.rings);
    let renamings = permutations(first, size.rings);
    let alphabet = alphabet(family, size.rings);
    let mut stream = Stream { family, size, renamings, alphabet, visit, number: 0 };
    stream.extend(&mut Vec::new(), 0)
}

/// The number of tests of a family.
#[must_use]
pub fn count(family: Family, size: Size) -> u64 {
    let mut count = 0;
    let _ = stream(family, size, &mut |_, _| {
        count += 1;
        ControlFlow::Continue(())
    });
    count
}

/// The code with a number.
#[must_use]
pub fn code(family: Family, size: Size, number: u64) -> Option<Vec<Item>> {
    let mut found = None;
    let _ = stream(family, size, &mut |at, code| {
        if at == number {
            found = Some(code.to_vec());
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    found
}

struct Stream<'a> {
    family: Family,
    size: Size,
    renamings: Vec<Vec<u8>>,
    alphabet: Vec<Item>,
    visit: Visit<'a>,
    number: u64,
}

impl Stream<'_> {
    /// Adds operations, each not before the position `from` of the alphabet.
    fn extend(&mut self, code: &mut Vec<Item>, from: usize) -> ControlFlow<()> {
        if code.len() == usize::from(self.size.ops) {
            return match threads(code) {
                1 if code.len() > 1 => ControlFlow::Continue(()),
                _ => self.choose_targets(code, 0),
            };
        }
        for at in from..self.alphabet.len() {
            let item = self.alphabet[at];
            code.push(item);
            self.extend(code, self.next(item, at))?;
            code.pop();
        }
        ControlFlow::Continue(())
    }

    /// The first position of the alphabet that may follow an operation.
    fn next(&self, item: Item, at: usize) -> usize {
        if item.alone {
            return if item.action.repeats() { at } else { at + 1 };
        }
        let same_thread = |other: &Item| !other.alone && other.ring == item.ring;
        self.alphabet.iter().position(same_thread).unwrap_or(at)
    }

    /// Chooses what the operations are applied to, from the position `at` on.
    fn choose_targets(&mut self, code: &mut Vec<Item>, at: usize) -> ControlFlow<()> {
        if at == code.len() {
            if can_run(code) && is_smallest(code, &self.renamings) {
                let number = self.number;
                self.number += 1;
                return (self.visit)(number, code);
            }
            return ControlFlow::Continue(());
        }
        let before = code[at].target;
        for target in targets(self.family, self.size.rings, code, at) {
            code[at].target = target;
            self.choose_targets(code, at + 1)?;
        }
        code[at].target = before;
        ControlFlow::Continue(())
    }
}
