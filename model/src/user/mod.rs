//! User space's part: the memory it shares with the kernel, and the code that works on it.

pub mod app;
pub mod completion;
pub mod mem;
pub mod refill;
