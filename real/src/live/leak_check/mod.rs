//! Leak check: after a test every resource must have been released. Each check compares the state
//! after the test with the state before it.
//!
//! * [`ProcessSnapshot`]: descriptors, threads and memory of this process.
//! * [`AllocationSnapshot`]: objects that io_uring allocated in the kernel.
//! * [`MemlockProbe`]: the user's account of locked memory, and whether a new ring works.

mod allocations;
mod memlock;
mod process;
mod settle;

pub use allocations::AllocationSnapshot;
pub use memlock::MemlockProbe;
pub use process::ProcessSnapshot;
