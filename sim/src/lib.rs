//! Deterministic engines for the model of `ifq-model`, and the test-file format.

pub mod catalogue;
pub mod executor;
pub mod format;
pub mod generate;
pub mod replay;
pub mod report;
pub mod search;
pub mod selection;
pub mod shrink;
pub mod simulate;
mod step_table;
pub mod symmetry;
