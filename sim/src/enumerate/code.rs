//! The code of an enumerated test: which operations race, in which threads, on which results.

use super::action::Action;

/// What an operation is applied to, if there is a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// There is no choice.
    None,
    /// A result of the prologue: of this ring, if the prologue has one for each ring.
    Prologue(u8),
    /// The result of a racing operation, by its position in the code.
    Item(u8),
}

/// One racing operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// Whether the operation has a thread of its own. Otherwise the thread of its ring runs it.
    pub alone: bool,
    /// The ring, if the operation has one; otherwise 0.
    pub ring: u8,
    /// What it does.
    pub action: Action,
    /// What it is applied to.
    pub target: Target,
}

impl Item {
    /// The thread of the operation: a number that operations of one thread share. `at`: its position.
    fn thread(self, at: usize) -> usize {
        if self.alone { usize::from(u8::MAX) + at } else { usize::from(self.ring) }
    }
}

/// The racing operations of a test. First those of the rings, ring by ring, each in program order. Then
/// those with a thread of their own, sorted.
pub type Code = [Item];

/// Number of threads of a test.
#[must_use]
pub fn threads(code: &Code) -> usize {
    let mut threads: Vec<usize> = code.iter().enumerate().map(|(at, i)| i.thread(at)).collect();
    threads.dedup();
    threads.len()
}

/// Whether no operation waits for itself. It waits for the earlier operations of its thread and for the one
/// whose result it uses.
#[must_use]
pub fn can_run(code: &Code) -> bool {
    let mut done = vec![false; code.len()];
    loop {
        let ready = |at: usize| {
            let before = (0..at).all(|b| done[b] || code[b].thread(b) != code[at].thread(at));
            let used = match code[at].target {
                Target::Item(used) => done[usize::from(used)],
                _ => true,
            };
            !done[at] && before && used
        };
        match (0..code.len()).find(|at| ready(*at)) {
            Some(at) => done[at] = true,
            None => return done.into_iter().all(|done| done),
        }
    }
}
