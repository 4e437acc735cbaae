//! The steps from where a thread stands, as far as the tables know them.

use ifq_model::platform::Rmw;

use crate::executor::record::{ALWAYS, FAULTS, Update, count_word};
use crate::executor::threads::Pending;
use crate::step_table::{Code, Node};

/// One way to touch a word: whether it changes it, and the locks that are held meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Access {
    pub(super) word: u32,
    pub(super) write: bool,
    pub(super) locks: u64,
}

/// The steps from one stop.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// Of all ways that the step may go.
    pub(super) accesses: Vec<Access>,
    pub(super) next: Vec<u32>,
    /// Threads that may be started.
    pub(super) starts: Vec<u32>,
    /// By awaited word: by how much it is raised on one way to each next stop.
    pub(super) raises: Vec<(u32, Vec<u8>)>,
}

impl Steps {
    /// With the locks that are held meanwhile, as bits.
    pub(super) fn from(code: &Code, stop: usize, locks: u64, awaited: &[u32]) -> Steps {
        let mut steps = Steps::default();
        steps.pending(code, stop, locks);
        let none = vec![Raise::default(); awaited.len()];
        let mut left = vec![(code.stops[stop].next, none)];
        while let Some((mut at, mut raises)) = left.pop() {
            while let Some(node) = code.nodes.get(at as usize) {
                let mut touch = |word: u32, write| steps.touch(code, word, write, locks);
                let mut branch =
                    |kids| left.extend(code.kids(kids).map(|(_, kid)| (kid, raises.clone())));
                at = match node {
                    Node::Read { word, kids } => {
                        touch(*word, false);
                        let awaited = awaited.binary_search(word);
                        left.extend(code.kids(kids).map(|(value, kid)| {
                            let mut raises = raises.clone();
                            if let Ok(index) = awaited {
                                raises[index].found = Some(value);
                            }
                            (kid, raises)
                        }));
                        break;
                    }
                    Node::Update { update, kids } => {
                        let Update { word, op, counts, .. } = code.updates[*update as usize];
                        steps.touched(code, word, !counts, locks);
                        if let Ok(index) = awaited.binary_search(&word) {
                            raises[index].change(op);
                        }
                        left.extend(code.kids(kids).map(|(_, kid)| (kid, raises.clone())));
                        break;
                    }
                    // Counts of objects commute with each other, but not with a look at them: as if
                    // that wrote.
                    Node::Live { word, kids } => {
                        touch(*word, true);
                        branch(kids);
                        break;
                    }
                    Node::Fault { kids } => {
                        touch(FAULTS, true);
                        branch(kids);
                        break;
                    }
                    Node::Grant { kids } => {
                        branch(kids);
                        break;
                    }
                    Node::Write { word, what, next } => {
                        touch(*word, true);
                        if let Ok(index) = awaited.binary_search(word) {
                            raises[index].write(code.cells[*what as usize].0);
                        }
                        *next
                    }
                    Node::Alloc { object, next } => {
                        touch(count_word(code.names.objects[*object as usize].kind), false);
                        *next
                    }
                    Node::Free { object, next } => {
                        let object = &code.names.objects[*object as usize];
                        touch(object.live, true);
                        touch(count_word(object.kind), false);
                        *next
                    }
                    Node::Spawn { stop, next } => {
                        touch(code.stops[*stop as usize].slot_word, true);
                        steps.starts.push(*stop);
                        *next
                    }
                    Node::New { word, what, next } => {
                        if let Ok(index) = awaited.binary_search(word) {
                            raises[index] = Raise { found: Some(0), ..raises[index] };
                            raises[index].write(code.cells[*what as usize].0);
                        }
                        *next
                    }
                    Node::Plain { next, .. } | Node::Release { next, .. } | Node::Root { next } => {
                        *next
                    }
                    Node::Boundary { root } => *root,
                    Node::Stop { stop } => {
                        let ends = &code.stops[*stop as usize];
                        if ends.pending == Pending::Done {
                            touch(ends.slot_word, true);
                        }
                        steps.next.push(*stop);
                        let by = raises.iter().map(|raise| raise.by).collect();
                        steps.raises.push((*stop, by));
                        break;
                    }
                    Node::Fail => break,
                };
            }
        }
        steps.starts.sort_unstable();
        steps.starts.dedup();
        steps.accesses.sort_unstable();
        steps.accesses.dedup();
        steps
    }

    /// What a thread waits for it will touch, known or not.
    fn pending(&mut self, code: &Code, stop: usize, locks: u64) {
        match code.stops[stop].pending {
            Pending::Access { word, write, .. } => self.touch(code, word, write, locks),
            Pending::Lock { word } => self.touch(code, word, true, locks),
            Pending::WaitUntil { word, .. } => self.touch(code, word, false, locks),
            Pending::Start | Pending::Done => {}
        }
    }

    fn touch(&mut self, code: &Code, word: u32, write: bool, locks: u64) {
        let (word, write) = code.names.touch(word, write);
        self.touched(code, word, write, locks);
    }

    fn touched(&mut self, code: &Code, word: u32, write: bool, locks: u64) {
        self.accesses.push(Access { word, write, locks });
        let live = code.names.words[word as usize].live;
        if live != ALWAYS {
            self.accesses.push(Access { word: live, write: false, locks });
        }
    }
}

/// What one step does to an awaited word.
#[derive(Clone, Copy, Debug, Default)]
struct Raise {
    /// Its value, once that is known.
    found: Option<u64>,
    by: u8,
}

impl Raise {
    /// By how much does not depend on what was found, except for what is no addition.
    fn change(&mut self, op: Rmw) {
        let by = match op {
            Rmw::Add(by) | Rmw::AddUnless { add: by, .. } => by,
            Rmw::Sub(_) | Rmw::And(_) => 0,
            Rmw::Xchg(_) | Rmw::Or(_) | Rmw::CmpXchg { .. } => u64::MAX,
        };
        self.by = self.by.saturating_add(u8::try_from(by).unwrap_or(u8::MAX));
        self.found = None;
    }

    fn write(&mut self, value: u64) {
        let by = self.found.map_or(u64::MAX, |found| value.saturating_sub(found));
        self.by = self.by.saturating_add(u8::try_from(by).unwrap_or(u8::MAX));
        self.found = Some(value);
    }
}
