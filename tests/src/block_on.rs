//! Drives futures that never wait: on loom and shuttle the primitive itself blocks.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// Runs a future of the model to its end.
///
/// # Panics
/// If the future is not ready at once: it awaited something that is no primitive of the platform.
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
    fn a_pending_future_is_refused() {
        block_on(std::future::pending::<()>());
    }
}
