//! Deterministic engines for the model of `ifq-model`, and the test-file format.
//!
//! From low to high: [`executor`], the step table and [`symmetry`], [`search`]; above them [`shrink`],
//! [`report`], [`generate`], [`format`](mod@format), [`world`], [`commands`].

pub mod commands;
pub mod enumerate;
pub mod executor;
pub mod format;
pub mod generate;
pub mod report;
pub mod search;
pub mod shrink;
mod step_table;
pub mod symmetry;
pub mod world;
