//! Runs futures that never return `Pending`. On loom and shuttle a primitive blocks its thread instead.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Polls a future of the model once, which completes it.
///
/// # Panics
/// If the future is pending, because it awaited something other than a primitive of the platform.
pub fn block_on<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a model function awaited something that is not of its platform"),
    }
}

#[cfg(test)]
mod tests {
    use super::block_on;

    #[test]
    fn a_ready_future_yields_its_output() {
        assert_eq!(block_on(async { 7 }), 7);
    }

    #[test]
    #[should_panic(expected = "not of its platform")]
    fn a_pending_future_panics() {
        block_on(std::future::pending::<()>());
    }
}
