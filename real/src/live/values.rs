//! The values that steps bind, and waiting for them.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use ifq_model::test::VarId;

use super::idle::IdleTracker;
use super::memory::{HeldBuffer, IfqMem};

/// What a step's result refers to.
#[derive(Clone, Debug)]
pub(super) enum Resource {
    /// Nothing: a status, or a failure.
    None,
    /// A registered or imported ifq.
    Ifq(Ifq),
    /// An exported descriptor.
    Fd(Arc<Exported>),
    /// A completion with a buffer.
    Buffer(Arc<HeldBuffer>),
}

/// An ifq as one ring sees it.
#[derive(Clone, Debug)]
pub(super) struct Ifq {
    pub(super) id: u32,
    pub(super) mem: Arc<IfqMem>,
}

/// An exported descriptor, `None` once it is closed.
#[derive(Debug)]
pub(super) struct Exported {
    pub(super) fd: Mutex<Option<Arc<OwnedFd>>>,
    pub(super) ifq: Ifq,
}

/// A result.
#[derive(Clone, Debug)]
pub(super) struct StepResult {
    pub(super) raw: i64,
    pub(super) resource: Resource,
}

impl StepResult {
    pub(super) fn status(raw: i64) -> Self {
        StepResult { raw, resource: Resource::None }
    }
}

/// All values of a run.
#[derive(Debug)]
pub(super) struct Values {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    values: Vec<Option<StepResult>>,
    /// Threads that wait, with what they wait for.
    waiting: Vec<(usize, VarId)>,
    failure: Option<String>,
}

impl Values {
    pub(super) fn new(count: usize) -> Self {
        let state = State { values: vec![None; count], waiting: Vec::new(), failure: None };
        Values { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Binds a value and wakes whoever waits for it.
    pub(super) fn bind(&self, var: VarId, bound: StepResult, quiet: &IdleTracker) {
        let mut state = self.state();
        state.values[usize::from(var)] = Some(bound);
        quiet.wake(state.waiting.iter().filter(|(_, for_)| *for_ == var).map(|(by, _)| *by));
        state.waiting.retain(|(_, for_)| *for_ != var);
        drop(state);
        self.changed.notify_all();
    }

    /// The machine cannot go on: nobody waits any more.
    pub(super) fn fail(&self, why: String) {
        self.state().failure.get_or_insert(why);
        self.changed.notify_all();
    }

    /// Why the machine could not go on.
    pub(super) fn failure(&self) -> Option<String> {
        self.state().failure.clone()
    }

    /// Waits for a value, idle; `None` when the run has failed.
    pub(super) fn wait(
        &self,
        thread: usize,
        var: VarId,
        quiet: &IdleTracker,
    ) -> Option<StepResult> {
        let mut state = self.state();
        let mut waits = false;
        loop {
            if state.failure.is_some() {
                return None;
            }
            if let Some(bound) = &state.values[usize::from(var)] {
                return Some(bound.clone());
            }
            if !std::mem::replace(&mut waits, true) {
                state.waiting.push((thread, var));
                quiet.set_idle(thread, true);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The raw result, if there is one by now.
    pub(super) fn raw(&self, var: VarId) -> Option<i64> {
        self.state().values[usize::from(var)].as_ref().map(|bound| bound.raw)
    }
}
