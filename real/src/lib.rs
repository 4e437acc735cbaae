//! The live kernel: runs tests on a real io_uring, on this host or on a kernel of its own, and
//! compares what it saw with what the model allows.
//!
//! * [`abi`]: the kernel's user interface of zcrx; [`machine`]: what a test can run on; [`job`]:
//!   what is asked of a machine and what it answers.
//! * On Linux only: `ring`, `sys`, `userfault`, `live` (the executor), `probe` (what a kernel can), `guest` (the
//!   side that runs inside a machine).
//! * [`supported`]: which tests can be run at all; [`series`]: what a kernel is compared with;
//!   [`compare`]: observed outcomes against allowed ones; [`spread`]: how close a race was; [`conform`]: many tests on many kernels;
//!   [`cmd`]: the subcommands of `ifq`.

#[macro_use]
mod output;

pub mod abi;
pub mod cmd;
pub mod compare;
pub mod conform;
pub mod job;
pub mod library;
pub mod machine;
pub mod pattern;
pub mod probe;
pub mod series;
pub mod spread;
pub mod supported;

#[cfg(target_os = "linux")]
pub mod guest;
#[cfg(target_os = "linux")]
pub mod guest_shell;
#[cfg(target_os = "linux")]
pub mod kmsg;
#[cfg(target_os = "linux")]
pub mod live;
#[cfg(target_os = "linux")]
pub mod residue;
#[cfg(target_os = "linux")]
pub mod ring;
#[cfg(target_os = "linux")]
pub mod sys;
#[cfg(target_os = "linux")]
pub mod userfault;
