//! The problem as a model for stateright.

use stateright::{Checker, Model, Property};

use super::Found;
use super::problem::{BUFFERS, Op, PROGRAM, RINGS, frees};

/// An ordered list of buffers, four bits each, numbered from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct List(u32);

impl List {
    fn push(&mut self, buffer: u32) {
        self.0 |= buffer << (4 * self.len());
    }

    fn pop_first(&mut self) -> Option<u32> {
        let first = self.0 & 0xf;
        self.0 >>= 4;
        (first != 0).then_some(first)
    }

    fn pop_last(&mut self) -> Option<u32> {
        let last = 4 * self.len().checked_sub(1)?;
        let buffer = self.0 >> last;
        self.0 &= !(0xf << last);
        Some(buffer)
    }

    fn len(self) -> u32 {
        (32 - self.0.leading_zeros()).div_ceil(4)
    }
}

/// A ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Ring {
    /// Completed operations of the program.
    done: u8,
    held: List,
}

/// A state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    rings: [Ring; RINGS],
    free: List,
    refill: List,
    users: u8,
    freed: bool,
}

/// The problem.
#[derive(Clone, Debug)]
pub(crate) struct Sharing {
    pub(crate) planted: bool,
}

impl Model for Sharing {
    type State = State;
    /// A ring's next operation.
    type Action = (usize, Op);

    fn init_states(&self) -> Vec<State> {
        let mut free = List::default();
        (1..=BUFFERS as u32).for_each(|buffer| free.push(buffer));
        let rings = [Ring::default(); RINGS];
        vec![State { rings, free, refill: List::default(), users: RINGS as u8, freed: false }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Self::Action>) {
        let next = |ring: usize| Some((ring, *PROGRAM.get(usize::from(state.rings[ring].done))?));
        actions.extend((0..RINGS).filter_map(next));
    }

    fn next_state(&self, last: &State, (index, op): Self::Action) -> Option<State> {
        let mut state = *last;
        let ring = &mut state.rings[index];
        ring.done += 1;
        match op {
            Op::Receive => {
                while let Some(buffer) = state.refill.pop_first() {
                    state.free.push(buffer);
                }
                if let Some(buffer) = state.free.pop_last() {
                    ring.held.push(buffer);
                }
            }
            Op::Return => {
                if let Some(buffer) = ring.held.pop_last() {
                    state.refill.push(buffer);
                }
            }
            Op::Exit => {
                while let Some(buffer) = ring.held.pop_first() {
                    state.free.push(buffer);
                }
                state.users -= 1;
                if frees(index, u64::from(state.users), self.planted) {
                    (state.free, state.refill) = Default::default();
                    state.freed = true;
                }
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always(HOLDS, |_, state: &State| state.holds())]
    }
}

const HOLDS: &str = "each buffer is in one place, and no ring uses the freed ifq";

impl State {
    /// Each buffer is in exactly one place, so that a held buffer is never handed out. When the ifq is freed
    /// no ring uses it or holds a buffer.
    fn holds(&self) -> bool {
        if self.freed {
            return self.users == 0 && self.rings.iter().all(|ring| ring.held.len() == 0);
        }
        let (mut places, mut unique) = (0_u32, true);
        let held = self.rings.iter().map(|ring| ring.held);
        for mut list in held.chain([self.free, self.refill]) {
            while let Some(buffer) = list.pop_first() {
                unique &= places & 1 << buffer == 0;
                places |= 1 << buffer;
            }
        }
        unique && places.count_ones() as usize == BUFFERS
    }
}

/// The order in which the checker visits the states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Search {
    /// stateright's default.
    BreadthFirst,
    /// As the explorer.
    DepthFirst,
}

/// Checks the problem on one thread.
pub(crate) fn check(planted: bool, search: Search) -> Found {
    let builder = Sharing { planted }.checker().threads(1);
    match search {
        Search::BreadthFirst => found(&builder.spawn_bfs().join()),
        Search::DepthFirst => found(&builder.spawn_dfs().join()),
    }
}

fn found(checker: &impl Checker<Sharing>) -> Found {
    let path = checker.discovery(HOLDS);
    let violation = path.map(|path| format!("violation after {} steps", path.into_actions().len()));
    Found { states: checker.unique_state_count() as u64, violation }
}
