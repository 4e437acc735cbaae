//! The exhaustive search over a program's states, on the tables of [`crate::code`].

pub(crate) mod cost;
pub(crate) mod dfs;
pub(crate) mod future;
mod meets;
pub(crate) mod parallel;
mod persistent;
pub(crate) mod sleep;
pub(crate) mod state;
mod steps;
mod views;
pub(crate) mod visited;
