//! Inserts a recorded step into the tree.

use ifq_model::outcome::Outcome;

use super::{Children, LocalHistory, NONE, Node, ProgramPoint, RootKey, Scope, StepTable};
use crate::executor::contribution::Contribution;
use crate::executor::event::{ObservedEvent, StepEvent, Update};
use crate::executor::fingerprint::{Fingerprint, append};
use crate::executor::symbols::count_word;
use crate::executor::threads::{
    Pending, SCOPE_BEGIN, SCOPE_END, STEP_MARKER, local_state, operation_start,
};

/// Where the next node is attached.
#[derive(Clone, Copy)]
enum AttachPoint {
    /// As first node of a program point.
    FirstNode(u32),
    /// As successor of a node.
    Next(u32),
    /// As successor of a node for an observed value.
    Child(u32, u64),
}

/// How a recorded step ended.
#[derive(Clone, Debug)]
pub(super) enum StepEnd<'a> {
    /// At a program point; words are those of [`StepTable::symbols`].
    Point {
        slot: u32,
        pending: Pending,
        /// Fingerprint of the thread's private state, if the machine has executed the step.
        hash: Option<Fingerprint>,
        locks: Vec<u32>,
        outcome: Option<&'a Outcome>,
    },
    /// The thread's own actions violated an invariant.
    LocalViolation,
    /// An action violated an invariant because of the contents of the memory.
    MemoryViolation,
}

/// What a thread has observed in its operation: its private state, and the observed buffers.
struct Observations {
    /// Fingerprint of the observed values.
    exact: Fingerprint,
    /// The same without buffer indices.
    observed: Fingerprint,
    /// Number of observed values.
    count: u32,
    /// Where buffers were observed.
    buffer_observations: Vec<Contribution>,
    /// The scopes that the thread is in.
    scopes: Vec<Scope>,
}

impl Observations {
    /// At the beginning of the step from a point. Each step changes the private state.
    fn at_step_start(history: &LocalHistory) -> Self {
        let (observed, count) = history.observed;
        let (exact, observed) = (append(history.exact, STEP_MARKER), append(observed, STEP_MARKER));
        Observations {
            exact,
            observed,
            count,
            buffer_observations: history.buffer_observations.to_vec(),
            scopes: history.scopes.to_vec(),
        }
    }

    /// At the beginning of an operation.
    fn at_operation_start(op: u32) -> Self {
        let start = operation_start(op);
        Observations {
            exact: start,
            observed: start,
            count: 0,
            buffer_observations: Vec::new(),
            scopes: Vec::new(),
        }
    }

    /// Begins a scope.
    fn begin_scope(&mut self) {
        let Observations { exact, observed, count, .. } = *self;
        let buffer_observations = self.buffer_observations.len();
        self.scopes.push(Scope { exact, observed, count, buffer_observations });
        self.exact = append(exact, SCOPE_BEGIN);
        self.observed = append(observed, SCOPE_BEGIN);
    }

    /// Ends the innermost scope and forgets what was observed in it.
    fn end_scope(&mut self) {
        let Some(scope) = self.scopes.pop() else { return };
        self.exact = append(scope.exact, SCOPE_END);
        self.observed = append(scope.observed, SCOPE_END);
        self.count = scope.count;
        self.buffer_observations.truncate(scope.buffer_observations);
    }

    /// Adds an event and its observed value.
    fn observe(
        &mut self,
        table: &StepTable,
        event: StepEvent,
        value: Option<u64>,
        (slot, op): (u32, u32),
    ) {
        match event {
            StepEvent::Boundary => *self = Observations::at_operation_start(op + 1),
            StepEvent::ScopeBegin => self.begin_scope(),
            StepEvent::ScopeEnd => self.end_scope(),
            _ => {}
        }
        let Some(value) = value else { return };
        self.exact = append(self.exact, value);
        let (value, buffer) = match event {
            StepEvent::Read { word } | StepEvent::Update(Update { word, .. }) => {
                table.symbols.without_buffer(word, value)
            }
            _ => (value, None),
        };
        self.observed = append(self.observed, value);
        self.count += 1;
        if let Some(buffer) = buffer {
            let place =
                append(append(append(7, u64::from(slot)), u64::from(op)), u64::from(self.count));
            self.buffer_observations.push(Contribution::of_buffer(buffer, place));
        }
    }
}

/// Whether the machine's fingerprint of a thread's private state agrees with the recorded observations.
fn is_private_state(
    hash: Option<Fingerprint>,
    (exact, slot, op): (Fingerprint, u32, u32),
    pending: Pending,
) -> bool {
    pending == Pending::Done || hash.is_none_or(|hash| hash == local_state(exact, slot, op))
}

impl StepTable {
    /// The node that is attached there; [`NONE`] if there is none.
    fn at(&self, parent: AttachPoint) -> u32 {
        match parent {
            AttachPoint::FirstNode(point) => self.points[point as usize].next,
            AttachPoint::Child(node, value) => match &self.nodes[node as usize] {
                Node::Read { children, .. }
                | Node::Update { children, .. }
                | Node::Live { children, .. }
                | Node::Grant { children }
                | Node::Fault { children } => self.child(children, value),
                _ => NONE,
            },
            AttachPoint::Next(node) => match &self.nodes[node as usize] {
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

    /// Attaches a node.
    fn attach(&mut self, parent: AttachPoint, new: u32) {
        match parent {
            AttachPoint::FirstNode(point) => self.points[point as usize].next = new,
            AttachPoint::Child(node, value) => {
                let fresh = self.overflow.len() as u32;
                let (Node::Read { children, .. }
                | Node::Update { children, .. }
                | Node::Live { children, .. }
                | Node::Grant { children }
                | Node::Fault { children }) = &mut self.nodes[node as usize]
                else {
                    return;
                };
                if children.node == NONE {
                    (children.value, children.node) = (value, new);
                } else if children.overflow == NONE {
                    children.overflow = fresh;
                    self.overflow.push(vec![(value, new)]);
                } else {
                    self.overflow[children.overflow as usize].push((value, new));
                }
            }
            AttachPoint::Next(node) => {
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

    /// The node of an event, without successors.
    ///
    /// `meeting`: where all paths through an operation or a scope that the event ends meet.
    fn node_of(&mut self, event: StepEvent, meeting: RootKey) -> Node {
        let (children, next) = (Children::EMPTY, NONE);
        match event {
            StepEvent::Read { word } => Node::Read { word, children },
            StepEvent::Live { kind } => Node::Live { word: count_word(kind), children },
            StepEvent::Grant => Node::Grant { children },
            StepEvent::Fault => Node::Fault { children },
            StepEvent::Write { word, value } => {
                Node::Write { word, written: self.contribution(word, value), next }
            }
            StepEvent::Update(update) => {
                self.symbols.words[update.word as usize].is_counter |= update.is_counter;
                self.updates.push(update);
                Node::Update { update: self.updates.len() as u32 - 1, children }
            }
            StepEvent::New { word, value } => {
                Node::New { word, written: self.contribution(word, value), next }
            }
            StepEvent::Alloc { object } => Node::Alloc { object, next },
            StepEvent::Free { object } => Node::Free { object, next },
            StepEvent::Plain { word, write } => Node::Plain { word, write, next },
            StepEvent::Release { word } => Node::Release { word, next },
            StepEvent::Spawn { slot, key } => Node::Spawn { point: self.start(slot, key), next },
            StepEvent::ScopeBegin => Node::Root { next },
            StepEvent::Boundary | StepEvent::ScopeEnd => {
                Node::Boundary { root: self.root(meeting) }
            }
        }
    }

    fn contribution(&mut self, word: u32, value: u64) -> u32 {
        let index = self.written_values.len() as u32;
        self.written_values.push((value, self.symbols.contribution(word, value)));
        let nontrivial_count = 0..self.symbols.group.nontrivial_count();
        self.image_contributions
            .extend(nontrivial_count.map(|i| self.symbols.contribution_image(word, value, i)));
        index
    }

    /// The root where the paths through a part of a thread's code meet.
    fn root(&mut self, key: RootKey) -> u32 {
        let fresh = self.nodes.len() as u32;
        let root = *self.roots.entry(key).or_insert(fresh);
        if root == fresh {
            self.nodes.push(Node::Root { next: NONE });
        }
        root
    }

    /// Whether a node is that of an event.
    fn matches_event(&self, node: Node, event: StepEvent, meeting: RootKey) -> bool {
        let writes = |written: u32, value| self.written_values[written as usize].0 == value;
        match (node, event) {
            (Node::Read { word: a, .. }, StepEvent::Read { word: b }) => a == b,
            (Node::Live { word, .. }, StepEvent::Live { kind }) => word == count_word(kind),
            (Node::Grant { .. }, StepEvent::Grant) | (Node::Fault { .. }, StepEvent::Fault) => true,
            (Node::Write { word: a, written, .. }, StepEvent::Write { word: b, value })
            | (Node::New { word: a, written, .. }, StepEvent::New { word: b, value }) => {
                a == b && writes(written, value)
            }
            (Node::Update { update: a, .. }, StepEvent::Update(b)) => self.updates[a as usize] == b,
            (Node::Alloc { object: a, .. }, StepEvent::Alloc { object: b })
            | (Node::Free { object: a, .. }, StepEvent::Free { object: b }) => a == b,
            (Node::Plain { word: a, write: v, .. }, StepEvent::Plain { word: b, write: w }) => {
                (a, v) == (b, w)
            }
            (Node::Release { word: a, .. }, StepEvent::Release { word: b }) => a == b,
            (Node::Spawn { point, .. }, StepEvent::Spawn { slot, key }) => {
                self.start_points.get(&(slot, key)) == Some(&point)
            }
            (Node::Root { .. }, StepEvent::ScopeBegin) => true,
            (Node::Boundary { root }, StepEvent::Boundary | StepEvent::ScopeEnd) => {
                self.roots.get(&meeting) == Some(&root)
            }
            _ => false,
        }
    }

    /// Inserts a step from a point, in operation `op` of its thread, but none of its images; returns the
    /// point at its end.
    ///
    /// # Panics
    /// If another step was recorded for the same observations: the model keeps private state across an
    /// operation, or does not treat symmetric objects alike (see [`crate::symmetry::rings`]).
    pub(super) fn insert_one(
        &mut self,
        from: u32,
        mut op: u32,
        events: &[ObservedEvent],
        end: &StepEnd<'_>,
    ) -> u32 {
        let slot = self.points[from as usize].slot;
        let mut observations = Observations::at_step_start(&self.histories[from as usize]);
        let mut parent = AttachPoint::FirstNode(from);
        for ObservedEvent { event, value } in events {
            observations.observe(self, *event, *value, (slot, op));
            let meeting = match event {
                StepEvent::ScopeEnd => RootKey::AfterScope { slot, op, exact: observations.exact },
                _ => RootKey::Operation { slot, op: op + 1 },
            };
            let mut at = self.at(parent);
            if at == NONE {
                let node = self.node_of(*event, meeting);
                at = self.push_node(parent, node);
            } else {
                let known = self.nodes[at as usize];
                assert!(
                    self.matches_event(known, *event, meeting),
                    "thread {slot:#x} is not a function of its observations in operation {op}: \
                     {event:?} where {known:?} was recorded"
                );
            }
            parent = match (self.nodes[at as usize], value) {
                (Node::Boundary { root }, _) => {
                    op += u32::from(*event == StepEvent::Boundary);
                    AttachPoint::Next(root)
                }
                (
                    Node::Read { .. }
                    | Node::Update { .. }
                    | Node::Live { .. }
                    | Node::Grant { .. }
                    | Node::Fault { .. },
                    value,
                ) => match value {
                    Some(value) => AttachPoint::Child(at, *value),
                    None => return NONE,
                },
                _ => AttachPoint::Next(at),
            };
        }
        self.insert_end(parent, end, observations, op)
    }

    /// Inserts the end of a step; returns the program point, or [`NONE`] after a violation.
    fn insert_end(
        &mut self,
        parent: AttachPoint,
        end: &StepEnd<'_>,
        observations: Observations,
        op: u32,
    ) -> u32 {
        let at = self.at(parent);
        let (slot, pending, hash, locks, outcome) = match end {
            StepEnd::MemoryViolation => return NONE,
            StepEnd::LocalViolation => {
                if at == NONE {
                    self.push_node(parent, Node::Violation);
                }
                return NONE;
            }
            StepEnd::Point { slot, pending, hash, locks, outcome } => {
                (*slot, *pending, *hash, locks, *outcome)
            }
        };
        if let Some(Node::End { point }) = self.nodes.get(at as usize) {
            let known = &self.points[*point as usize];
            let exact = self.histories[*point as usize].exact;
            assert!(
                known.pending == pending && is_private_state(hash, (exact, slot, op), pending),
                "thread {slot:#x} is not a function of its observations in operation {op}: \
                 waits for {pending:?} where {:?} was recorded",
                known.pending
            );
            return *point;
        }
        assert!(at == NONE, "thread {slot:#x} ends a step where it continued before");
        let outcome = outcome.map(|outcome| self.outcome(outcome));
        let done = pending == Pending::Done;
        let Observations { exact, observed, count, buffer_observations, scopes } = observations;
        assert!(
            is_private_state(hash, (exact, slot, op), pending),
            "thread {slot:#x} has made an observation in operation {op} that was not recorded"
        );
        let hash = if done { 0 } else { local_state(observed, slot, op) };
        let slot_word = self.symbols.slot(slot);
        let history = LocalHistory {
            buffer_observations: if done { Box::default() } else { buffer_observations.into() },
            exact,
            observed: (observed, count),
            locks: locks.as_slice().into(),
            scopes: scopes.into(),
            outcome,
        };
        let point = ProgramPoint { slot, slot_word, pending, hash, next: NONE };
        let point = self.push_point(point, history);
        self.push_node(parent, Node::End { point });
        point
    }

    /// Adds a node and attaches it.
    fn push_node(&mut self, parent: AttachPoint, node: Node) -> u32 {
        let new = self.nodes.len() as u32;
        self.nodes.push(node);
        self.attach(parent, new);
        new
    }

    /// The index of an outcome.
    fn outcome(&mut self, outcome: &Outcome) -> u32 {
        let known = self.outcomes.iter().position(|known| known == outcome);
        known.unwrap_or_else(|| {
            self.outcomes.push(outcome.clone());
            self.outcomes.len() - 1
        }) as u32
    }
}
