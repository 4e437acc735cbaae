//! What a suite needs of an engine besides the platform: threads and reports of violations.

use std::any::Any;
use std::fmt;
use std::thread;

use ifq_model::invariant::Invariant;
use ifq_model::platform::Platform;

/// A platform on which a suite can start threads.
pub trait Engine: Platform {
    /// A started thread.
    type Join;
    /// Starts a thread. `body` need not be `Send`, because all threads of an engine are coroutines of
    /// one OS thread.
    fn spawn(body: impl FnOnce() + 'static) -> Self::Join;
    /// Waits for the end of a thread.
    fn join(thread: Self::Join);
}

/// Panics with the invariant's name. Does nothing in a thread that is unwinding, because a second panic
/// would abort the process and hide the first one.
pub(crate) fn raise(invariant: Invariant, what: fmt::Arguments<'_>) {
    if !thread::panicking() {
        panic!("{invariant}: {what}");
    }
}

/// The text of a panic's payload.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    payload
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic without text".to_owned())
}
