//! The deterministic executor.
//!
//! The core idea is that one OS thread runs all tasks as futures. Memory is a flat vector of words. Each
//! `.await` is a scheduling point, at which a [scheduler] decides which task runs next.

pub(crate) mod buffer_symmetry;
pub(crate) mod contribution;
pub mod counterexample;
pub(crate) mod event;
pub(crate) mod fingerprint;
pub(crate) mod image_table;
pub(crate) mod lasso;
pub(crate) mod machine;
pub(crate) mod naming;
pub(crate) mod permutation;
pub(crate) mod platform;
pub(crate) mod race;
pub(crate) mod ready;
pub(crate) mod recorder;
pub mod rng;
pub mod run;
pub mod schedule;
pub mod scheduler;
pub(crate) mod step_log;
pub(crate) mod symbols;
pub(crate) mod threads;
pub(crate) mod trace;
pub mod witness;

pub use platform::Det;
pub use trace::{Trace, TraceEvent, WordChange};
