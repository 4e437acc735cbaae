//! Programs that are not test files: any futures on [`Det`](crate::executor::Det) can be explored.
//!
//! ```
//! use ifq_model::outcome::{Outcome, Value};
//! use ifq_model::platform::{AtomicWord, Order, Platform, Rmw, WaitWord};
//! use ifq_sim::executor::Det;
//! use ifq_sim::search::explore::Limits;
//! use ifq_sim::search::program::{explore, spawn};
//!
//! let found = explore(
//!     || async {
//!         let (x, done) = (Det::atomic("x", 0), Det::wait_queue("done", 0));
//!         for slot in 1..=2 {
//!             spawn(slot, "adder", async move {
//!                 let seen = x.load(Order::Relaxed).await;
//!                 x.store(seen + 1, Order::Relaxed).await;
//!                 done.rmw(Rmw::Add(1)).await;
//!             });
//!         }
//!         done.wait_event(2).await;
//!         Outcome(vec![Value::Number(x.load_in_step().cast_signed())])
//!     },
//!     &Limits::default(),
//! );
//! assert!(found.exhaustive && found.counterexample.is_none());
//! assert_eq!(found.outcomes.len(), 2, "an update may be lost");
//! ```

use std::future::Future;
use std::pin::Pin;

use ifq_model::outcome::Outcome;
use ifq_model::work::FIRST_KERNEL_SLOT;

use crate::executor::buffer_symmetry::BufferSymmetry;
use crate::executor::lasso::LASSO_FROM;
use crate::executor::machine::with;
use crate::executor::run::{MAX_STEPS, Program};
use crate::search::exploration::Exploration;
use crate::search::explore::search;
use crate::search::limits::Limits;

/// Searches all runs of a program, as [`crate::search::explore::explore`] searches those of a test.
///
/// `main` creates the future of the first thread for each run. A thread must be deterministic in the values
/// that it reads. It must keep no private state across a call of
/// [`op_boundary`](ifq_model::platform::Platform::op_boundary).
pub fn explore<F>(main: impl Fn() -> F, limits: &Limits) -> Exploration
where
    F: Future<Output = Outcome> + 'static,
{
    explore_symmetric(main, BufferSymmetry::NONE, limits)
}

/// As [`explore`], for a program with symmetric buffers.
pub fn explore_symmetric<F>(
    main: impl Fn() -> F,
    symmetry: BufferSymmetry,
    limits: &Limits,
) -> Exploration
where
    F: Future<Output = Outcome> + 'static,
{
    let main = || -> Pin<Box<dyn Future<Output = Outcome>>> { Box::pin(main()) };
    let program = Program {
        main: &main,
        faults: &[],
        max_faults: 0,
        symmetry,
        symmetric_test: None,
        max_steps: MAX_STEPS,
        lasso_from: LASSO_FROM,
        tolerated: &[],
        thread_faults_only: false,
    };
    search(&program, limits, &mut |_| {})
}

/// Spawns a thread of a program that is being explored.
///
/// `slot` identifies the thread in all runs. It must not be zero, which is the first thread's slot, nor the
/// slot of a live thread. Reports show `name`.
///
/// # Panics
/// If the slot is zero, or not below [`FIRST_KERNEL_SLOT`].
pub fn spawn(slot: u32, name: &str, future: impl Future<Output = ()> + 'static) {
    assert!((1..FIRST_KERNEL_SLOT).contains(&slot), "slot {slot} is not a program's own");
    with(|m| m.spawn(slot, 0, &|| name.to_owned(), Box::pin(future)));
}
