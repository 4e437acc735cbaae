//! Mutation test of the kernel code of the model, with mutant schemata: one build contains all mutants, and an
//! environment variable chooses one when a program starts.
//!
//! [`rewrite`] plants the mutants in the syntax of a file, [`schema`] makes a copy of the workspace with
//! all of them, [`kill`] runs the checks against one mutant, and [`list`] is the list of results that the
//! repository keeps. `docs/mutation-testing.md` describes how to use it.

pub mod kill;
pub mod list;
pub mod mutant;
mod operators;
pub mod report;
pub mod rewrite;
pub mod schema;
mod syntax;
