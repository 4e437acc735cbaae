//! Deterministic engines for the model of `ifq-model`, and the test-file format.
//!
//! From low to high: [`executor`], the step table and [`symmetry`], [`search`]; above them [`shrink`],
//! [`report`], [`generate`], [`format`](mod@format), [`catalogue`].

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
