//! Deterministic engines for the model of `ifq-model`, and the test-file format.

pub mod cmd;
pub mod det;
pub mod exec;
pub mod explore;
pub mod file;
pub mod report;
pub mod rng;
pub mod schedule;
