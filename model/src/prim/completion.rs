//! `struct completion` (`kernel/sched/completion.c`).

use crate::platform::{Kind, Platform, Ptr, Rmw, WaitWord};

/// A completion on the stack of the task that waits for it.
#[derive(Debug)]
pub struct Completion<P: Platform> {
    done: P::WaitQueue,
}

/// `DECLARE_COMPLETION_ONSTACK`. The caller frees it at the end of the function. `number` tells completions
/// apart in reports.
///
/// Linux: `include/linux/completion.h`, 6.18 to 7.3.
#[must_use]
pub fn completion_on_stack<P: Platform>(number: u32) -> Ptr<P, Completion<P>> {
    Ptr::alloc(Kind::Completion, number, || Completion { done: P::wait_queue("done", 0) })
}

/// `complete`.
///
/// Linux: `kernel/sched/completion.c`, 6.18 to 7.3.
pub async fn complete<P: Platform>(completion: &Completion<P>) {
    completion.done.rmw(Rmw::Add(1)).await;
}

/// `wait_for_completion`.
///
/// Linux: `kernel/sched/completion.c`, 6.18 to 7.3.
pub async fn wait_for_completion<P: Platform>(completion: &Completion<P>) {
    completion.done.wait_event(1).await;
}
