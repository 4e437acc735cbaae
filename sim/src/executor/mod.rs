//! The deterministic platform: one OS thread, memory as a flat vector of words, every access a
//! scheduling point that an engine decides.

pub mod counterexample;
pub(crate) mod fingerprint;
pub(crate) mod lasso;
pub(crate) mod machine;
pub(crate) mod names;
pub(crate) mod platform;
pub(crate) mod race;
pub(crate) mod record;
pub mod rng;
pub mod run;
pub mod scheduler;
pub(crate) mod threads;
pub(crate) mod trace;

#[cfg(test)]
mod tests;

pub use platform::Det;
pub use trace::{Trace, TraceEvent, WordChange};
