//! The live kernel: runs tests on a real io_uring and compares the observed outcomes with those that
//! the model allows. The crate also holds the command `ifq`.
//!
//! # Architecture
//!
//! Each folder uses only the folders above it in this list; `tests/layout.rs` rejects import cycles.
//!
//! * [`abi`]: the kernel interface: UAPI structures, system calls, one ring.
//! * [`kernels`]: what is known about kernels: the probe's result, the revision of the model that a
//!   release has, which tests can run.
//! * [`rig`]: hardware rigs: their files, and the set-up of their interfaces with a journal.
//! * [`job`]: what the tool sends to a machine (a job) and what the machine answers (reports).
//! * `live`: the executor: runs the threads of a test on the running kernel, and checks for leaks and
//!   kernel warnings afterwards.
//! * `guest`: the process inside a machine that reads a job, runs it with `live` and writes the answer.
//! * [`kernel_build`]: what a kernel is built from.
//! * [`machine`]: what runs kernels: this host, user-mode Linux, QEMU.
//! * `forced`: makes an emulated kernel follow a schedule.
//! * [`conform`]: campaigns: many tests on many machines, compared with the model.
//! * `campaign`: plans of many runs, the stored results, and reports.
//! * [`cmd`]: the subcommands of `ifq`.
//!
//! # What runs on a kernel
//!
//! Everything that needs no network device: sharing by export and import, refill, receive over loopback TCP, control
//! operations, mapping, teardown. With the soft NIC or on a hardware rig also device queues and their packets. Threads
//! of a test race on the kernel; the seed chooses which thread is delayed and for how long. In QEMU they can follow a
//! schedule. Page faults can be held open, and some faults can be injected (`docs/live-kernels.md`).
//!
//! `clone` is in no released kernel. A test that cannot run is reported as *not run* with the reason, and never as
//! passed. `live` and `guest` are compiled on Linux only.
//!
//! # Safety
//!
//! `unsafe` code is limited to the module `syscall` of [`abi`]: raw system calls and memory that the
//! kernel writes. Each block states why it is sound. All functions that the module exports are safe to
//! call.

#[macro_use]
mod output;

pub mod abi;
#[cfg(target_os = "linux")]
pub mod campaign;
pub mod cmd;
pub mod conform;
#[cfg(target_os = "linux")]
pub mod forced;
#[cfg(target_os = "linux")]
pub mod guest;
pub mod job;
pub mod kernel_build;
pub mod kernels;
pub mod library;
#[cfg(target_os = "linux")]
pub mod live;
pub mod machine;
pub mod rig;
pub mod toml_error;
