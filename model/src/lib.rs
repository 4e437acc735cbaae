//! A kernel-shaped model of io_uring zero-copy receive interface queues (ifqs) that several rings
//! share.
//!
//! Each kernel function is written once, here, under the kernel's name, generic over a
//! [`platform::Platform`]. Every engine runs this source: the explorer and the simulator of
//! `ifq-sim`, loom, shuttle, proptest, libFuzzer. Nothing in this crate starts a thread, does I/O,
//! reads a clock or draws a random number.
//!
//! # Parts
//! Kernel code: [`io_uring`], [`net`], [`prim`], [`fs`], [`uaccess`], [`mm`], [`kernel`], [`work`]; [`capacity`]
//! says how much its objects must hold.
//! It reports to [`trace`] and knows nothing of the rest. [`revision`] says which version and which
//! defects it has. [`check`] holds the invariants that observe it, [`user`] the application,
//! [`run`] and [`run_state`] one run of a [`test`](mod@test), [`spec`] the sequential
//! specification.
//!
//! # Divergence from Linux
//! Each function says what it simplifies and what it leaves out; `docs/FIDELITY.md` collects that.

pub mod bug;
pub mod capacity;
pub mod check;
pub mod errno;
pub mod fault;
pub mod fs;
pub mod invariant;
pub mod io_uring;
pub mod kernel;
pub mod mm;
mod named_enum;
pub mod names;
pub mod net;
pub mod not_modelled;
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
pub mod value;
pub mod work;
