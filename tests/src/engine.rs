//! What a suite needs of an engine besides the platform: threads, and a way to report.

use std::any::Any;
use std::fmt;
use std::thread;

use ifq_model::invariant::Invariant;
use ifq_model::platform::Platform;

/// A platform whose threads a suite can start.
pub trait Engine: Platform {
    /// A started thread.
    type Join;
    /// Starts a thread. Nothing needs to be `Send`: all threads of an engine are coroutines of one
    /// OS thread.
    fn spawn(job: impl FnOnce() + 'static) -> Self::Join;
    /// Waits for its end.
    fn join(thread: Self::Join);
}

/// Panics with the invariant's name, unless the thread is unwinding already: a second panic would
/// abort the process and hide the first.
pub(crate) fn raise(invariant: Invariant, what: fmt::Arguments<'_>) {
    if !thread::panicking() {
        panic!("{invariant}: {what}");
    }
}

/// The text of a panic.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic without text".to_owned())
}
