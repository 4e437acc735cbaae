//! Reports of runs and searches, for people and for machines.

pub mod counterexample;
pub mod table;
pub mod verdict;
