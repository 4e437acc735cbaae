//! What follows from the text of a test alone, found once for a run.

use std::collections::BTreeMap;

use super::{Op, RingId, Test, VarId};

/// Number of rings in one turn of [`TestIndex::ifq_number`].
const RINGS: u32 = super::limits::RINGS as u32;

/// Positions of steps and origins of results. All look-ups take constant or logarithmic time.
#[derive(Clone, Debug, Default)]
pub struct TestIndex {
    /// By variable: the position in [`Test::steps`] of the step that binds it.
    binders: Vec<Option<usize>>,
    /// By variable: see [`Test::origin`].
    origins: Vec<Option<VarId>>,
    /// By the position of a `register` step: the number of its ifq.
    ifq_numbers: BTreeMap<usize, u32>,
    /// By the number of an ifq: the position of its `register` step.
    registrations: BTreeMap<u32, usize>,
    /// By the variable of a `register` step: the steps that give the ifq an area.
    areas: BTreeMap<VarId, Vec<usize>>,
    /// By connection: the number of `recv` steps.
    readers: Vec<usize>,
    /// By variable: the thread that binds it.
    binding_threads: Vec<Option<usize>>,
    /// By ring: see [`Test::driver`].
    drivers: Vec<Option<usize>>,
    /// By variable: whether a thread other than the binder's waits for it.
    shared: Vec<bool>,
    /// See [`TestIndex::returns_twice`].
    returns_twice: bool,
}

impl TestIndex {
    /// Of a test.
    #[must_use]
    pub fn new(test: &Test) -> Self {
        let mut index = TestIndex {
            binders: vec![None; test.vars.len()],
            readers: vec![0; test.sockets.len()],
            ..TestIndex::default()
        };
        let mut registered = vec![0; test.rings.len()];
        for (position, step) in test.steps().enumerate() {
            if let Some(binder) = step.bind.and_then(|var| index.binders.get_mut(usize::from(var)))
            {
                *binder = Some(position);
            }
            match step.op {
                Op::Register { ring, .. } => {
                    let before: &mut u32 = &mut registered[usize::from(ring)];
                    let number = u32::from(ring) + RINGS * *before;
                    *before += 1;
                    index.ifq_numbers.insert(position, number);
                    index.registrations.insert(number, position);
                }
                Op::Recv { socket, .. } => index.readers[usize::from(socket)] += 1,
                _ => {}
            }
        }
        index.origins = origins(test);
        index.areas = index.area_steps(test);
        index.binding_threads = binding_threads(test);
        index.drivers = drivers(test);
        index.shared = shared(test, &index.binding_threads);
        index.returns_twice = returns_twice(test);
        index
    }

    fn area_steps(&self, test: &Test) -> BTreeMap<VarId, Vec<usize>> {
        let mut areas: BTreeMap<VarId, Vec<usize>> = BTreeMap::new();
        for (position, step) in test.steps().enumerate() {
            let ifq = match step.op {
                Op::Register { .. } => step.bind,
                Op::AddArea { ifq, .. } => self.origin(ifq),
                _ => None,
            };
            if let Some(ifq) = ifq {
                areas.entry(ifq).or_default().push(position);
            }
        }
        areas
    }

    /// Position in [`Test::steps`] of the step that binds a variable.
    #[must_use]
    pub fn binder(&self, var: VarId) -> Option<usize> {
        self.binders.get(usize::from(var)).copied().flatten()
    }

    /// [`Test::origin`] of a variable.
    #[must_use]
    pub fn origin(&self, var: VarId) -> Option<VarId> {
        self.origins.get(usize::from(var)).copied().flatten()
    }

    /// Position of the `register` step that a variable goes back to.
    #[must_use]
    pub fn registration(&self, var: VarId) -> Option<usize> {
        self.origin(var).and_then(|origin| self.binder(origin))
    }

    /// The number of the ifq that the `register` step at a position makes: the number of the ring, plus 64
    /// for each earlier registration of that ring.
    #[must_use]
    pub fn ifq_number(&self, position: usize) -> Option<u32> {
        self.ifq_numbers.get(&position).copied()
    }

    /// Position of the `register` step that makes the ifq with this number.
    #[must_use]
    pub fn registration_of(&self, ifq_number: u32) -> Option<usize> {
        self.registrations.get(&ifq_number).copied()
    }

    /// The steps that give the ifq that a variable goes back to an area: its registration, if that binds a
    /// name, and `add-area`.
    #[must_use]
    pub fn areas(&self, var: VarId) -> &[usize] {
        self.origin(var).and_then(|origin| self.areas.get(&origin)).map_or(&[], Vec::as_slice)
    }

    /// Number of `recv` steps on a connection.
    #[must_use]
    pub fn readers(&self, socket: usize) -> usize {
        self.readers[socket]
    }

    /// The thread that binds a variable; `None` for set-up and end.
    #[must_use]
    pub fn binding_thread(&self, var: VarId) -> Option<usize> {
        self.binding_threads.get(usize::from(var)).copied().flatten()
    }

    /// [`Test::driver`] of a ring.
    #[must_use]
    pub fn driver(&self, ring: RingId) -> Option<usize> {
        self.drivers.get(usize::from(ring)).copied().flatten()
    }

    /// Whether a completion is returned twice, and all returns are as they should be otherwise: under the
    /// producers' lock, and no other step writes to a refill ring.
    #[must_use]
    pub fn returns_twice(&self) -> bool {
        self.returns_twice
    }

    /// Whether a thread other than the one that binds a variable waits for it.
    #[must_use]
    pub fn is_shared(&self, var: VarId) -> bool {
        self.shared.get(usize::from(var)).copied().unwrap_or_default()
    }
}

fn returns_twice(test: &Test) -> bool {
    let mut returned = vec![false; test.vars.len()];
    let mut twice = false;
    for step in test.steps() {
        if step.op.breaks_refill_rules() {
            return false;
        }
        if let Op::Return { cqe, .. } = step.op
            && let Some(before) = returned.get_mut(usize::from(cqe))
        {
            twice |= std::mem::replace(before, true);
        }
    }
    twice
}

/// By variable: its origin. Each chain is followed once.
fn origins(test: &Test) -> Vec<Option<VarId>> {
    let mut next: Vec<Option<VarId>> = vec![None; test.vars.len()];
    let mut known: Vec<Option<Option<VarId>>> = vec![Some(None); test.vars.len()];
    for step in test.steps() {
        let Some(var) = step.bind.map(usize::from).filter(|var| *var < next.len()) else {
            continue;
        };
        match step.op {
            Op::Register { .. } => known[var] = Some(step.bind),
            Op::Export { ifq, .. } | Op::Clone { ifq, .. } => {
                (next[var], known[var]) = (Some(ifq), None)
            }
            Op::Import { fd, .. } => (next[var], known[var]) = (Some(fd), None),
            _ => {}
        }
    }
    for var in 0..next.len() {
        let (mut chain, mut at) = (Vec::new(), var);
        while at < next.len() && known[at].is_none() && chain.len() <= next.len() {
            chain.push(at);
            at = next[at].map_or(usize::MAX, usize::from);
        }
        let origin = known.get(at).copied().flatten().flatten();
        for at in chain {
            known[at] = Some(origin);
        }
    }
    known.into_iter().map(Option::flatten).collect()
}

/// By ring: the thread that drives it.
fn drivers(test: &Test) -> Vec<Option<usize>> {
    let mut drivers = vec![None; test.rings.len()];
    for (i, thread) in test.threads.iter().enumerate() {
        for step in thread.steps.iter().filter(|step| !matches!(step.op, Op::Exit { .. })) {
            let ring = step.op.ring().map(usize::from);
            if let Some(driver) = ring.and_then(|ring| drivers.get_mut(ring)) {
                driver.get_or_insert(i);
            }
        }
    }
    drivers
}

/// By variable: the thread that binds it.
fn binding_threads(test: &Test) -> Vec<Option<usize>> {
    let mut binders = vec![None; test.vars.len()];
    for (i, thread) in test.threads.iter().enumerate() {
        for var in thread.steps.iter().filter_map(|step| step.bind) {
            if let Some(binder) = binders.get_mut(usize::from(var)) {
                *binder = Some(i);
            }
        }
    }
    binders
}

/// By variable: whether a thread waits for it that does not bind it.
fn shared(test: &Test, binders: &[Option<usize>]) -> Vec<bool> {
    let mut shared = vec![false; test.vars.len()];
    for (i, thread) in test.threads.iter().enumerate() {
        for step in &thread.steps {
            for var in step.after.iter().copied().chain(step.op.uses()).map(usize::from) {
                if binders.get(var).copied().flatten().is_some_and(|binder| binder != i) {
                    shared[var] = true;
                }
            }
        }
    }
    shared
}
