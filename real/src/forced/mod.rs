//! Forced schedules: a stock kernel in QEMU follows a schedule, with QEMU's gdb stub as the controller.
//!
//! No kernel is patched and no module is loaded. The guest's threads and work items are stopped at places of
//! the kernel's code and go on when it is their turn.

mod code;
mod controller;
mod guest;
mod line;
mod park;
mod places;
mod record;
mod remote;
mod run;
mod symbols;

pub use line::{kernel_lines, whole_lines};
pub use record::{ForcedRun, Line};
pub use run::{Case, ForcedReply, run};
