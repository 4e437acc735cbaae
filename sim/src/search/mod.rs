//! Model checking of a program: search, reductions, counterexamples.
//!
//! Start with [`explore`], the explicit-state search. [`reference`](mod@reference) is the simple search that
//! tests compare it with, [`shortest`] finds shortest counterexamples, [`shortest_witness`] shortest runs for outcomes, and [`program`] searches programs that
//! are not test files.

pub mod checkpoint;
pub mod checkpoint_folder;
mod cost_bound;
mod decision_path;
mod dependence;
mod dfs;
pub mod exploration;
pub mod explore;
mod fault_choices;
mod initial_symmetry;
mod job;
pub mod limits;
mod options;
mod orbit_fingerprints;
mod parallel;
mod passes;
mod persistent;
pub mod program;
mod reachable;
pub mod reference;
mod restart;
pub mod shortest;
mod shortest_runs;
pub mod shortest_witness;
mod sleep;
mod state;
mod step_accesses;
mod step_summary;
mod visited;

#[cfg(test)]
mod tests;
