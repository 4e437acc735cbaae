//! Reports of runs and searches, for people and for machines.

pub mod counterexample;
pub mod recorded_outcomes;
pub mod results;
pub mod table;
pub mod unfollowed;
pub mod verdict;
pub mod witness;
