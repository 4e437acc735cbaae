//! Takes a recorded step into the tree.

use ifq_model::outcome::Outcome;

use super::{Code, Kids, NONE, Node, Past, Stop};
use crate::executor::fingerprint::{Fingerprint, append};
use crate::executor::record::{Cell, Event, Observed, Update, count_word};
use crate::executor::threads::{Pending, STEP, local_state, operation};

/// Where the next node hangs.
#[derive(Clone, Copy)]
enum Place {
    Stop(u32),
    Next(u32),
    Kid(u32, u64),
}

/// How a recorded step ended.
#[derive(Clone, Debug)]
pub(super) enum End<'a> {
    /// At a stop; words are those of [`Code::names`].
    Stop {
        slot: u32,
        pending: Pending,
        /// What the thread's private state adds to the machine's fingerprint, if a machine has run.
        hash: Option<Fingerprint>,
        locks: Vec<u32>,
        outcome: Option<&'a Outcome>,
    },
    /// An invariant broke by what the thread did.
    Fail,
    /// An invariant broke by what it met in the memory.
    Cut,
}

/// What a thread has observed in its operation: its private state, without the names of buffers, and
/// where it has observed which of them.
struct Seen {
    exact: Fingerprint,
    history: Fingerprint,
    count: u32,
    told: Vec<Cell>,
}

impl Seen {
    /// At the begin of the step from a stop, which observes that it happens.
    fn after(past: &Past) -> Self {
        let (history, count) = past.history;
        let (exact, history) = (append(past.exact, STEP), append(history, STEP));
        Seen { exact, history, count, told: past.told.to_vec() }
    }

    fn add(&mut self, code: &Code, event: Event, value: Option<u64>, (slot, op): (u32, u32)) {
        if event == Event::Boundary {
            let nothing = operation(op + 1);
            *self = Seen { exact: nothing, history: nothing, count: 0, told: Vec::new() };
        }
        let Some(value) = value else { return };
        self.exact = append(self.exact, value);
        let (value, buffer) = match event {
            Event::Read { word } | Event::Update(Update { word, .. }) => {
                code.names.blank(word, value)
            }
            _ => (value, None),
        };
        self.history = append(self.history, value);
        self.count += 1;
        if let Some(buffer) = buffer {
            let place =
                append(append(append(7, u64::from(slot)), u64::from(op)), u64::from(self.count));
            self.told.push(Cell::of(buffer, place));
        }
    }
}

/// Whether what a machine says of a thread's private state follows from what was taken down.
fn is_private_state(
    hash: Option<Fingerprint>,
    (exact, slot, op): (Fingerprint, u32, u32),
    pending: Pending,
) -> bool {
    pending == Pending::Done || hash.is_none_or(|hash| hash == local_state(exact, slot, op))
}

impl Code {
    fn at(&self, place: Place) -> u32 {
        match place {
            Place::Stop(stop) => self.stops[stop as usize].next,
            Place::Kid(node, value) => match &self.nodes[node as usize] {
                Node::Read { kids, .. }
                | Node::Update { kids, .. }
                | Node::Live { kids, .. }
                | Node::Grant { kids }
                | Node::Fault { kids } => self.kid(kids, value),
                _ => NONE,
            },
            Place::Next(node) => match &self.nodes[node as usize] {
                Node::Write { next, .. }
                | Node::New { next, .. }
                | Node::Alloc { next, .. }
                | Node::Free { next, .. }
                | Node::Plain { next, .. }
                | Node::Release { next, .. }
                | Node::Spawn { next, .. }
                | Node::Root { next } => *next,
                _ => NONE,
            },
        }
    }

    fn hang(&mut self, place: Place, new: u32) {
        match place {
            Place::Stop(stop) => self.stops[stop as usize].next = new,
            Place::Kid(node, value) => {
                let fresh = self.more.len() as u32;
                let (Node::Read { kids, .. }
                | Node::Update { kids, .. }
                | Node::Live { kids, .. }
                | Node::Grant { kids }
                | Node::Fault { kids }) = &mut self.nodes[node as usize]
                else {
                    return;
                };
                if kids.node == NONE {
                    (kids.value, kids.node) = (value, new);
                } else if kids.more == NONE {
                    kids.more = fresh;
                    self.more.push(vec![(value, new)]);
                } else {
                    self.more[kids.more as usize].push((value, new));
                }
            }
            Place::Next(node) => {
                if let Node::Write { next, .. }
                | Node::New { next, .. }
                | Node::Alloc { next, .. }
                | Node::Free { next, .. }
                | Node::Plain { next, .. }
                | Node::Release { next, .. }
                | Node::Spawn { next, .. }
                | Node::Root { next } = &mut self.nodes[node as usize]
                {
                    *next = new;
                }
            }
        }
    }

    /// What an event becomes, with no way on yet.
    fn node_of(&mut self, event: Event, slot: u32, op: u32) -> Node {
        let (kids, next) = (Kids::EMPTY, NONE);
        match event {
            Event::Read { word } => Node::Read { word, kids },
            Event::Live { kind } => Node::Live { word: count_word(kind), kids },
            Event::Grant => Node::Grant { kids },
            Event::Fault => Node::Fault { kids },
            Event::Write { word, value } => {
                Node::Write { word, what: self.cell(word, value), next }
            }
            Event::Update(update) => {
                self.names.words[update.word as usize].counts |= update.counts;
                self.updates.push(update);
                Node::Update { update: self.updates.len() as u32 - 1, kids }
            }
            Event::New { word, value } => Node::New { word, what: self.cell(word, value), next },
            Event::Alloc { object } => Node::Alloc { object, next },
            Event::Free { object } => Node::Free { object, next },
            Event::Plain { word, write } => Node::Plain { word, write, next },
            Event::Release { word } => Node::Release { word, next },
            Event::Spawn { slot, key } => Node::Spawn { stop: self.start(slot, key), next },
            Event::Boundary => Node::Boundary { root: self.root(slot, op + 1) },
        }
    }

    fn cell(&mut self, word: u32, value: u64) -> u32 {
        let index = self.cells.len() as u32;
        self.cells.push((value, self.names.cell(word, value)));
        let others = 0..self.names.group.others();
        self.image_cells.extend(others.map(|i| self.names.cell_image(word, value, i)));
        index
    }

    fn root(&mut self, slot: u32, op: u32) -> u32 {
        let fresh = self.nodes.len() as u32;
        let root = *self.roots.entry((slot, op)).or_insert(fresh);
        if root == fresh {
            self.nodes.push(Node::Root { next: NONE });
        }
        root
    }

    /// Whether a node is what an event becomes.
    fn is(&self, node: Node, event: Event, slot: u32, op: u32) -> bool {
        let writes = |what: u32, value| self.cells[what as usize].0 == value;
        match (node, event) {
            (Node::Read { word: a, .. }, Event::Read { word: b }) => a == b,
            (Node::Live { word, .. }, Event::Live { kind }) => word == count_word(kind),
            (Node::Grant { .. }, Event::Grant) | (Node::Fault { .. }, Event::Fault) => true,
            (Node::Write { word: a, what, .. }, Event::Write { word: b, value })
            | (Node::New { word: a, what, .. }, Event::New { word: b, value }) => {
                a == b && writes(what, value)
            }
            (Node::Update { update: a, .. }, Event::Update(b)) => self.updates[a as usize] == b,
            (Node::Alloc { object: a, .. }, Event::Alloc { object: b })
            | (Node::Free { object: a, .. }, Event::Free { object: b }) => a == b,
            (Node::Plain { word: a, write: v, .. }, Event::Plain { word: b, write: w }) => {
                (a, v) == (b, w)
            }
            (Node::Release { word: a, .. }, Event::Release { word: b }) => a == b,
            (Node::Spawn { stop, .. }, Event::Spawn { slot, key }) => {
                self.starts.get(&(slot, key)) == Some(&stop)
            }
            (Node::Boundary { root }, Event::Boundary) => {
                self.roots.get(&(slot, op + 1)) == Some(&root)
            }
            _ => false,
        }
    }

    /// Takes in a step from a stop, in operation `op` of its thread, but none of its images; returns the
    /// stop at its end.
    ///
    /// # Panics
    /// If the step is not the one that was learned for the same observations: the model keeps
    /// something private across an operation, or does not treat alike what a renaming says it does (see
    /// [`crate::symmetry::rings`]).
    pub(super) fn absorb_one(
        &mut self,
        from: u32,
        mut op: u32,
        events: &[Observed],
        end: &End<'_>,
    ) -> u32 {
        let slot = self.stops[from as usize].slot;
        let mut seen = Seen::after(&self.pasts[from as usize]);
        let mut place = Place::Stop(from);
        for Observed { event, value } in events {
            seen.add(self, *event, *value, (slot, op));
            let mut at = self.at(place);
            if at == NONE {
                let node = self.node_of(*event, slot, op);
                at = self.nodes.len() as u32;
                self.nodes.push(node);
                self.hang(place, at);
            } else {
                let known = self.nodes[at as usize];
                assert!(
                    self.is(known, *event, slot, op),
                    "thread {slot:#x} does not go by what it observed in operation {op}: \
                     {event:?} where {known:?} was learned"
                );
            }
            place = match (self.nodes[at as usize], value) {
                (Node::Boundary { root }, _) => {
                    op += 1;
                    Place::Next(root)
                }
                (
                    Node::Read { .. }
                    | Node::Update { .. }
                    | Node::Live { .. }
                    | Node::Grant { .. }
                    | Node::Fault { .. },
                    value,
                ) => match value {
                    Some(value) => Place::Kid(at, *value),
                    None => return NONE,
                },
                _ => Place::Next(at),
            };
        }
        let at = self.at(place);
        match end {
            End::Cut => NONE,
            End::Fail => {
                if at == NONE {
                    let new = self.nodes.len() as u32;
                    self.nodes.push(Node::Fail);
                    self.hang(place, new);
                }
                NONE
            }
            End::Stop { slot, pending, hash, locks, outcome } => {
                if let Some(Node::Stop { stop }) = self.nodes.get(at as usize) {
                    let known = &self.stops[*stop as usize];
                    let exact = self.pasts[*stop as usize].exact;
                    assert!(
                        known.pending == *pending
                            && is_private_state(*hash, (exact, *slot, op), *pending),
                        "thread {slot:#x} does not go by what it observed in operation {op}: \
                         waits for {pending:?} where {:?} was learned",
                        known.pending
                    );
                    return *stop;
                }
                assert!(at == NONE, "thread {slot:#x} ends a step where it went on before");
                let outcome = outcome.map(|outcome| self.outcome(outcome));
                let (slot, pending) = (*slot, *pending);
                let done = pending == Pending::Done;
                assert!(
                    is_private_state(*hash, (seen.exact, slot, op), pending),
                    "thread {slot:#x} has observed in operation {op} what was not taken down"
                );
                let hash = if done { 0 } else { local_state(seen.history, slot, op) };
                let slot_word = self.names.slot(slot);
                let stop = Stop { slot, slot_word, pending, hash, next: NONE };
                let stop = self.push_stop(
                    stop,
                    Past {
                        told: if done { Box::default() } else { seen.told.into() },
                        exact: seen.exact,
                        history: (seen.history, seen.count),
                        locks: locks.as_slice().into(),
                        outcome,
                    },
                );
                let new = self.nodes.len() as u32;
                self.nodes.push(Node::Stop { stop });
                self.hang(place, new);
                stop
            }
        }
    }

    fn outcome(&mut self, outcome: &Outcome) -> u32 {
        let known = self.outcomes.iter().position(|known| known == outcome);
        known.unwrap_or_else(|| {
            self.outcomes.push(outcome.clone());
            self.outcomes.len() - 1
        }) as u32
    }
}
