//! The machines that tests run on: this host, user-mode Linux, and kernels in QEMU.

#[cfg(target_os = "linux")]
mod linux;
mod open;
mod spec;

use std::fmt;

use thiserror::Error;

use crate::job::{Job, JobLine, Reply};
use crate::kernels::supported::Equipment;

pub use crate::kernels::series_number::Series;
#[cfg(target_os = "linux")]
pub use linux::{
    BuildProgress, BuiltKernel, Control, HardwareRig, Host, MachineStatus, Plan, Qemu, Uml,
    ask_rig, build, built, clear_coverage, coverage, fetch, inlined, interrupt_flag, interrupted,
    inventory, plan, shell, ssh_guest,
};
pub use spec::{MachineSpec, ParseError};

/// Always `false`: without Linux no machine runs, so there is nothing to interrupt.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn interrupted() -> bool {
    false
}

/// Always `false`, see [`interrupted`].
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn interrupt_flag() -> &'static std::sync::atomic::AtomicBool {
    static NEVER: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    &NEVER
}

/// Why a machine gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// The machine is not available or did not boot. It says nothing about the kernel.
    #[error("{0}")]
    NotRun(String),
    /// The user interrupted it.
    #[error("interrupted")]
    Interrupted,
}

/// A kernel that jobs can be sent to.
pub trait Machine: fmt::Debug {
    /// The name that the command line uses.
    fn name(&self) -> String;

    /// What it has beside its kernel, as far as its name promises.
    fn equipment(&self) -> Equipment {
        Equipment::default()
    }

    /// Whether its kernel may crash: it is a guest that boots again.
    fn may_crash(&self) -> bool {
        false
    }

    /// Runs a job. `progress` is called for each line of the answer.
    ///
    /// A kernel that hangs or crashes after the boot is a result: its tests are
    /// [`crate::job::Report::Broken`].
    ///
    /// # Errors
    ///
    /// [`Failure`].
    fn run(&self, job: &Job, progress: &mut dyn FnMut(&JobLine)) -> Result<Reply, Failure>;
}
