//! What people and machines read of a run.

pub mod table;
pub mod verdict;
