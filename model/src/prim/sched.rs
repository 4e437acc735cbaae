//! Waking a task (`kernel/sched/core.c`).

use crate::invariant::Invariant;
use crate::platform::Platform;

/// `wake_up_state` of a task that may be NULL. `access` is the C expression, for the report.
///
/// # Divergence from Linux
/// - Simplified: waking a task does nothing here, except that the pointer is dereferenced. What a task waits
///   for is a word of its own.
///
/// Linux: `kernel/sched/core.c`, 6.18 to 7.3.
pub fn wake_up_state<P: Platform, T>(task: Option<&T>, access: &str) {
    if task.is_none() {
        P::violation(Invariant::I1, format_args!("null pointer dereference: {access}"));
    }
}
