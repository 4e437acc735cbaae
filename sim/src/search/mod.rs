//! The exhaustive search over a program's states, on the tables of [`crate::step_table`].

pub mod checkpoint;
pub(crate) mod cost;
pub(crate) mod dfs;
pub mod explore;
pub(crate) mod future;
mod meets;
pub(crate) mod parallel;
mod persistent;
pub mod plain;
mod plain_path;
pub mod program;
pub mod shortest;
pub(crate) mod sleep;
pub(crate) mod state;
mod steps;
mod views;
pub(crate) mod visited;
