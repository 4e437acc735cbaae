//! Leak check: after a test every resource must have been released. Each check compares the state
//! after the test with the state before it.
//!
//! * [`ProcessSnapshot`]: descriptors, threads and memory of this process.
//! * [`AllocationSnapshot`]: objects that io_uring allocated in the kernel.
//! * [`Kmemleak`]: memory that nothing in the kernel points to.
//! * [`MemlockProbe`]: the user's account of locked memory, and whether a new ring works.

mod allocations;
mod kmemleak;
mod memlock;
mod process;
mod settle;

pub use allocations::AllocationSnapshot;
pub use kmemleak::Kmemleak;
pub use memlock::MemlockProbe;
pub use process::ProcessSnapshot;
