//! A kernel-shaped model of io_uring zero-copy receive interface queues (ifqs) that several rings
//! share.
//!
//! What a kernel function does is written once, here, under the kernel's name, generic over a
//! [`platform::Platform`]. Every engine runs this source: the explorer and the simulator of
//! `ifq-sim`, loom, shuttle, proptest, libFuzzer. Nothing in this crate starts a thread, does I/O,
//! reads a clock or draws a random number.

pub mod bug;
pub mod check;
pub mod errno;
pub mod fault;
pub mod fs;
pub mod invariant;
pub mod io_uring;
pub mod kernel;
pub mod mm;
mod named_enum;
pub mod net;
pub mod outcome;
pub mod platform;
pub mod prim;
pub mod revision;
pub mod run;
pub mod run_state;
pub mod spec;
pub mod test;
pub mod trace;
pub mod uaccess;
pub mod user;
pub mod work;
