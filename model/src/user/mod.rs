//! User space: what an application does in the steps of a test.

pub mod app;
pub mod arguments;
pub mod completion;
pub mod refill;
