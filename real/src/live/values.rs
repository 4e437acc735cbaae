//! The results that steps bind to variables, and waiting for them.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use ifq_model::test::VarId;
use ifq_model::test::literal::Literal;

use super::idle::IdleTracker;
use super::memory::{HeldBuffer, IfqMem};

/// The resource that a result refers to.
#[derive(Clone, Debug)]
pub(super) enum Resource {
    /// None: the result is a status or an error.
    None,
    /// A registered or imported ifq.
    Ifq(Ifq),
    /// An exported descriptor.
    Fd(Arc<Exported>),
    /// The buffer of a completion.
    Buffer(Arc<HeldBuffer>),
    /// A request, by its `user_data`.
    Request(u64),
    /// An id or a descriptor that the test names by its number.
    Literal(Literal),
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

/// The result of a step.
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

/// All results of a run.
#[derive(Debug)]
pub(super) struct Values {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    values: Vec<Option<StepResult>>,
    /// Waiting threads, each with the variable that it waits for.
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

    /// Binds a result and wakes the threads that wait for it.
    pub(super) fn bind(&self, var: VarId, bound: StepResult, idle: &IdleTracker) {
        let mut state = self.state();
        state.values[usize::from(var)] = Some(bound);
        idle.wake(state.waiting.iter().filter(|(_, for_)| *for_ == var).map(|(by, _)| *by));
        state.waiting.retain(|(_, for_)| *for_ != var);
        drop(state);
        self.changed.notify_all();
    }

    /// The run failed: wakes all waiting threads.
    pub(super) fn fail(&self, why: String) {
        self.state().failure.get_or_insert(why);
        self.changed.notify_all();
    }

    /// Why the run failed.
    pub(super) fn failure(&self) -> Option<String> {
        self.state().failure.clone()
    }

    /// Waits for a result; the thread is idle meanwhile. `None`: the run failed.
    pub(super) fn wait(&self, thread: usize, var: VarId, idle: &IdleTracker) -> Option<StepResult> {
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
                idle.set_idle(thread, true);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The raw result, if it is bound.
    pub(super) fn raw(&self, var: VarId) -> Option<i64> {
        self.state().values[usize::from(var)].as_ref().map(|bound| bound.raw)
    }
}
